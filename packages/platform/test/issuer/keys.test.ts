import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createVerifier } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { StoreError } from '../../src/store/index.ts';
import { signInByLink } from '../people/people.ts';
import { postForm } from './browser.ts';
import { exchange, platformExchange } from './exchange-fixture.ts';
import { type IdentityFixture, identityFixture, ORDERS } from './fixture.ts';

const keySet = async (f: IdentityFixture) => (await (await fetch(`${f.publicUrl}/jwks`)).json()) as JSONWebKeySet;
const kidOf = (token: string) => decodeProtectedHeader(token).kid ?? '';

test('keys change under traffic, and no token is refused', async () => {
  await using f = await identityFixture();
  const verifier = createVerifier({
    ...{ issuers: () => [f.identity.issuerConfig()], principals: f.identity.principals, now: f.now },
  });
  const tokens = await signInByLink(f, 'alice');
  const before = await keySet(f);
  const old = kidOf(tokens.access_token);
  const stop = { now: false };
  const used = new Set<string>();
  const traffic = (async () => {
    while (!stop.now) {
      const { status, body } = await exchange(f, tokens.access_token, ORDERS);
      assert.equal(status, 200);
      const token = String(body.access_token);
      used.add(kidOf(token));
      const options = { issuer: f.publicUrl, audience: ORDERS, currentDate: new Date(f.now()) };
      await jwtVerify(token, createLocalJWKSet(await keySet(f)), options);
    }
  })();
  await f.identity.rotateKeys();
  const during = await keySet(f);
  assert.equal(during.keys.length, 2);
  // Published, and not used yet: a tool server that has just fetched the old set cannot know it.
  const published = during.keys.find(({ kid }) => kid !== old)?.kid ?? '';
  const { body } = await exchange(f, tokens.access_token, ORDERS);
  const stale = { issuer: f.publicUrl, audience: ORDERS };
  await jwtVerify(String(body.access_token), createLocalJWKSet(before), stale);
  // In steps, because what is on its way is worth a minute.
  while (f.clock.ahead < 61_000) {
    f.clock.ahead += 12_200;
    await exchange(f, tokens.access_token, ORDERS);
  }
  const refreshed = await postForm(f.publicUrl, {
    ...{ grant_type: 'refresh_token', client_id: 'cli', refresh_token: tokens.refresh_token },
  });
  assert.equal(kidOf(String(refreshed.body.access_token)), published);
  assert.equal(kidOf(String((await exchange(f, tokens.access_token, ORDERS)).body.access_token)), published);
  await verifier.verify(SecretValue.of(tokens.access_token), 'api');
  await verifier.verify(SecretValue.of(String(refreshed.body.access_token)), 'api');
  stop.now = true;
  await traffic;
  assert.deepEqual([...used].sort(), [old, published].sort());
  await f.restart();
  assert.equal((await exchange(f, tokens.access_token, ORDERS)).status, 200);
  f.clock.ahead = 17 * 60_000;
  assert.deepEqual(
    (await keySet(f)).keys.map(({ kid }) => kid),
    [published],
  );
  assert.equal(
    (await f.audit.query({ type: 'change' })).filter(({ entry }) => entry.outcome === 'signing keys').length,
    2,
  );
  verifier.close();
  assert.deepEqual(f.errors, []);
});

test('V6 nothing that signs or stands for a person is in the database in the clear', async () => {
  await using f = await identityFixture();
  await f.withPasswords();
  const tokens = await signInByLink(f, 'alice');
  const { body } = await exchange(f, tokens.access_token, ORDERS);
  await platformExchange(f).workloadToken({
    ...{ agent: 'platform', target: { audience: [], resource: [ORDERS], scopes: [] } },
  });
  const dump: string[] = [];
  for (const table of ['sealed', 'oidc_rows', 'login_links', 'clients', 'jtis', 'audit_lines', 'passwords'] as const)
    dump.push(JSON.stringify(await f.store.read(f.store.builder.selectFrom(table).selectAll().compile())));
  const all = `${dump.join('\n')}${readFileSync(f.databaseFile).toString('latin1')}`;
  const secrets = [tokens.access_token, tokens.refresh_token, tokens.id_token, String(body.access_token)];
  for (const secret of secrets) assert.equal(all.includes(secret.split('.').at(-1) ?? secret), false);
  for (const mark of ['"d":', 'PRIVATE KEY', 'correct horse']) assert.equal(all.includes(mark), false, mark);
});

test('keys that cannot be read when they have changed are read again, and the process goes on', async () => {
  await using f = await identityFixture();
  const { read } = f.store;
  let refused = 0;
  f.store.read = (query) => {
    if (!query.sql.includes('"sealed"') || refused > 0) return read(query);
    refused++;
    return Promise.reject(new StoreError('store_failed', 'the store failed'));
  };
  // As another replica's rotation is heard of.
  await f.store.commit({ statements: [], changes: [{ kind: 'IssuerKeys', key: 'signing', op: 'put' }] });
  while (refused === 0) await new Promise((resolve) => setImmediate(resolve));
  f.store.read = read;
  const tokens = await signInByLink(f, 'alice');
  assert.equal((await exchange(f, tokens.access_token, ORDERS)).status, 200);
});
