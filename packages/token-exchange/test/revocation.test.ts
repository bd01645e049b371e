import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTokenCache, privateKeyJwt, SecretValue, type TokenExchange } from '@onbehalf/token-exchange';
import { type FakeTokenService, makeKeys } from '@onbehalf/token-exchange/testing';
import { assistant, client, leave, orders, refusedAs, researcher, setup } from './setup.ts';

const until = async (done: () => boolean, what: () => unknown) => {
  for (let wait = 0; wait < 400; wait += 1) {
    if (done()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail(`not within 2 s: ${JSON.stringify(what())}`);
};
const told = (exchange: TokenExchange, count: number) =>
  until(
    () => exchange.stats.revoked + exchange.stats.revocationsFailed >= count,
    () => exchange.stats,
  );
const tokensOf = (service: FakeTokenService) => service.revocations.map(({ form }) => form.get('token'));

test('X13 logout revokes the tokens of that person at the service, and nobody else’s', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const [alice, bob] = [await s.service.user('alice', { sid: 'login-1' }), await s.service.user('bob')];
  const mine = [
    await exchange.token({ subject: alice, target: orders }),
    await exchange.token({ subject: alice, target: leave }),
  ];
  const other = await exchange.token({ subject: bob, target: orders });
  assert.equal(exchange.forget({ loginSession: 'login-1' }), 2);
  assert.equal(exchange.stats.cached, 1);
  await told(exchange, 2);
  assert.deepEqual(new Set(tokensOf(s.service)), new Set(mine.map(({ value }) => value.reveal())));
  for (const { form, client: who, headers } of s.service.revocations) {
    assert.deepEqual([...form.keys()].sort(), ['token', 'token_type_hint']);
    assert.equal(form.get('token_type_hint'), 'access_token');
    assert.deepEqual(who, { id: 'platform', method: 'basic' });
    assert.equal(headers['content-type'], 'application/x-www-form-urlencoded');
  }
  assert.deepEqual(
    [...mine, other].map(({ value }) => s.service.isActive(value)),
    [false, false, true],
  );
  assert.deepEqual([exchange.stats.revoked, exchange.stats.revocationsFailed], [2, 0]);
  assert.equal((await exchange.token({ subject: bob, target: orders })).cached, true);
});

test('after a revocation the introspection of the service says inactive', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const token = await exchange.token({ subject: await s.service.user('alice'), session: 's', target: orders });
  const introspect = async () => {
    const body = new URLSearchParams({ token: token.value.reveal(), client_id: 'platform' });
    body.set('client_secret', 'platform-secret');
    return (await (await fetch(`${s.service.issuer}/introspect`, { method: 'POST', body })).json()) as object;
  };
  assert.equal(Object(await introspect()).active, true);
  exchange.forget({ session: 's' });
  await told(exchange, 1);
  assert.deepEqual(await introspect(), { active: false });
});

test('each token is revoked as the client that obtained it, by an assertion that is used once', async () => {
  const keys = { one: await makeKeys('one'), two: await makeKeys('two') };
  const clients = [
    { id: 'one', publicJwk: keys.one.publicJwk },
    { id: 'two', publicJwk: keys.two.publicJwk },
  ];
  await using s = await setup({ clients });
  const own = (id: 'one' | 'two') => privateKeyJwt({ id, key: keys[id].privateKey, keyId: id });
  const exchange = s.exchange({
    profile: 'rfc8693',
    delegation: 'azp',
    client: own('one'),
    clientPerAgent: [
      { agent: assistant.name, client: own('one') },
      { agent: researcher.name, client: own('two') },
    ],
  });
  const subject = await s.service.user('alice');
  for (const agent of [assistant, researcher]) await exchange.token({ subject, agent, session: 's', target: orders });
  assert.equal(exchange.forget({ session: 's' }), 2);
  await told(exchange, 2);
  assert.deepEqual(s.service.revocations.map(({ client: who }) => `${who?.id} ${who?.method}`).sort(), [
    'one private_key_jwt',
    'two private_key_jwt',
  ]);
  assert.equal(exchange.stats.revoked, 2);
});

test('forget without revoking sends nothing, and neither does an exchange that was told not to', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  const exchange = s.exchange();
  await exchange.token({ subject, target: orders });
  assert.equal(exchange.forget({ all: true }, { revoke: false }), 1);
  const quiet = s.exchange({}, { revoke: false });
  await quiet.token({ subject, target: orders });
  assert.equal(quiet.forget({ all: true }), 1);
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual([s.service.counts.revocation, exchange.stats.revoked, quiet.stats.revocationsFailed], [0, 0, 0]);
});

test('a service without the endpoint gets no request; one that is configured is used without discovery', async () => {
  await using without = await setup({ revocation: false });
  const silent = without.exchange();
  await silent.token({ subject: await without.service.user('alice'), session: 's', target: orders });
  const before = { ...without.service.counts };
  assert.equal(silent.forget({ session: 's' }), 1);
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual(without.service.counts, before);
  assert.deepEqual([silent.stats.revoked, silent.stats.revocationsFailed], [0, 0]);

  await using s = await setup();
  const { issuer, endpoint, jwksUri } = s.service;
  const all = { issuer, endpoint, jwksUri };
  const subject = await s.service.user('alice');
  const plain = s.exchange(all);
  await plain.token({ subject, target: orders });
  plain.forget({ all: true });
  const configured = s.exchange({ ...all, revocationEndpoint: `${issuer}/revoke` });
  await configured.token({ subject, target: orders });
  configured.forget({ all: true });
  await told(configured, 1);
  assert.deepEqual([s.service.counts.metadata, s.service.counts.revocation], [0, 1]);
});

test('a revocation endpoint is https or loopback, in the metadata and in the configuration', async () => {
  await using s = await setup();
  assert.throws(
    () => s.exchange({ revocationEndpoint: 'http://sts.example/revoke' }),
    refusedAs('invalid_request_configuration'),
  );
  const lying: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (!String(input).includes('well-known')) return response;
    return Response.json({ ...Object(await response.json()), revocation_endpoint: 'http://sts.example/revoke' });
  };
  const exchange = s.exchange({}, { fetch: lying });
  const call = { subject: await s.service.user('alice'), target: orders };
  await assert.rejects(exchange.token(call), refusedAs('invalid_request_configuration'));
  assert.equal(s.service.counts.token, 0);
});

test('T4 X13 a token that arrives for a forgotten flight is revoked; who asks again gets another one', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const call = { subject: await s.service.user('alice'), session: 's', target: orders };
  const release = s.service.hold();
  const waiting = [exchange.token(call), exchange.token(call)];
  await until(
    () => s.service.counts.token === 1,
    () => s.service.counts,
  );
  exchange.forget({ session: 's' });
  exchange.forget({ session: 's' });
  for (const one of waiting) await assert.rejects(one, refusedAs('revoked'));
  const again = exchange.token(call);
  await until(
    () => s.service.counts.token === 2,
    () => s.service.counts,
  );
  release();
  const { value } = await again;
  await told(exchange, 1);
  assert.equal(s.service.counts.revocation, 1);
  assert.equal(s.service.isActive(value), true);
  assert.notEqual(tokensOf(s.service)[0], value.reveal());
  assert.equal((await exchange.token(call)).value.reveal(), value.reveal());
  assert.deepEqual(
    s.outcomes.map(({ result, code }) => code ?? result),
    ['revoked', 'exchanged'],
  );
});

test('forgotten without revoking: the request under way is ended, and nothing is revoked', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const call = { subject: await s.service.user('alice'), session: 's', target: orders };
  await exchange.token({ ...call, session: 'warm' });
  const release = s.service.hold();
  const waiting = exchange.token(call);
  await until(
    () => s.service.counts.token === 2,
    () => s.service.counts,
  );
  exchange.forget({ session: 's' }, { revoke: false });
  await assert.rejects(waiting, refusedAs('revoked'));
  release();
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(s.service.counts.revocation, 0);
});

test('T4 forgotten before the request is sent: nothing is sent', async () => {
  await using s = await setup();
  const exchange = s.exchange({}, { hooks: { beforeExchange: () => void exchange.forget({ session: 's' }) } });
  const call = { subject: await s.service.user('alice'), session: 's', target: orders };
  await assert.rejects(exchange.token(call), refusedAs('revoked'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual([s.service.counts.token, s.service.counts.revocation, exchange.stats.cached], [0, 0, 0]);
});

test('what is refused or fails is counted once, tried once, and says nothing of the token', async () => {
  await using s = await setup();
  const exchange = s.exchange({}, { timeouts: { attempt: 50 } });
  const subject = await s.service.user('alice');
  const faults = ['status_500', 'status_429', 'cut', 'hang', 'redirect_307', { error: 'invalid_client', status: 401 }];
  for (const [at, fault] of (faults as Parameters<FakeTokenService['failRevocations']>[0][]).entries()) {
    s.service.failRevocations(fault);
    await exchange.token({ subject, session: String(at), target: orders });
    exchange.forget({ session: String(at) });
    await told(exchange, at + 1);
  }
  assert.equal(s.service.counts.revocation, faults.length);
  assert.equal(s.service.counts.elsewhere, 0);
  assert.deepEqual([exchange.stats.revoked, exchange.stats.revocationsFailed], [0, faults.length]);
  assert.equal(exchange.stats.breaker, 'closed');
  s.service.failRevocations(undefined);
  await exchange.token({ subject, session: 'after', target: orders });
  exchange.forget({ session: 'after' });
  await told(exchange, faults.length + 1);
  assert.equal(exchange.stats.revoked, 1);
});

test('a service that cannot revoke access tokens is asked once', async () => {
  await using s = await setup();
  s.service.failRevocations({ error: 'unsupported_token_type' });
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  for (const session of ['a', 'b', 'c']) {
    await exchange.token({ subject, session, target: orders });
    exchange.forget({ session });
    await told(exchange, 1);
  }
  assert.equal(s.service.counts.revocation, 1);
});

test('many at once: four at a time, a bounded queue, and the caller is not held', async () => {
  await using s = await setup();
  let now = 0;
  let most = 0;
  let running = 0;
  const slow: typeof fetch = async (input, init) => {
    if (!String(input).endsWith('/revoke')) return fetch(input, init);
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return new Response(null);
  };
  const cache = createTokenCache();
  const exchange = s.exchange({}, { cache, fetch: slow, monotonic: () => now });
  const subject = await s.service.user('alice');
  const first = await exchange.token({ subject, session: 'first', target: orders });
  const tags = { session: 'many', loginSession: undefined, principal: undefined, agent: undefined };
  const entry = { token: first, until: 1e9, tags: { ...tags, target: orders, tokenService: 'sts', client: client.id } };
  for (let at = 0; at < 2_000; at += 1) cache.set(String(at), entry);
  const began = performance.now();
  assert.equal(exchange.forget({ session: 'many' }), 2_000);
  assert.ok(performance.now() - began < 200);
  await told(exchange, 2_000);
  assert.deepEqual([exchange.stats.revoked, exchange.stats.revocationsFailed], [1_028, 972]);
  assert.equal(most, 4);

  // What waits too long is given up rather than kept in memory.
  for (let at = 0; at < 100; at += 1) cache.set(String(at), entry);
  exchange.forget({ session: 'many' });
  now += 10_001;
  await told(exchange, 2_100);
  assert.equal(exchange.stats.revocationsFailed, 972 + 96);
});

test('an ended token, an evicted one and one that a tool server refused are not revoked', async () => {
  await using s = await setup();
  let time = Date.now();
  const exchange = s.exchange({}, { now: () => time, cache: createTokenCache({ max: 2 }) });
  const subject = await s.service.user('alice');
  const ask = (session: string) => exchange.token({ subject, session, target: orders });
  for (const session of ['evicted', 'a', 'b']) await ask(session);
  await exchange.token({ subject, session: 'a', target: orders, refresh: true });
  time += 200_000;
  exchange.forget({ session: 'b' });
  await told(exchange, 1);
  time += 100_000;
  exchange.forget({ all: true });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual([s.service.counts.revocation, exchange.stats.revoked], [1, 1]);
});

test('a secret that cannot be had, or never comes, holds nothing up and is counted', async () => {
  await using s = await setup();
  let broken = false;
  const secret = () => (broken ? new Promise<SecretValue>(() => {}) : SecretValue.of('platform-secret'));
  const exchange = s.exchange({ client: { ...client, secret } }, { timeouts: { total: 100 } });
  const subject = await s.service.user('alice');
  await exchange.token({ subject, session: 's', target: orders });
  broken = true;
  exchange.forget({ session: 's' });
  await told(exchange, 1);
  assert.deepEqual([exchange.stats.revocationsFailed, s.service.counts.revocation], [1, 0]);
});
