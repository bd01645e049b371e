import { vaultFixture } from './fixture.ts';

// Rotates over and over with 50 readers beside it, until it is killed. Prints a line per finished rotation, and the
// first failed read.
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new TypeError('needs a folder');
const { vault } = await vaultFixture({}, folder);
const read = async (n: number): Promise<void> => {
  while (true) {
    const found = await vault.unseal({ kind: 'Secret', uid: `u${n}`, field: 'token' });
    if (found?.value.reveal() !== `value-${n}`) throw new Error(`read ${n} failed`);
    await new Promise((resolve) => setImmediate(resolve));
  }
};
for (let n = 0; n < 50; n++) {
  read(n).catch((error: unknown) => {
    process.stdout.write(`failed ${String(error)}\n`);
  });
}
process.stdout.write('rotating\n');
while (true) {
  const { rows } = await vault.rewrap();
  process.stdout.write(`rotated ${rows}\n`);
}
