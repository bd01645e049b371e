import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli, type RunOptions, signedIn, startServer } from './harness.ts';

const event = (seq: number, type: string, data: object, more: object = {}) => ({
  v: 1,
  session: 's-1',
  seq,
  turn: 't-1',
  at: '2026-01-01T00:00:00Z',
  type,
  data,
  ...more,
});

const whole = (end: object) => [
  event(1, 'turn.started', {}),
  event(2, 'message', { role: 'user', text: 'hi' }),
  event(3, 'tool.call', {
    server: 'orders',
    tool: 'list_orders',
    name: 'orders_list_orders',
    arguments: { q: '\u001b[2J' },
  }),
  event(4, 'exchange', {
    server: 'orders',
    mode: 'Exchange',
    result: 'exchanged',
    subject: { issuer: 'i', subject: 'alice' },
    act: ['urn:agent:assistant'],
    granted: { audience: ['http://orders/mcp'], scope: 'orders.read' },
    ms: 11.6,
  }),
  event(5, 'tool.result', { server: 'orders', tool: 'list_orders', isError: false, output: '[]', ms: 3 }),
  event(6, 'delta', { text: 'Two ' }),
  event(7, 'delta', { text: 'orders.\u001b[31m' }),
  event(8, 'message', { role: 'assistant', text: 'Two orders.\u001b[31m' }),
  event(9, 'turn.ended', end),
];

/** Answers with these events, and then says nothing more where the turn has not ended. */
const turnServer = (events: readonly object[]) =>
  startServer(({ method, path, headers }, response) => {
    if (path === '/api/agents/assistant/sessions') return { status: 201, body: { id: 's-1' } };
    if (path.endsWith('/stop')) return { status: 200, body: { stopped: true, turn: 't-1' } };
    if (path.endsWith('/messages') && method === 'POST') {
      if (headers.accept !== 'text/event-stream')
        return { status: 200, body: { session: 's-1', turn: 't-1', state: 'completed', text: 'Two orders.' } };
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const one of events) response.write(`data: ${JSON.stringify(one)}\n\n`);
      if (JSON.stringify(events.at(-1)).includes('turn.ended')) response.end();
      return 'handled';
    }
    return undefined;
  });

test('invoke: the answer on stdout, what the agent did and with whose token on stderr, nothing that commands the terminal', async () => {
  await using server = await turnServer(whole({ state: 'completed' }));
  const ran = await cli(['invoke', 'assistant', '-m', 'hi'], { env: signedIn(server.url) });
  assert.deepEqual([ran.code, ran.stdout], [0, 'Two orders.\\u001b[31m\n']);
  assert.match(ran.stderr, /orders\/list_orders/);
  assert.match(
    ran.stderr,
    /token: alice → urn:agent:assistant → http:\/\/orders\/mcp \[orders\.read\], exchanged in 12 ms/,
  );
  assert.doesNotMatch(`${ran.stdout}${ran.stderr}`, /\u001b/);
  const streamed = await cli(['invoke', 'assistant', '-m', 'hi', '--stream'], { env: signedIn(server.url) });
  assert.equal(streamed.stdout, 'Two orders.\\u001b[31m\n');
  assert.equal((await cli(['invoke', 'assistant', '-q'], { env: signedIn(server.url), stdin: 'hi\n' })).stderr, '');
});

test('invoke -o json is the outcome of the same turn; --stream -o jsonl is every event', async () => {
  await using server = await turnServer(whole({ state: 'completed' }));
  const ran = await cli(['invoke', 'assistant', '-m', 'hi', '-o', 'json'], { env: signedIn(server.url) });
  assert.equal(JSON.parse(ran.stdout).text, 'Two orders.');
  const keys = server.seen
    .filter(({ path }) => path.endsWith('/messages'))
    .map(({ headers }) => headers['idempotency-key']);
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
  const lines = await cli(['invoke', 'assistant', '-m', 'hi', '--stream', '-o', 'jsonl'], {
    env: signedIn(server.url),
  });
  assert.deepEqual(
    lines.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).seq),
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
});

for (const [end, code] of [
  [{ state: 'failed', code: 'upstream_truncated', message: 'the model broke off' }, 8],
  [{ state: 'stopped' }, 8],
  [{ state: 'interrupted' }, 8],
  [{ state: 'failed', code: 'max_duration', message: 'the turn took longer than it may' }, 9],
] as const)
  test(`a turn that ends ${end.state} ${'code' in end ? end.code : ''} exits with ${code}`, async () => {
    await using server = await turnServer(whole(end));
    const ran = await cli(['invoke', 'assistant', '-m', 'hi'], { env: signedIn(server.url) });
    assert.equal(ran.code, code);
    if ('message' in end) assert.ok(ran.stderr.includes(end.message));
  });

test('--timeout stops the turn on the server and exits with 9; Ctrl-C stops it and exits with 130', async () => {
  await using server = await turnServer(whole({}).slice(0, 3));
  const env = signedIn(server.url);
  const stops = () => server.seen.filter(({ path }) => path.endsWith('/stop')).length;
  assert.equal((await cli(['invoke', 'assistant', '-m', 'hi', '--timeout', '50ms'], { env })).code, 9);
  assert.equal(stops(), 1);
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 50);
  assert.equal((await cli(['invoke', 'assistant', '-m', 'hi'], { env, signal: controller.signal })).code, 130);
  assert.equal(stops(), 2);
});

test('chat without a terminal: one line, one turn, in one session', async () => {
  await using server = await turnServer(whole({ state: 'completed' }));
  const options: RunOptions = { env: signedIn(server.url), stdin: 'one\n\ntwo\n' };
  const ran = await cli(['chat', 'assistant'], options);
  assert.deepEqual([ran.code, ran.stdout], [0, 'Two orders.\\u001b[31m\n'.repeat(2)]);
  const bodies = server.seen
    .filter(({ path }) => path.endsWith('/messages'))
    .map(({ text }) => JSON.parse(text).content);
  assert.deepEqual(bodies, ['one', 'two']);
  assert.equal(server.seen.filter(({ path }) => path.endsWith('/sessions')).length, 1);
});

test('grant add writes who, what and until when', async () => {
  await using server = await startServer(({ path, text }) => {
    if (path === '/.well-known/openid-configuration')
      return {
        status: 200,
        body: { issuer: server.url, authorization_endpoint: `${server.url}/a`, token_endpoint: `${server.url}/t` },
      };
    if (text === '') return { status: 200, body: { items: [], revision: 0 } };
    return { status: 201, body: { ...JSON.parse(text), status: {} } };
  });
  const written = () => JSON.parse(server.seen.findLast(({ text }) => text !== '')?.text ?? '');
  const options = { env: signedIn(server.url), now: () => 0 };
  const ran = await cli(
    ['grant', 'add', 'alice', 'run,read', 'agent/assistant', '--for', '2h', '--deny', 'orders/refund'],
    options,
  );
  assert.equal(ran.stdout, 'grant/alice-run-read-agent-assistant created\n');
  assert.deepEqual(written().spec, {
    to: { principal: { subject: 'alice' } },
    on: { kind: 'Agent', name: 'assistant' },
    verbs: ['run', 'read'],
    tools: { deny: ['orders/refund'] },
    expiresAt: '1970-01-01T02:00:00.000Z',
  });
  await cli(['grant', 'add', 'role:auditor', 'read', 'namespace/team'], options);
  const { metadata, spec } = written();
  assert.deepEqual(
    [metadata, spec.to, spec.on],
    [{ name: 'role-auditor-read-namespace-team', namespace: 'team' }, { role: 'AUDITOR' }, { namespace: 'team' }],
  );
});
