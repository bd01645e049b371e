import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SecretValue } from '@onbehalf/secret-value';
import { installationOf, nameInstallation } from '../../src/vault/index.ts';
import { type VaultFixture, vaultFixture } from './fixture.ts';

const where = (n: number) => ({ kind: 'Secret', uid: `u${n}`, field: 'token' });

const fill = ({ vault, store }: VaultFixture, count: number) =>
  Promise.all(
    Array.from({ length: count }, async (_, n) =>
      store.commit({ statements: await vault.seal(where(n), SecretValue.of(`value-${n}`)) }),
    ),
  );

const keyIds = async ({ store }: VaultFixture) =>
  (await store.read(store.builder.selectFrom('sealed').select('key_id').distinct().compile())).map((row) => row.key_id);

test('V5 50 readers and 10 writers notice nothing of a rotation, and the old key opens nothing afterwards', async () => {
  await using fixture = await vaultFixture();
  await fill(fixture, 250);
  const { vault, store } = fixture;
  const before = readFileSync(fixture.keyFile, 'utf8');
  const derived = vault.derive('cookie');
  const inline = vault.sealInline(where(1), SecretValue.of('inline'));
  let running = true;
  let reads = 0;
  const readers = Array.from({ length: 50 }, async (_, n) => {
    while (running) {
      assert.equal((await vault.unseal(where(n)))?.value.reveal(), `value-${n}`);
      reads += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  const writers = Array.from({ length: 10 }, async (_, n) => {
    const place = { kind: 'Secret', uid: `w${n}`, field: 'token' };
    for (let version = 0; running; version++) {
      const sealed = vault.seal(place, SecretValue.of(`version-${version}`));
      // Sealed before the root moved, committed after: told to seal again.
      await store.commit({ statements: await sealed }).catch((error) => assert.equal(error.conflict, 'key_rotated'));
    }
  });
  const { rows, damaged, key } = await vault.rewrap();
  running = false;
  await Promise.all([...readers, ...writers]);
  assert.ok(rows >= 252 && damaged === 0 && reads > 50);
  assert.deepEqual(await keyIds(fixture), [key]);
  assert.notEqual(readFileSync(fixture.keyFile, 'utf8'), before);
  assert.ok(!existsSync(`${fixture.keyFile}.next`));
  await fixture.reopen();
  assert.deepEqual(fixture.vault.derive('cookie'), derived);
  assert.equal(fixture.vault.openInline(where(1), inline).reveal(), 'inline');
  assert.equal((await fixture.vault.unseal(where(249)))?.value.reveal(), 'value-249');
});

test('V4 V5 a rotation keeps the name of the installation that has begun with the key', async () => {
  await using fixture = await vaultFixture();
  const installation = crypto.randomUUID();
  assert.ok(nameInstallation(fixture.keyFile, installation));
  const before = readFileSync(fixture.keyFile, 'utf8');
  await fixture.vault.rewrap();
  assert.notEqual(readFileSync(fixture.keyFile, 'utf8'), before);
  assert.equal(installationOf(fixture.keyFile), installation);
});

test('V5 what was sealed before a rotation and is committed after it is refused, not lost', async () => {
  await using fixture = await vaultFixture();
  const { vault, store } = fixture;
  const sealed = await vault.seal(where(1), SecretValue.of('value-1'));
  await vault.rewrap();
  await assert.rejects(store.commit({ statements: sealed }), { code: 'precondition_failed', conflict: 'key_rotated' });
  await store.commit({ statements: await vault.seal(where(1), SecretValue.of('value-1')) });
  await fixture.reopen();
  assert.equal((await fixture.vault.unseal(where(1)))?.value.reveal(), 'value-1');
});

test('V5 a damaged row does not stop a rotation', async () => {
  await using fixture = await vaultFixture();
  await fill(fixture, 3);
  const { store, vault } = fixture;
  const broken = store.builder.updateTable('sealed').set({ envelope: 'ob1.x' }).where('uid', '=', 'u1').compile();
  await store.commit({ statements: [{ query: broken, expect: 1 }] });
  const { damaged } = await vault.rewrap();
  assert.equal(damaged, 1);
  await fixture.reopen();
  assert.equal((await fixture.vault.unseal(where(2)))?.value.reveal(), 'value-2');
  await assert.rejects(fixture.vault.unseal(where(1)), { code: 'sealed_damaged' });
});

test('V5 kill -9 at any point of a rotation: no failed read, and the next start completes it', async () => {
  await using fixture = await vaultFixture();
  await fill(fixture, 400);
  await fixture.close();
  const child = fileURLToPath(new URL('rewrap-child.ts', import.meta.url));
  let interrupted = 0;
  for (const delay of [0, 4, 12]) {
    const running = spawn(process.execPath, ['--conditions=source', child, fixture.folder]);
    let printed = '';
    const started = new Promise<void>((resolve, reject) => {
      running.stdout.on('data', (chunk: Buffer) => {
        printed += chunk;
        if (printed.includes('rotating')) resolve();
      });
      running.once('exit', () => reject(new Error('the child ended by itself')));
    });
    running.stderr.on('data', (chunk: Buffer) => {
      printed += `failed ${chunk}`;
    });
    await started.catch((error: unknown) => assert.fail(`${error} ${printed}`));
    const gone = new Promise((resolve) => running.once('exit', resolve));
    while (!existsSync(`${fixture.keyFile}.next`)) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, delay));
    running.kill('SIGKILL');
    await gone;
    assert.ok(!printed.includes('failed'), printed);
    if (existsSync(`${fixture.keyFile}.next`)) interrupted += 1;
    await fixture.open();
    assert.equal((await keyIds(fixture)).length, 1);
    assert.ok(!existsSync(`${fixture.keyFile}.next`));
    for (let n = 0; n < 400; n += 13)
      assert.equal((await fixture.vault.unseal(where(n)))?.value.reveal(), `value-${n}`);
    assert.equal((await fixture.audit.verify()).ok, true);
    await fixture.close();
  }
  assert.ok(interrupted > 0, 'no kill hit a rotation');
});
