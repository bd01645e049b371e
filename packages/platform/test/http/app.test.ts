import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { createApp } from '../../src/http/app.ts';
import { byRole, notFound, route } from '../../src/http/route.ts';
import { type Doors, startDoors } from './doors.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

/** Addresses of the test's own, beside those of sessions. `read`: the bodies that reached a handler. */
function ownRoutes() {
  const read: unknown[] = [];
  return {
    read,
    routes: [
      route<{ text: string }>({
        ...{
          method: 'POST',
          path: '/echo',
          summary: '',
          responses: { 201: z.unknown() },
          budget: 'applies',
          bodyLimit: 1_000,
        },
        body: z.strictObject({ text: z.string() }),
        authorize: byRole('apply'),
        handle: async ({ body }) => {
          read.push(body);
          return body;
        },
      }),
      route({
        ...{ method: 'GET', path: '/broken', summary: '', responses: { 200: z.unknown() } },
        authorize: byRole('me.read'),
        handle: async () => {
          throw new Error('select secret from /var/lib/onbehalf');
        },
      }),
      route({
        ...{ method: 'GET', path: '/hidden', summary: '', responses: { 200: z.unknown() } },
        authorize: () => {
          throw notFound();
        },
        handle: async () => 1,
      }),
      route({
        ...{ method: 'GET', path: '/here-only', summary: '', localOnly: true, responses: { 204: null } },
        authorize: byRole('me.read'),
        handle: async ({ caller }) => assert.equal(caller.principal.kind, 'local'),
      }),
    ],
  };
}

const codeOf = ({ status, body }: { status: number; body: Record<string, unknown> }) => [status, body.code];

test('who it is and whether they may is asked before the body is read, and before it is said what is there', async () => {
  const { routes, read } = ownRoutes();
  await using d = await startDoors({ routes });
  const alice = await d.bearer('alice');
  const rita = await d.bearer('rita', 'RESTRICTED');
  const gone = await d.bearer('mallory', 'INACTIVE');
  for (const path of [
    '/api/echo',
    '/api/nowhere',
    '/api/agents/assistant/sessions',
    '/api/%zz',
    '/api/here-only',
    '/'.repeat(3),
  ])
    for (const headers of [{}, { authorization: 'Bearer x' }, { authorization: 'Basic eDp5' }]) {
      const answer = await d.ask('POST', path, { ...headers, ...JSON_TYPE }, '{"text": 1');
      if (path === '/api/%zz' && 'authorization' in headers) continue;
      assert.deepEqual(codeOf(answer), [401, 'unauthenticated'], path);
      assert.equal(answer.headers['www-authenticate'], 'Bearer realm="onbehalf"');
    }
  // Whoever is inactive learns nothing: not even whether the address is one.
  for (const path of ['/api/echo', '/api/nowhere', '/api/hidden'])
    assert.deepEqual(codeOf(await d.ask('POST', path, gone)), [403, 'forbidden']);
  assert.deepEqual(codeOf(await d.ask('POST', '/api/echo', { ...rita, ...JSON_TYPE }, '{')), [403, 'forbidden']);
  assert.deepEqual(codeOf(await d.ask('POST', '/api/nowhere', alice)), [404, 'not_found']);
  assert.deepEqual(codeOf(await d.ask('GET', '/api/hidden', alice)), [404, 'not_found']);
  assert.deepEqual(read, []);
  const good = await d.ask('POST', '/api/echo', { ...alice, ...JSON_TYPE }, '{"text": "hello"}');
  assert.deepEqual([good.status, good.body], [201, { text: 'hello' }]);
});

test('a body that is too large, no JSON, no UTF-8, of another type, or not what was asked for is refused in its own words', async () => {
  const { routes, read } = ownRoutes();
  await using d = await startDoors({ routes });
  const alice = { ...(await d.bearer('alice')), ...JSON_TYPE };
  for (const [body, expected, headers] of [
    [`{"text": "${'x'.repeat(1_000)}"}`, [413, 'too_large'], {}],
    ['{"text":', [400, 'invalid_request'], {}],
    [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), [400, 'invalid_request'], {}],
    ['{"text": "x", "__proto__": {}}', [400, 'invalid_request'], {}],
    ['{"text": 1, "more": 2}', [400, 'invalid_request'], {}],
    ['', [400, 'invalid_request'], {}],
    ['text=x', [415, 'unsupported_media_type'], { 'content-type': 'application/x-www-form-urlencoded' }],
    ['x', [415, 'unsupported_media_type'], { 'content-type': 'text/plain' }],
  ] as const) {
    const answer = await d.ask('POST', '/api/echo', { ...alice, ...headers }, body as string);
    assert.deepEqual(codeOf(answer), expected, String(body).slice(0, 40));
    assert.equal(answer.headers['content-type'], 'application/problem+json');
  }
  const { body } = await d.ask('POST', '/api/echo', alice, '{"text": 1, "more": 2}');
  assert.match(String(body.detail), /text: .*; body: /);
  assert.deepEqual(read, []);
});

test('an error that nobody foresaw is a 500 that says nothing, in the answer and in the log', async () => {
  await using d = await startDoors(ownRoutes());
  const answer = await d.ask('GET', '/api/broken', await d.bearer('alice'));
  assert.deepEqual(codeOf(answer), [500, 'internal']);
  assert.equal(d.logged.length, 1);
  for (const text of [answer.text, ...d.logged]) assert.equal(/secret|var\/lib/.test(text), false, text);
  assert.equal(JSON.parse(d.logged[0] ?? '{}').requestId, answer.headers['x-request-id']);
});

test('a budget is one person’s: 429 says when to come back, before the body is read; the other person goes on', async () => {
  const { routes, read } = ownRoutes();
  await using d = await startDoors({ routes, limits: { applies: 2 } });
  const send = async (headers: Record<string, string>) =>
    d.ask('POST', '/api/echo', { ...headers, ...JSON_TYPE }, '{"text": "x"}');
  const alice = await d.bearer('alice');
  assert.deepEqual([(await send(alice)).status, (await send(alice)).status], [201, 201]);
  // Another token of the same person is the same person.
  const third = await send(await d.bearer('alice'));
  assert.deepEqual(codeOf(third), [429, 'rate_limited']);
  assert.ok(Number(third.headers['retry-after']) >= 1);
  assert.equal((await send(await d.bearer('bob'))).status, 201);
  assert.equal(read.length, 3);
});

test('another host name, an overlong query and too many headers are refused before anything is asked', async () => {
  await using d = await startDoors(ownRoutes());
  const alice = await d.bearer('alice');
  for (const host of ['evil.example', 'localhost:8485', 'localhost', ''])
    assert.equal((await d.ask('GET', '/api/broken', { ...alice, host })).status, 421, host);
  assert.equal((await d.ask('GET', '/healthz', { host: '127.0.0.1:8484' })).status, 200);
  const pairs = Array.from({ length: 2_000 }, (_, n) => `a${n}=1`).join('&');
  assert.deepEqual(codeOf(await d.ask('GET', `/api/broken?${pairs}`, alice)), [414, 'query_too_large']);
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`x-${n}`, '1']));
  assert.deepEqual(codeOf(await d.ask('GET', '/api/broken', { ...alice, ...many })), [431, 'headers_too_large']);
});

test('every answer of the API is private to its caller and runs nothing in a browser', async () => {
  await using d = await startDoors(ownRoutes());
  for (const [path, headers] of [
    ['/api/nowhere', {}],
    ['/api/openapi.json', await d.bearer('alice')],
  ] as const) {
    const answer = await d.ask('GET', path, headers);
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    assert.match(String(answer.headers['content-security-policy']), /^default-src 'none'/);
    assert.match(String(answer.headers['x-request-id']), /^[0-9a-f-]{36}$/);
  }
  const { body } = await d.ask('GET', '/api/openapi.json', await d.bearer('alice'));
  assert.deepEqual([body.openapi, Object.hasOwn(body.paths as object, '/api/echo')], ['3.1.0', true]);
});

test('health is open, readiness says why not; what is for the administration socket is not there for others', async () => {
  await using d = await startDoors(ownRoutes());
  assert.deepEqual((await d.ask('GET', '/healthz')).body, { status: 'ok' });
  assert.deepEqual((await d.ask('GET', '/readyz')).body, { status: 'ok' });
  assert.equal((await d.ask('GET', '/api/healthcheck')).body.status, 'ok');
  d.readiness.drain();
  const answer = await d.ask('GET', '/readyz');
  assert.deepEqual(
    [answer.status, answer.body, answer.headers['retry-after']],
    [503, { status: 'not ready', reason: 'shutting down' }, '5'],
  );
  assert.equal((await d.ask('GET', '/healthz')).status, 200);
  assert.equal((await d.ask('GET', '/api/here-only', await d.bearer('root', 'ADMIN'))).status, 404);
  const local = await createApp(d.app, 'local');
  assert.equal((await local.app.inject({ method: 'GET', url: '/api/here-only' })).statusCode, 204);
  await local.app.close();
});

test('refusals are lines of the audit that name who was refused, with the path and without the query', async () => {
  await using d: Doors = await startDoors(ownRoutes());
  await d.ask('POST', '/api/echo?access-token=abc', { ...(await d.bearer('rita', 'RESTRICTED')), ...JSON_TYPE }, '{}');
  await d.ask('GET', '/api/echo', { authorization: 'Bearer forged.token.here' });
  let lines: Awaited<ReturnType<typeof d.chain.audit.query>> = [];
  while (lines.length < 2) {
    await new Promise((resolve) => setImmediate(resolve));
    lines = await d.chain.audit.query({ type: 'refusal', limit: 10 });
  }
  const [one, two] = lines
    .map(({ entry }) => entry)
    .sort((a, b) => Number(b.principal !== undefined) - Number(a.principal !== undefined));
  assert.deepEqual(
    [one?.principal?.subject, one?.code, one?.data],
    ['rita', 'forbidden', { method: 'POST', path: '/api/echo' }],
  );
  assert.deepEqual([two?.principal, two?.address, two?.decision], [undefined, '127.0.0.1', 'deny']);
  assert.equal(JSON.stringify(lines).includes('forged'), false);
});
