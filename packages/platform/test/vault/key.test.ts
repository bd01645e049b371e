import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { VaultError } from '../../src/vault/index.ts';
import { vaultFixture } from './fixture.ts';

const typed = (code: string) => (error: unknown) => error instanceof VaultError && error.code === code;
const where = { kind: 'Secret', uid: 'u1', field: 'token' };
const newKey = () => SecretValue.of(randomBytes(32).toString('base64url'));

test('V4 the key file is made once with mode 0600, and what is derived is the same at every start', async () => {
  await using fixture = await vaultFixture();
  assert.equal(statSync(fixture.keyFile).mode & 0o777, 0o600);
  const before = readFileSync(fixture.keyFile, 'utf8');
  const { keyId } = await fixture.vault.signer('audit');
  const derived = [fixture.vault.derive('cookie'), fixture.vault.derive('other'), fixture.vault.derive('cookie', 64)];
  assert.notDeepEqual(derived[0], derived[1]);
  assert.equal(derived[2]?.length, 64);
  const hashed = fixture.vault.keyedHash('v');
  await fixture.reopen();
  assert.equal(readFileSync(fixture.keyFile, 'utf8'), before);
  assert.equal((await fixture.vault.signer('audit')).keyId, keyId);
  assert.deepEqual(fixture.vault.derive('cookie'), derived[0]);
  assert.deepEqual(fixture.vault.keyedHash('v'), hashed);
});

test('V4 a missing, wrong, malformed or exposed key refuses to start and changes nothing', async () => {
  await using fixture = await vaultFixture();
  await fixture.store.commit({ statements: await fixture.vault.seal(where, SecretValue.of('value')) });
  await fixture.close();
  const data = readFileSync(fixture.path);
  renameSync(fixture.keyFile, `${fixture.keyFile}.away`);
  await assert.rejects(fixture.open(), typed('key_missing'));
  assert.throws(() => statSync(fixture.keyFile), /ENOENT/);
  for (const [content, code] of [
    [randomBytes(32).toString('base64url'), 'wrong_key'],
    ['short', 'key_invalid'],
    ['', 'key_invalid'],
    [`${randomBytes(32).toString('base64url')}AA`, 'key_invalid'],
  ] as const) {
    writeFileSync(fixture.keyFile, content, { mode: 0o600 });
    await assert.rejects(fixture.open(), typed(code), content);
  }
  const handedIn = { value: newKey() };
  await assert.rejects(fixture.open({ keyFile: handedIn }), typed('wrong_key'));
  copyFileSync(`${fixture.keyFile}.away`, fixture.keyFile);
  for (const mode of [0o640, 0o604, 0o660]) {
    chmodSync(fixture.keyFile, mode);
    await assert.rejects(fixture.open(), typed('key_exposed'));
  }
  rmSync(fixture.keyFile);
  renameSync(`${fixture.keyFile}.away`, fixture.keyFile);
  assert.deepEqual(readFileSync(fixture.path).subarray(100), data.subarray(100));
  await fixture.open();
  assert.equal((await fixture.vault.unseal(where))?.value.reveal(), 'value');
});

test('V4 without its root row a store with sealed values is refused', async () => {
  await using fixture = await vaultFixture();
  const { store } = fixture;
  await store.commit({
    statements: [{ query: store.builder.deleteFrom('sealed').where('uid', '=', 'root').compile() }],
  });
  await fixture.close();
  await assert.rejects(fixture.open(), typed('sealed_damaged'));
});

test('a key that is handed in rotates to the next one, over a restart in the middle', async () => {
  const [first, second] = [newKey(), newKey()];
  await using fixture = await vaultFixture({ keyFile: { value: first } });
  await fixture.store.commit({ statements: await fixture.vault.seal(where, SecretValue.of('value')) });
  await assert.rejects(async () => fixture.vault.rewrap(), typed('key_missing'));
  await fixture.reopen({ keyFile: { value: second, previous: first } });
  assert.equal((await fixture.vault.unseal(where))?.value.reveal(), 'value');
  await fixture.reopen({ keyFile: { value: second } });
  assert.equal((await fixture.vault.unseal(where))?.value.reveal(), 'value');
  await fixture.close();
  await assert.rejects(fixture.open({ keyFile: { value: first } }), typed('wrong_key'));
});

test('a closed vault answers nothing', async () => {
  await using fixture = await vaultFixture();
  const { vault } = fixture;
  const envelope = vault.sealInline(where, SecretValue.of('value'));
  await fixture.close();
  for (const use of [
    () => vault.derive('x'),
    () => vault.keyedHash('x'),
    () => vault.openInline(where, envelope),
    () => vault.sealInline(where, SecretValue.of('x')),
  ]) {
    assert.throws(use, typed('closed'));
  }
  await assert.rejects(vault.unseal(where), typed('closed'));
  await assert.rejects(vault.seal(where, SecretValue.of('x')), typed('closed'));
  await assert.rejects(vault.credentials.open({ env: 'X' }, { kind: 'ModelConfig', uid: 'm' }), typed('closed'));
});
