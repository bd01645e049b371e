import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTokenCache, type ForgetFilter, TokenExchangeError } from '@onbehalf/token-exchange';
import { assistant, client, leave, orders, refusedAs, researcher, setup } from './setup.ts';

test('forget takes what matches within the same tick, and nothing else', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const alice = await s.service.user('alice', { sid: 'login-1' });
  const bob = await s.service.user('bob');
  const calls = {
    alice: { subject: alice, session: 'a', target: orders },
    leave: { subject: alice, session: 'a', target: leave },
    other: { subject: alice, session: 'b', target: orders, agent: researcher, actor: s.service.actor(researcher) },
    bob: { subject: bob, session: 'c', target: orders },
  };
  const cases: readonly (readonly [ForgetFilter, (keyof typeof calls)[]])[] = [
    [{}, []],
    [{ session: 'a' }, ['alice', 'leave']],
    [{ loginSession: 'login-1' }, ['alice', 'leave', 'other']],
    [{ subject: alice.principal }, ['alice', 'leave', 'other']],
    [{ subject: { ...alice.principal, issuer: 'https://other.example' } }, []],
    [{ agent: researcher.uid }, ['other']],
    [{ target: { ...orders, scopes: [] } as typeof orders }, ['alice', 'other', 'bob']],
    [{ target: { audience: ['leave-api'], resource: [] } }, ['leave']],
    [{ subject: alice.principal, target: orders }, ['alice', 'other']],
    [{ tokenService: 'sts' }, ['alice', 'leave', 'other', 'bob']],
    [{ tokenService: 'another' }, []],
    [{ all: true }, ['alice', 'leave', 'other', 'bob']],
  ];
  for (const [filter, gone] of cases) {
    for (const call of Object.values(calls)) await exchange.token(call);
    assert.equal(exchange.forget(filter), gone.length, JSON.stringify(filter));
    assert.equal(exchange.stats.cached, 4 - gone.length);
    for (const [name, call] of Object.entries(calls)) {
      const { cached } = await exchange.token(call);
      assert.equal(cached, !(gone as string[]).includes(name), `${name} after ${JSON.stringify(filter)}`);
    }
  }
});

test('T4 principal revoked while a single flight is under way: no waiter gets the token, and none is kept', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const [alice, bob] = [await s.service.user('alice'), await s.service.user('bob')];
  const release = s.service.hold();
  const waiting = Array.from({ length: 10 }, () => exchange.token({ subject: alice, target: orders }));
  const unaffected = exchange.token({ subject: bob, target: orders });
  while (s.service.counts.token < 2) await new Promise((resolve) => setTimeout(resolve, 2));
  exchange.forget({ subject: alice.principal });
  const ended = await Promise.allSettled(waiting);
  release();
  for (const one of ended) {
    assert.equal(one.status, 'rejected');
    assert.equal(one.reason instanceof TokenExchangeError && one.reason.code, 'revoked');
  }
  assert.equal((await unaffected).claims?.sub, 'bob');
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(exchange.stats.cached, 1);
});

test('T4 revoked while the subject token is being fetched, and while the audit is being written', async () => {
  await using s = await setup();
  const alice = await s.service.user('alice');
  const exchange = s.exchange(
    {},
    { hooks: { onOutcome: ({ session }) => void exchange.forget(session ? { session } : {}) } },
  );
  const slow = {
    ...alice,
    current: async () => {
      exchange.forget({ subject: alice.principal });
      return alice.current();
    },
  };
  await assert.rejects(exchange.token({ subject: slow, target: orders }), refusedAs('revoked'));
  assert.equal(s.service.counts.token, 0);
  await assert.rejects(exchange.token({ subject: alice, session: 's', target: orders }), refusedAs('revoked'));
  assert.equal(exchange.stats.cached, 0);
  assert.equal((await exchange.token({ subject: alice, target: orders })).claims?.sub, 'alice');
});

test('a rotated client credential makes the tokens of the old one unreachable', async () => {
  await using s = await setup();
  let keyId = '1';
  const rotating = {
    ...client,
    get keyId() {
      return keyId;
    },
  };
  const exchange = s.exchange({ client: rotating });
  const subject = await s.service.user('alice');
  await exchange.token({ subject, target: orders });
  keyId = '2';
  assert.equal((await exchange.token({ subject, target: orders })).cached, false);
});

test('the cache holds so many and drops the one that was used longest ago', async () => {
  await using s = await setup();
  const cache = createTokenCache({ max: 2 });
  const exchange = s.exchange({}, { cache });
  const subject = await s.service.user('alice');
  const ask = (session: string) => exchange.token({ subject, session, target: orders });
  await ask('a');
  await ask('b');
  assert.equal((await ask('a')).cached, true);
  await ask('c');
  assert.equal(cache.size, 2);
  assert.equal((await ask('a')).cached, true);
  assert.equal((await ask('b')).cached, false);
});

test('refresh asks again once in a minute, and never drops a newer token', async () => {
  await using s = await setup();
  let time = 0;
  const exchange = s.exchange({}, { monotonic: () => time });
  const subject = await s.service.user('alice');
  const call = { subject, target: orders, agent: assistant };
  const first = await exchange.token(call);
  const second = await exchange.token({ ...call, refresh: true, rejected: first.hash });
  assert.notEqual(second.hash, first.hash);
  assert.equal((await exchange.token({ ...call, refresh: true, rejected: first.hash })).hash, second.hash);
  assert.equal((await exchange.token({ ...call, refresh: true, rejected: second.hash })).hash, second.hash);
  assert.equal(s.service.counts.token, 2);
  time += 60_001;
  assert.equal((await exchange.token({ ...call, refresh: true, rejected: first.hash })).hash, second.hash);
  assert.notEqual((await exchange.token({ ...call, refresh: true, rejected: second.hash })).hash, second.hash);
});
