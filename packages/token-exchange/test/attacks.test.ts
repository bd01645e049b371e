import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIdentityFetch, type SubjectSource, type Target } from '@onbehalf/token-exchange';
import { leave, orders, refusedAs, researcher, setup } from './setup.ts';
import { startToolServer } from './tool-server.ts';

const until = async (done: () => boolean) => {
  for (let wait = 0; wait < 400 && !done(); wait += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(done(), 'not within 2 s');
};
const rpc = (method: string) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: {} }),
});

test('X1 session ids made of separators, lengths and control characters never meet another session', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const [alice, bob] = [await s.service.user('alice'), await s.service.user('bob')];
  const sessions = [
    'a',
    'a:b',
    '1:a',
    '3:a:b',
    '-',
    '',
    ' ',
    'a ',
    '\u0000',
    'a\u0000',
    '__proto__',
    'e\u0301',
    '\u00e9',
    'A',
  ];
  const seen = new Map<string, string>();
  for (const subject of [alice, bob])
    for (const session of sessions) {
      const token = await exchange.token({ subject, session, target: orders });
      assert.equal(token.cached, false, `${subject.principal.subject} in ${JSON.stringify(session)}`);
      assert.equal(token.claims?.sub, subject.principal.subject);
      seen.set(token.hash, session);
    }
  assert.equal(seen.size, sessions.length * 2);
  // Forgetting one forgets that one alone.
  for (const [at, session] of sessions.entries()) {
    assert.equal(exchange.forget({ session }, { revoke: false }), 2, JSON.stringify(session));
    assert.equal(exchange.stats.cached, (sessions.length - at - 1) * 2);
  }
});

test('X1 a person cannot be made of another by moving the border between issuer and subject', async () => {
  await using s = await setup();
  const exchange = s.exchange({ profile: 'rfc8693' });
  const one = await s.service.user('x', { issuer: 'https://a.example/' });
  const token = (await one.current()).token;
  const asked: SubjectSource = { ...one, current: async () => ({ ...(await one.current()), token }) };
  await exchange.token({ subject: asked, target: orders });
  const moved = { issuer: 'https://a.example', subject: '/x' };
  await assert.rejects(
    exchange.token({ subject: { ...asked, principal: moved }, target: orders }),
    refusedAs('untrusted_response', 'subject'),
  );
  assert.equal(exchange.forget({ subject: moved }, { revoke: false }), 0);
});

test('X1 resources are compared as written: spellings of one address are different targets', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  const spellings = [
    'https://orders.internal/mcp',
    'https://orders.internal/mcp/',
    'https://orders.internal:443/mcp',
    'https://ORDERS.internal/mcp',
    'HTTPS://orders.internal/mcp',
    'https://orders.internal/%6dcp',
    'https://orders.internal/%6Dcp',
    'https://orders.internal/x/../mcp',
    'https://orders.internal./mcp',
    'https://xn--orders-9ya.internal/mcp',
  ];
  for (const resource of spellings) {
    const token = await exchange.token({ subject, target: { audience: [], resource: [resource], scopes: [] } });
    assert.equal(token.cached, false, resource);
    assert.deepEqual(s.service.requests.at(-1)?.form.getAll('resource'), [resource]);
    assert.deepEqual(token.claims?.aud, [resource]);
  }
  for (const resource of [
    'https://ördérs.internal/mcp',
    'https://orders.internal/mcp\u200b',
    'https://orders.internal/a b',
  ])
    await assert.rejects(
      exchange.token({ subject, target: { audience: [], resource: [resource], scopes: [] } }),
      refusedAs('invalid_request_configuration'),
    );
  // A service that answers with another spelling has answered for another target.
  const target: Target = { audience: [], resource: ['https://orders.internal/mcp?a'], scopes: [] };
  for (const aud of [
    'https://orders.internal/mcp',
    'https://orders.internal/mcp?A',
    'https://orders.internal/mcp?a#',
  ]) {
    s.service.next((issue) => Object.assign(issue.claims, { aud }));
    await assert.rejects(exchange.token({ subject, target }), refusedAs('untrusted_response', 'audience'));
  }
});

test('X1 audiences that look alike are different: composed and decomposed, with and without case', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  const ask = (audience: string) =>
    exchange.token({ subject, target: { audience: [audience], resource: [], scopes: [] } });
  for (const audience of ['caf\u00e9', 'cafe\u0301', 'CAFE', 'cafe', 'cafe ']) {
    const token = await ask(audience);
    assert.deepEqual([token.cached, token.claims?.aud], [false, [audience]]);
  }
  s.service.next((issue) => Object.assign(issue.claims, { aud: 'th\u00e9' }));
  await assert.rejects(ask('the\u0301'), refusedAs('untrusted_response', 'audience'));
});

test('X6 a service that answers first with another user’s token: refused, not kept, and the next answer is good', async () => {
  await using s = await setup();
  // It answers each question with the answer to the one before, both of them real.
  let held: Response | undefined;
  let mixing = false;
  const mixed: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (!mixing || !String(input).endsWith('/token')) return response;
    const before = held;
    held = response.clone();
    return before ?? response;
  };
  const exchange = s.exchange({}, { fetch: mixed });
  const [alice, bob] = [await s.service.user('alice'), await s.service.user('bob')];
  await exchange.token({ subject: alice, session: 'warm', target: orders });
  mixing = true;
  assert.equal((await exchange.token({ subject: alice, target: orders })).claims?.sub, 'alice');
  await assert.rejects(exchange.token({ subject: bob, target: orders }), refusedAs('untrusted_response', 'subject'));
  assert.equal(exchange.stats.cached, 2);
  mixing = false;
  const good = await exchange.token({ subject: bob, target: orders });
  assert.deepEqual([good.claims?.sub, good.cached], ['bob', false]);
  assert.equal(s.outcomes.filter(({ result }) => result === 'refused').length, 1);
});

test('X6 the same person’s token for another agent’s target, session or scope does not pass either', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  const call = { subject, target: orders };
  s.service.next((issue) => Object.assign(issue.claims, { act: { sub: `agent:${researcher.name}` } }));
  await assert.rejects(exchange.token(call), refusedAs('untrusted_response', 'actor'));
  s.service.next((issue) => Object.assign(issue.claims, { aud: leave.audience }));
  await assert.rejects(exchange.token(call), refusedAs('untrusted_response', 'audience'));
  s.service.next((issue) => Object.assign(issue.claims, { scope: 'orders.read orders.refund' }));
  await assert.rejects(exchange.token(call), refusedAs('untrusted_response', 'scope'));
  assert.equal(exchange.stats.cached, 0);
});

test('X9 T3 a storm of 1,000 refused tokens at once brings one exchange more', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const call = { subject: await s.service.user('alice'), session: 's', target: orders };
  const first = await exchange.token(call);
  const storm = Array.from({ length: 1_000 }, () => exchange.token({ ...call, refresh: true, rejected: first.hash }));
  const after = new Set((await Promise.all(storm)).map(({ hash }) => hash));
  assert.equal(after.size, 1);
  assert.ok(!after.has(first.hash));
  assert.equal(s.service.counts.token, 2);
  const [second = ''] = after;
  const again = Array.from({ length: 1_000 }, () => exchange.token({ ...call, refresh: true, rejected: second }));
  await Promise.allSettled(again);
  assert.equal(s.service.counts.token, 2);
});

test('X9 100 calls in parallel to a tool server that refuses every token: two exchanges in all', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  tools.intercept = (_seen, response) => response.writeHead(401, { 'www-authenticate': 'Bearer' }).end();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  const target: Target = { audience: [], resource: [tools.url], scopes: [], url: tools.url };
  const fetcher = createIdentityFetch({ exchange, target, subject, session: 's' })(fetch);
  const calls = await Promise.allSettled(Array.from({ length: 100 }, () => fetcher(tools.url, rpc('tools/call'))));
  for (const one of calls) assert.equal(one.status, 'rejected');
  assert.equal(s.service.counts.token, 2);
  assert.ok(tools.seen.length <= 200);
});

test('X14 the subject ends in the turn: no exchange and no call afterwards; other requests go on without a token', async () => {
  let time = Date.now();
  await using s = await setup({ now: () => time });
  await using tools = await startToolServer(s.service, { open: ['tools/list'] });
  const exchange = s.exchange({}, { now: () => time });
  const subject = await s.service.user('alice', { lifetime: 120 });
  const target: Target = { audience: [], resource: [tools.url], scopes: [], url: tools.url };
  const fetcher = createIdentityFetch({ exchange, target, subject })(fetch);
  await fetcher(tools.url, rpc('tools/call'));
  time += 121_000;
  const before = { tools: tools.seen.length, service: s.service.counts.token };
  for (let call = 0; call < 3; call += 1)
    await assert.rejects(fetcher(tools.url, rpc('tools/call')), refusedAs('subject_rejected'));
  assert.deepEqual({ tools: tools.seen.length, service: s.service.counts.token }, before);
  const other = createIdentityFetch({ exchange, target, subject })(fetch);
  assert.equal((await other(tools.url, rpc('tools/list'))).status, 200);
  assert.equal(tools.seen.at(-1)?.authorization, undefined);
  assert.equal(s.service.counts.token, before.service);
});

test('X14 the subject is renewed while an exchange is under way: each token is its own key, and neither replaces the other', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const [old, fresh] = [await s.service.user('alice'), await s.service.user('alice')];
  let current = old;
  const subject: SubjectSource = { ...old, refreshable: true, current: (signal) => current.current(signal) };
  const release = s.service.hold();
  const first = exchange.token({ subject, session: 's', target: orders });
  await until(() => s.service.counts.token === 1);
  current = fresh;
  const second = exchange.token({ subject, session: 's', target: orders });
  await until(() => s.service.counts.token === 2);
  release();
  const [a, b] = [await first, await second];
  assert.notEqual(a.hash, b.hash);
  assert.equal((await exchange.token({ subject, session: 's', target: orders })).hash, b.hash);
  assert.deepEqual(
    await Promise.all([old, fresh].map(async (one) => (await one.current()).token.reveal())),
    s.service.requests.map(({ form }) => form.get('subject_token')),
  );
});

test('T4 forgotten twice in a tick while a flight is under way; the same key asked at once gets a token of its own', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const call = { subject: await s.service.user('alice'), session: 's', target: orders };
  for (const revoke of [true, false]) {
    const [before, gone] = [s.service.counts.token, s.service.counts.revocation];
    const release = s.service.hold();
    const waiting = exchange.token(call);
    await until(() => s.service.counts.token === before + 1);
    assert.deepEqual(
      [exchange.forget({ session: 's' }, { revoke }), exchange.forget({ all: true }, { revoke })],
      [0, 0],
    );
    const again = exchange.token(call);
    await assert.rejects(waiting, refusedAs('revoked'));
    release();
    const { hash } = await again;
    const kept = await exchange.token(call);
    assert.deepEqual([kept.hash, kept.cached], [hash, true]);
    await until(() => s.service.counts.revocation === gone + (revoke ? 1 : 0));
    exchange.forget({ all: true }, { revoke: false });
  }
});

test('T4 a hundred forgets while a hundred exchanges are under way: nothing forgotten is delivered or kept', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  const bob = await s.service.user('bob');
  const release = s.service.hold();
  const waiting = Array.from({ length: 100 }, (_, at) =>
    exchange.token({ subject, session: `s${at}`, target: orders }),
  );
  const other = exchange.token({ subject: bob, session: 's0', target: orders });
  await until(() => s.service.counts.token === 101);
  for (let at = 0; at < 100; at += 1)
    exchange.forget(at % 2 ? { subject: subject.principal } : { session: `s${at}`, agent: 'x' });
  release();
  for (const one of await Promise.allSettled(waiting)) assert.equal(one.status, 'rejected');
  assert.equal((await other).claims?.sub, 'bob');
  await until(() => exchange.stats.revoked === 100);
  assert.equal(exchange.stats.cached, 1);
  assert.equal(s.service.isActive((await other).value), true);
});

test('X13 after forget no token of the person is reachable from the exchange, whatever holds it', async () => {
  await using s = await setup({ revocation: false });
  const exchange = s.exchange();
  const references: WeakRef<object>[] = [];
  const make = async () => {
    const subject = await s.service.user('alice');
    const token = await exchange.token({ subject, session: 's', target: orders });
    references.push(new WeakRef(token.value), new WeakRef((await subject.current()).token));
  };
  await make();
  exchange.forget({ session: 's' });
  const collect = await collector();
  for (let turn = 0; turn < 50 && references.some((one) => one.deref() !== undefined); turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    collect();
  }
  assert.deepEqual(
    references.map((one) => one.deref()),
    [undefined, undefined],
  );
});

async function collector(): Promise<() => void> {
  const [{ setFlagsFromString }, { runInNewContext }] = await Promise.all([import('node:v8'), import('node:vm')]);
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
