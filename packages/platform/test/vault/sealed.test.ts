import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { SecretValue } from '@onbehalf/secret-value';
import { VaultError } from '../../src/vault/index.ts';
import { secretRow, vaultFixture } from './fixture.ts';

const secret = SecretValue.of('sk-canary-5f0a77d1');
const at = (uid: string, field: string) => ({ kind: 'Secret', uid, field });

const typed =
  (...codes: string[]) =>
  (error: unknown) =>
    error instanceof VaultError && codes.includes(error.code);

test('a value is sealed under a version of its own, described without itself, and gone when removed', async () => {
  await using fixture = await vaultFixture({ now: () => 0 });
  const { vault, store } = fixture;
  const set = async (value: string) =>
    store.commit({ statements: await vault.seal(at('u1', 'token'), SecretValue.of(value)) });
  for (const value of ['one', 'two', 'three', 'four', 'five']) await set(value);
  const opened = await vault.unseal(at('u1', 'token'));
  assert.deepEqual([opened?.value.reveal(), opened?.version], ['five', 5]);
  assert.equal((await vault.unseal(at('u1', 'token'), 3))?.value.reveal(), 'three');
  assert.equal(await vault.unseal(at('u1', 'token'), 2), undefined);
  const described = await vault.describe('u1');
  assert.deepEqual(Object.keys(described), ['token']);
  const { fingerprint, ...shown } = described.token ?? { fingerprint: '' };
  assert.deepEqual(shown, { set: true, version: 5, at: '1970-01-01T00:00:00.000Z' });
  await set('five');
  assert.equal((await vault.describe('u1')).token?.fingerprint, fingerprint);
  await set('six');
  assert.notEqual((await vault.describe('u1')).token?.fingerprint, fingerprint);
  await store.commit({ statements: vault.remove('u1') });
  assert.equal(await vault.unseal(at('u1', 'token')), undefined);
});

test('of two versions sealed at once one is stored, and the other is told', async () => {
  await using fixture = await vaultFixture();
  const { vault, store } = fixture;
  const units = await Promise.all(['a', 'b'].map((text) => vault.seal(at('u1', 'token'), SecretValue.of(text))));
  const results = await Promise.allSettled(units.map((statements) => store.commit({ statements })));
  const conflicts = results.map((result) => (result.status === 'rejected' ? result.reason.conflict : 'stored'));
  assert.deepEqual(conflicts, ['stored', 'secret_changed']);
});

test('V1 one bit flipped anywhere in a sealed row is a typed error', async () => {
  await using fixture = await vaultFixture();
  const { vault, store } = fixture;
  await store.commit({ statements: await vault.seal(at('u1', 'token'), secret) });
  const envelope = vault.sealInline(at('u1', 'token'), secret);
  for (let position = 0; position < envelope.length; position++) {
    for (let bit = 0; bit < 7; bit++) {
      const flipped = String.fromCharCode(envelope.charCodeAt(position) ^ (1 << bit));
      const broken = envelope.slice(0, position) + flipped + envelope.slice(position + 1);
      assert.throws(() => vault.openInline(at('u1', 'token'), broken), typed('sealed_damaged', 'wrong_key'));
    }
  }
  const rows = () => store.builder.updateTable('sealed').where('uid', '=', 'u1');
  const [row] = await store.read(store.builder.selectFrom('sealed').selectAll().where('uid', '=', 'u1').compile());
  assert.ok(row !== undefined);
  const flip = (text: string) => String.fromCharCode(text.charCodeAt(0) ^ 1) + text.slice(1);
  for (const change of [
    { envelope: row.envelope.replace(/.$/, (last) => flip(last)) },
    { key_id: flip(row.key_id) },
    { fingerprint: flip(row.fingerprint) },
    { field: 'tokem' },
    { version: 0 },
    { envelope: '' },
    { envelope: row.envelope.split('.').slice(0, 6).join('.') },
  ]) {
    await store.commit({ statements: [{ query: rows().set(change).compile(), expect: 1 }] });
    await assert.rejects(vault.unseal(at('u1', change.field ?? 'token')), typed('sealed_damaged', 'wrong_key'));
    await store.commit({ statements: [{ query: rows().set(row).compile(), expect: 1 }] });
  }
  assert.equal((await vault.unseal(at('u1', 'token')))?.value.reveal(), secret.reveal());
});

test('V2 a ciphertext copied to another secret, field, kind or version does not open there', async () => {
  await using fixture = await vaultFixture();
  const { vault, store } = fixture;
  for (const [uid, field] of [
    ['a', 'x'],
    ['a', 'x'],
    ['a', 'y'],
    ['b', 'x'],
  ] as const) {
    await store.commit({ statements: await vault.seal(at(uid, field), SecretValue.of(`${uid}-${field}`)) });
  }
  const all = await store.read(store.builder.selectFrom('sealed').selectAll().where('kind', '=', 'Secret').compile());
  for (const from of all) {
    for (const to of all.filter((other) => other !== from)) {
      const row = () =>
        store.builder
          .updateTable('sealed')
          .where('uid', '=', to.uid)
          .where('field', '=', to.field)
          .where('version', '=', to.version);
      const { envelope, fingerprint } = from;
      await store.commit({ statements: [{ query: row().set({ envelope, fingerprint }).compile(), expect: 1 }] });
      await assert.rejects(vault.unseal(at(to.uid, to.field), to.version), typed('sealed_damaged'));
      await store.commit({ statements: [{ query: row().set(to).compile(), expect: 1 }] });
    }
  }
  const inline = vault.sealInline({ kind: 'login', uid: 's1', field: 'tokens' }, secret);
  for (const where of [
    { kind: 'login', uid: 's2', field: 'tokens' },
    { kind: 'login', uid: 's1', field: 'token' },
    { kind: 'logins', uid: '1', field: 'tokens' },
    { kind: 'login', uid: 's1tokens', field: '' },
  ]) {
    assert.throws(() => vault.openInline(where, inline), typed('sealed_damaged'));
  }
});

test('V6 V7 a canary is in no file, no error, no description and no audit line', async () => {
  const fixture = await vaultFixture();
  await using _ = fixture;
  const { vault, store, audit } = fixture;
  const sealed = await vault.seal(at('u1', 'token'), secret);
  await store.commit({
    statements: [secretRow(store, 'u1', 'provider', {}), ...sealed],
    audit: [audit.line({ type: 'change', phase: 'single', data: { value: secret as unknown as string } })],
  });
  const login = { id_hash: 'h', sid: null, iss: 'i', sub: 's', csrf: 'c', created_at: 0, expires_at: 0, last_seen: 0 };
  const row = { ...login, fence: 0, sealed: vault.sealInline({ kind: 'login', uid: 'h', field: 'tokens' }, secret) };
  await store.commit({ statements: [{ query: store.builder.insertInto('login_sessions').values(row).compile() }] });
  const use = { kind: 'ModelConfig', uid: 'm', namespace: 'default' };
  const { value } = await vault.credentials.open({ name: 'provider', key: 'token' }, use);
  assert.equal(value.reveal(), secret.reveal());
  await audit.append({
    type: 'exchange',
    phase: 'single',
    principal: { issuer: 'i', subject: 's', tokenHash: audit.tokenHash(value) },
  });
  const shown = inspect([await vault.describe('u1'), vault, sealed, await audit.query({}), value], { depth: 9 });
  const wrong = await vault.unseal({ kind: 'Secret', uid: 'u1', field: 'absent' });
  assert.equal(wrong, undefined);
  const hunt = (where: string, text: string) => {
    for (const form of [secret.reveal(), Buffer.from(secret.reveal()).toString('base64').slice(0, 20)]) {
      assert.ok(!text.includes(form), where);
    }
  };
  hunt('shown', shown);
  const files = () =>
    readdirSync(fixture.folder).map((name) => [name, readFileSync(join(fixture.folder, name), 'latin1')] as const);
  assert.ok(files().some(([name, text]) => name.endsWith('-wal') && text.length > 0));
  for (const [name, text] of files()) hunt(name, text);
  await fixture.close();
  for (const [name, text] of files()) hunt(name, text);
});

test('a mask that was read and sent back is refused; a value that only resembles one is not', async () => {
  await using fixture = await vaultFixture();
  for (const mask of ['[secret]', '********', '•••', '••••••••abcd', 'sk-1234****', '****', ' [REDACTED] ', '***']) {
    await assert.rejects(fixture.vault.seal(at('u1', 'token'), SecretValue.of(mask)), typed('masked_value'), mask);
  }
  for (const value of [
    'p*ss**word',
    'secret',
    'a'.repeat(40),
    '-----BEGIN PRIVATE KEY-----\n****body****\n-----END',
    '•',
  ]) {
    assert.equal((await fixture.vault.seal(at('u1', 'token'), SecretValue.of(value))).length, 3);
  }
});
