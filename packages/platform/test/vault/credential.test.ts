import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { AuditError } from '../../src/audit/index.ts';
import { openVault, VaultError } from '../../src/vault/index.ts';
import { secretRow, type VaultFixture, vaultFixture } from './fixture.ts';

const typed = (code: string) => (error: unknown) => error instanceof VaultError && error.code === code;
const alice = { issuer: 'https://one.example', subject: '42' };
const bob = { issuer: 'https://two.example', subject: '42' };
const use = { kind: 'ModelConfig', uid: 'm1', namespace: 'default', origin: 'https://api.example.com' };
const ref = { name: 'provider', key: 'token' };

const store = async ({ vault, store: db }: VaultFixture, spec: object) => {
  const sealed = await vault.seal({ kind: 'Secret', uid: 'u1', field: 'token' }, SecretValue.of('sk-1'));
  await db.commit({ statements: [secretRow(db, 'u1', 'provider', spec), ...sealed] });
};

const opens = async ({ audit, store: db }: VaultFixture) => {
  await db.commit({ statements: [] }); // the outcome of the last open was queued before this
  return (await audit.query({ type: 'credential.open' })).map(({ entry }) => entry);
};

test('a stored credential opens for the kind, the origin and the writer that it admits, and each open is audited', async () => {
  await using fixture = await vaultFixture({ mayUse: (writer) => writer.issuer === alice.issuer });
  await store(fixture, { usableBy: ['ModelConfig'], hosts: ['https://api.example.com'] });
  const context = { session: 's1', turn: 't1', principal: alice };
  const opened = await fixture.vault.credentials.open(ref, { ...use, writer: alice, context });
  assert.deepEqual([opened.value.reveal(), opened.version], ['sk-1', '1']);
  const [intent, outcome] = await opens(fixture);
  assert.equal(intent?.phase, 'intent');
  assert.deepEqual([outcome?.phase, outcome?.ref, outcome?.outcome], ['outcome', intent?.ref, 'opened']);
  assert.deepEqual(
    [
      outcome?.turn,
      outcome?.principal?.issuer,
      outcome?.target?.uid,
      outcome?.target?.origin,
      outcome?.target?.version,
    ],
    ['t1', alice.issuer, 'u1', use.origin, '1'],
  );
});

test('D2 another kind, origin, namespace or writer is refused before anything is opened, and the refusal is audited', async () => {
  await using fixture = await vaultFixture({ mayUse: (writer) => writer.issuer === alice.issuer });
  await store(fixture, { usableBy: ['ModelConfig'], hosts: ['https://api.example.com'] });
  const { origin: _, ...nowhere } = use;
  const { namespace: __, ...cluster } = use;
  const cases = [
    [ref, { ...use, kind: 'RemoteMCPServer' }, 'kind_not_allowed'],
    [ref, { ...use, origin: 'https://api.example.com.evil.example' }, 'host_not_allowed'],
    [ref, { ...use, origin: 'http://api.example.com' }, 'host_not_allowed'],
    [ref, { ...use, origin: 'https://api.example.com:8443' }, 'host_not_allowed'],
    [ref, nowhere, 'host_not_allowed'],
    [ref, { ...use, writer: bob }, 'secret_not_usable'],
    [{ ...ref, namespace: 'default' }, { ...use, namespace: 'other' }, 'secret_not_usable'],
    [ref, { ...use, namespace: 'other' }, 'secret_not_found'],
    [ref, cluster, 'secret_not_found'],
    [{ ...ref, name: 'absent' }, use, 'secret_not_found'],
    [{ vault: 'kv/x', key: 'token' }, use, 'source_not_supported'],
    [{ env: 'KEY' }, { ...use, writer: bob }, 'secret_not_usable'],
    [{ file: '/etc/passwd' }, { ...use, writer: bob }, 'secret_not_usable'],
  ] as const;
  for (const [reference, how, code] of cases) {
    await assert.rejects(fixture.vault.credentials.open(reference, how), typed(code), JSON.stringify([reference, how]));
  }
  const lines = await opens(fixture);
  assert.deepEqual(
    lines.map((entry) => [entry.outcome, entry.code]),
    cases.map(([, , code]) => ['refused', code]),
  );
  const opened = await fixture.vault.credentials.open(
    { ...ref, namespace: 'default' },
    { ...cluster, origin: use.origin },
  );
  assert.equal(opened.value.reveal(), 'sk-1');
  await assert.rejects(fixture.vault.credentials.open({ ...ref, key: 'absent' }, use), typed('secret_not_found'));
});

test('V1 a damaged credential is a typed error with a failed outcome, and the next one opens', async () => {
  await using fixture = await vaultFixture();
  await store(fixture, {});
  const { store: db, vault } = fixture;
  const broken = db.builder.updateTable('sealed').set({ fingerprint: 'x' }).where('uid', '=', 'u1').compile();
  await db.commit({ statements: [{ query: broken }] });
  await assert.rejects(vault.credentials.open(ref, use), typed('sealed_damaged'));
  const [, outcome] = await opens(fixture);
  assert.deepEqual([outcome?.outcome, outcome?.code], ['failed', 'sealed_damaged']);
  const sealed = await vault.seal({ kind: 'Secret', uid: 'u1', field: 'token' }, SecretValue.of('sk-2'));
  await db.commit({ statements: sealed });
  const opened = await vault.credentials.open(ref, use);
  assert.deepEqual([opened.value.reveal(), opened.version], ['sk-2', '2']);
});

test('L3 no credential opens while the audit cannot be written, nor before there is one', async () => {
  await using fixture = await vaultFixture();
  await store(fixture, {});
  const { store: db, audit } = fixture;
  db.setMaxBytes(1);
  const filler = 'x'.repeat(1_000);
  const fill = async () => {
    for (let n = 0; n < 500; n++) await audit.intent({ type: 'tool.call', reason: filler });
  };
  await assert.rejects(fill());
  let refused: unknown;
  for (let n = 0; n < 20 && refused === undefined; n++) {
    refused = await fixture.vault.credentials.open(ref, use).then(
      () => undefined,
      (error: unknown) => error,
    );
  }
  assert.ok(refused instanceof AuditError && refused.code === 'audit_unavailable');
  db.setMaxBytes(1e9);
  assert.equal((await fixture.vault.credentials.open(ref, use)).value.reveal(), 'sk-1');
  const early = await openVault({ store: db, keyFile: fixture.keyFile });
  await assert.rejects(early.credentials.open(ref, use), typed('not_attached'));
  early.close();
});

test('environment and file references: read anew, and only below an allowed folder, wherever a link leads', async () => {
  const env: Record<string, string> = { KEY: 'from-env' };
  await using fixture = await vaultFixture({ readEnv: (name) => env[name] });
  const allowed = join(fixture.folder, 'secrets');
  mkdirSync(allowed);
  mkdirSync(`${allowed}-other`);
  const file = join(allowed, 'token');
  const outside = join(`${allowed}-other`, 'token');
  writeFileSync(file, 'from-file\n');
  writeFileSync(outside, 'outside');
  symlinkSync(outside, join(allowed, 'link'));
  await fixture.reopen({ allowedFilePrefixes: [allowed] });
  const open = (reference: { env: string } | { file: string }) => fixture.vault.credentials.open(reference, use);
  const first = await open({ env: 'KEY' });
  assert.equal(first.value.reveal(), 'from-env');
  env.KEY = 'changed';
  const second = await open({ env: 'KEY' });
  assert.equal(second.value.reveal(), 'changed');
  assert.notEqual(first.version, second.version);
  assert.equal((await open({ file })).value.reveal(), 'from-file');
  writeFileSync(file, 'rewritten');
  assert.equal((await open({ file })).value.reveal(), 'rewritten');
  for (const path of [
    outside,
    join(allowed, 'link'),
    `${allowed}/../secrets-other/token`,
    join(allowed, 'absent'),
    allowed,
  ]) {
    await assert.rejects(open({ file: path }), typed('secret_not_found'), path);
  }
  await assert.rejects(open({ env: 'ABSENT' }), typed('secret_not_found'));
});
