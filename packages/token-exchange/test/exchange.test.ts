import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { createTokenExchange, type SubjectSource } from '@onbehalf/token-exchange';
import { decodeJwt } from 'jose';
import { assistant, client, leave, manualClock, orders, refusedAs, researcher, setup } from './setup.ts';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';

test('two users and two servers: four tokens, each for its user, its agent and its server only', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const [alice, bob] = await Promise.all([s.service.user('alice'), s.service.user('bob')]);
  for (const subject of [alice, bob]) {
    for (const target of [orders, leave]) {
      const { value, type, scope } = await exchange.token({ subject, session: 's', target });
      const claims = decodeJwt(value.reveal());
      assert.equal(claims.sub, subject.principal.subject);
      assert.equal(claims.aud, target.audience[0] ?? target.resource[0]);
      assert.deepEqual(claims.act, {
        sub: 'agent:default/assistant',
        iss: 'https://platform.example',
        agent_uid: 'uid-assistant',
      });
      assert.equal(scope, target.scopes[0]);
      assert.equal(type, ACCESS_TOKEN);
    }
  }
  assert.equal(s.service.counts.token, 4);
  assert.deepEqual(exchange.stats.exchanges, 4);
});

test('the form is what RFC 8693 and RFC 8707 say, letter for letter', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  const exchange = s.exchange({ profile: 'rfc8693', requestedTokenType: ACCESS_TOKEN });
  const target = { audience: ['b', '', 'a'], resource: ['https://h', 'urn:x:y'], scopes: ['two', 'one', 'two'] };
  await exchange.token({ subject, target });
  const [request] = s.service.requests;
  const { token } = await subject.current();
  const form = [...(request?.form ?? [])];
  const actor = form.find(([name]) => name === 'actor_token')?.[1] ?? '';
  assert.equal(decodeJwt(actor).aud, s.service.issuer);
  assert.deepEqual(form, [
    ['grant_type', EXCHANGE],
    ['subject_token', token.reveal()],
    ['subject_token_type', ACCESS_TOKEN],
    ['actor_token', actor],
    ['actor_token_type', JWT],
    ['requested_token_type', ACCESS_TOKEN],
    ['audience', 'b'],
    ['audience', 'a'],
    ['resource', 'https://h'],
    ['resource', 'urn:x:y'],
    ['scope', 'two one'],
  ]);
  assert.equal(request?.headers['content-type'], 'application/x-www-form-urlencoded');
  assert.equal(request?.client?.method, 'basic');
});

test('without an actor neither actor field is sent, and the result need not name one', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  await s.exchange({ delegation: 'none' }).token({ subject, target: orders });
  const names = [...(s.service.requests[0]?.form.keys() ?? [])];
  assert.deepEqual(names, ['grant_type', 'subject_token', 'subject_token_type', 'resource', 'scope']);
});

for (const resource of [
  'orders',
  '/mcp',
  'https://h/#',
  'https://h/#f',
  ' https://h',
  'https://h\n',
  'https://[',
  '//h',
]) {
  test(`the resource ${JSON.stringify(resource)} is refused before anything is sent`, async () => {
    await using s = await setup();
    const subject = await s.service.user('alice');
    const target = { audience: [], resource: [resource], scopes: [] };
    await assert.rejects(s.exchange().token({ subject, target }), refusedAs('invalid_request_configuration'));
    assert.equal(s.service.counts.token, 0);
  });
}

test('a target without audience and resource, or with several at the embedded service, is refused', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  for (const target of [
    { audience: [''], resource: [], scopes: [] },
    { audience: ['a', 'b'], resource: [], scopes: [] },
    { audience: ['a'], resource: [], scopes: ['two words'] },
  ]) {
    await assert.rejects(s.exchange().token({ subject, target }), refusedAs('invalid_request_configuration'));
  }
  assert.equal(s.service.counts.token, 0);
  assert.equal(s.outcomes.filter(({ result }) => result === 'refused').length, 3);
});

test('a hit asks nobody, and says that it is one', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  const first = await exchange.token({ subject, session: 's', target: orders });
  const second = await exchange.token({ subject, session: 's', target: { ...orders }, context: { turn: 't1' } });
  assert.equal(first.cached, false);
  assert.equal(second.cached, true);
  assert.equal(second.value, first.value);
  assert.equal(s.service.counts.token, 1);
  assert.deepEqual(
    s.hits.map(({ result, context, hash }) => ({ result, context, hash })),
    [{ result: 'cached', context: { turn: 't1' }, hash: first.hash }],
  );
});

test('everything that makes a difference makes another exchange', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const [alice, again] = await Promise.all([s.service.user('alice'), s.service.user('alice')]);
  const call = { subject: alice, session: 's', target: orders };
  for (const request of [
    call,
    { ...call, session: 't' },
    { ...call, subject: again },
    { ...call, target: { ...orders, scopes: [] } },
    { ...call, target: { ...orders, scopes: ['orders.read', 'orders.refund'] } },
    { ...call, target: { ...orders, resource: ['https://orders.internal/mcp/'] } },
    { ...call, agent: researcher, actor: s.service.actor(researcher) },
    {
      ...call,
      agent: { ...assistant, uid: 'uid-made-again' },
      actor: s.service.actor({ ...assistant, uid: 'uid-made-again' }),
    },
  ]) {
    assert.equal((await exchange.token(request)).cached, false);
    assert.equal((await exchange.token(request)).cached, true);
  }
  assert.equal(s.service.counts.token, 8);
});

for (const length of [20, 200, 1000]) {
  test(`X1 users whose tokens share the first ${length} characters get different tokens`, async () => {
    await using s = await setup({ subId: false });
    const exchange = s.exchange({ profile: 'rfc8693', delegation: 'none' });
    const shared = 'x'.repeat(length);
    const tokens = await Promise.all(
      ['alice', 'bob'].map((sub) => s.service.sign({ padding: shared, iss: s.service.issuer, sub })),
    );
    const [a = '', b = ''] = tokens.map((token) => token.reveal());
    assert.equal(a.slice(0, length), b.slice(0, length));
    const [alice, bob] = await Promise.all(
      ['alice', 'bob'].map((subject, at) =>
        exchange.token({ subject: fixed(s.service.issuer, subject, tokens[at]), session: 's', target: orders }),
      ),
    );
    assert.equal(alice?.claims?.sub, 'alice');
    assert.equal(bob?.claims?.sub, 'bob');
    assert.notEqual(alice?.hash, bob?.hash);
  });
}

test('X4 100 parallel first calls make one request per target', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  const calls = Array.from({ length: 200 }, (_, at) =>
    exchange.token({ subject, session: 's', target: at % 2 === 0 ? orders : leave }),
  );
  const tokens = await Promise.all(calls);
  assert.equal(s.service.counts.token, 2);
  assert.equal(new Set(tokens.map(({ hash }) => hash)).size, 2);
  assert.equal(tokens.filter(({ joined }) => joined).length, 198);
  assert.equal(s.hits.filter(({ result }) => result === 'joined').length, 198);
  assert.equal(s.service.counts.metadata, 1);
  assert.equal(s.service.counts.jwks, 1);
});

test('X4 a waiter that gives up, even the first, does not take the others down', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  const release = s.service.hold();
  const impatient = new AbortController();
  const first = exchange.token({ subject, target: orders, signal: impatient.signal });
  const others = [1, 2, 3].map(() => exchange.token({ subject, target: orders }));
  impatient.abort();
  await assert.rejects(first, { name: 'AbortError' });
  release();
  for (const token of await Promise.all(others)) assert.equal(token.claims?.sub, 'alice');
  assert.equal(s.service.counts.token, 1);
});

test('X15 the actor token of agent A is not used for agent B, and nothing is cached', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  const ofAssistant = s.service.actor(assistant);
  const posing = { ...s.service.actor(researcher), current: ofAssistant.current };
  for (const actor of [ofAssistant, posing]) {
    const call = { subject, target: orders, agent: researcher, actor };
    await assert.rejects(exchange.token(call), refusedAs('invalid_request_configuration'));
  }
  assert.equal(s.service.counts.token, 0);
  assert.equal(exchange.stats.cached, 0);
});

test('X15 a service that names another agent in act is not believed', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  s.service.next(({ claims }) => {
    claims.act = { sub: 'agent:default/researcher' };
  });
  await assert.rejects(exchange.token({ subject, target: orders }), refusedAs('untrusted_response', 'actor'));
  assert.equal(exchange.stats.cached, 0);
});

test('delegation without an actor is a mistake of the configuration, not a silent impersonation', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');

  const exchange = createTokenExchange({
    tokenService: { name: 'sts', profile: 'rfc8693', client, issuer: s.service.issuer },
    agent: assistant,
  });
  await assert.rejects(exchange.token({ subject, target: orders }), refusedAs('invalid_request_configuration'));
  assert.equal(s.service.counts.token, 0);
});

test('a life ends 15 s before the first end that anybody names, on a clock that does not jump', async () => {
  await using s = await setup({ lifetime: 200 });
  const clock = manualClock();
  const exchange = s.exchange({}, { monotonic: clock.monotonic });
  const subject = await s.service.user('alice');
  await exchange.token({ subject, target: orders });
  clock.advance(184_000);
  assert.equal((await exchange.token({ subject, target: orders })).cached, true);
  clock.advance(1_100);
  assert.equal((await exchange.token({ subject, target: orders })).cached, false);

  const brief = await s.service.user('bob', { lifetime: 100 });
  await exchange.token({ subject: brief, target: orders });
  clock.advance(86_000);
  assert.equal((await exchange.token({ subject: brief, target: orders })).cached, false);
});

test('X14 an expired subject token is refused, from the cache as well', async () => {
  await using s = await setup();
  let time = Date.now();
  const exchange = s.exchange({}, { now: () => time, monotonic: () => 0 });
  const subject = await s.service.user('alice', { lifetime: 100 });
  await exchange.token({ subject, target: orders });
  time += 101_000;
  await assert.rejects(exchange.token({ subject, target: orders }), refusedAs('subject_rejected'));
  assert.equal(s.service.counts.token, 1);
});

test('P2 two issuers with the same subject are two people', async () => {
  await using s = await setup({ prefix: 'partner' });
  const exchange = s.exchange();
  const [ours, theirs] = await Promise.all([
    s.service.user('42'),
    s.service.user('42', { issuer: 'https://partner.example' }),
  ]);
  assert.equal((await exchange.token({ subject: ours, target: orders })).claims?.sub, '42');
  assert.equal((await exchange.token({ subject: theirs, target: orders })).claims?.sub, 'partner:42');
  const posing: SubjectSource = { ...theirs, principal: ours.principal };
  await assert.rejects(exchange.token({ subject: posing, target: orders }), refusedAs('untrusted_response', 'subject'));
});

function fixed(issuer: string, subject: string, token: SecretValue | undefined): SubjectSource {
  return {
    principal: { issuer, subject },
    refreshable: false,
    current: async () => ({ token: token ?? SecretValue.of('none'), tokenType: ACCESS_TOKEN, expiresAt: undefined }),
  };
}

test('the margin decides how near its end a token is still handed out', async () => {
  for (const [margin, calls] of [
    [0, 1],
    [15, 1],
    [60, 2],
  ] as const) {
    await using s = await setup();
    const clock = manualClock();
    const exchange = s.exchange({}, { margin, monotonic: clock.monotonic });
    const subject = await s.service.user('alice');
    await exchange.token({ subject, target: orders });
    clock.advance(250_000);
    await exchange.token({ subject, target: orders });
    assert.equal(s.service.counts.token, calls, String(margin));
  }
});
