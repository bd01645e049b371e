import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt } from 'jose';
import { keepHouse } from '../../src/people/housekeeping.ts';
import { postForm } from '../issuer/browser.ts';
import { exchange, exchangeForm } from '../issuer/exchange-fixture.ts';
import { identityFixture, ORDERS } from '../issuer/fixture.ts';
import { signInByLink } from './people.ts';

test('what has ended is deleted, and nothing that has not', async () => {
  await using f = await identityFixture();
  const alice = await signInByLink(f, 'alice');
  await exchange(f, alice.access_token, ORDERS);
  await f.identity.loginLinks.create('bob');
  const revoke = { client_id: 'cli', token: alice.refresh_token };
  assert.equal((await postForm(f.publicUrl, revoke, '/sts/revoke')).status, 200);
  const tables = ['jtis', 'login_links', 'deny_list', 'oidc_rows'] as const;
  const count = async () => {
    const counts: number[] = [];
    for (const table of tables)
      counts.push((await f.store.read(f.store.builder.selectFrom(table).selectAll().compile())).length);
    return counts;
  };
  const onError = (error: unknown) => assert.fail(String(error));
  const house = keepHouse({ store: f.store, now: f.now, work: async () => undefined, onError });
  const before = await count();
  assert.deepEqual(before.slice(0, 3), [2, 2, 1]);
  await house.sweep();
  assert.deepEqual(await count(), before);
  f.clock.ahead = 12 * 60_000;
  await house.sweep();
  assert.deepEqual((await count()).slice(0, 3), [0, 0, 0]);
  const sid = { issuer: f.publicUrl, subject: 'alice', sid: 'any' };
  assert.equal(f.identity.principals.denied(sid), false);
  house.close();
});

test('a revoked token stays refused for as long as anybody believes it, which is a little longer than it lives', async () => {
  await using f = await identityFixture();
  const { access_token: token } = await signInByLink(f, 'alice');
  const bob = await signInByLink(f, 'bob');
  const onError = (error: unknown) => assert.fail(String(error));
  const house = keepHouse({ store: f.store, now: f.now, work: async () => undefined, onError });
  const verify = (value: string) => f.identity.verifier.verify(SecretValue.of(value), 'api');
  assert.equal((await verify(token)).subject, 'alice');
  assert.equal((await postForm(f.publicUrl, { client_id: 'cli', token }, '/sts/revoke')).status, 200);
  const end = Number(decodeJwt(token).exp) * 1_000;
  for (const ahead of [0, 25_000]) {
    f.clock.ahead = ahead === 0 ? 0 : end + ahead - Date.now();
    await house.sweep();
    await assert.rejects(verify(token), { code: 'token_revoked' });
  }
  assert.equal((await verify(bob.access_token)).subject, 'bob', 'not yet over for anybody else');
  house.close();
});

test('L3 E1 an audit that cannot be written: no token, and another try works', async () => {
  await using f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  const { commit } = f.store;
  const form = await exchangeForm(f, subject, ORDERS);
  f.store.commit = () => Promise.reject(new Error('the disk is full'));
  const refused = await postForm(f.publicUrl, form);
  f.store.commit = commit;
  assert.deepEqual([refused.status, refused.body.error], [500, 'server_error']);
  assert.equal('access_token' in refused.body, false);
  assert.doesNotMatch(JSON.stringify(refused.body), /disk/);
  assert.equal((await postForm(f.publicUrl, form)).status, 200);
  assert.ok(f.errors.length > 0);
});
