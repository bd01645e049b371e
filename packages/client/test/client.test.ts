import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError, createClient, serverSentEvents } from '@onbehalf/client';
import { startFakeServer } from './fake-server.ts';

const bytes = (chunks: readonly string[]) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
      controller.close();
    },
  });

async function parsed(...chunks: string[]) {
  const events: { event: string; data: string; id: string | undefined }[] = [];
  for await (const event of serverSentEvents(bytes(chunks))) events.push(event);
  return events;
}

test('server-sent events: every line ending, comments, several data lines, ids that stay', async () => {
  const text =
    '\ufeff: hello\r\nid: 1\r\nevent: a\r\ndata: one\r\ndata:two\r\n\r\ndata: three\n\n\rdata\r\rretry: 5\nid: x\0y\ndata: é\n\n';
  const expected = [
    { event: 'a', data: 'one\ntwo', id: '1' },
    { event: 'message', data: 'three', id: '1' },
    { event: 'message', data: '', id: '1' },
    { event: 'message', data: 'é', id: '1' },
  ];
  assert.deepEqual(await parsed(text), expected);
  // The same, cut after every character.
  assert.deepEqual(await parsed(...text), expected);
  assert.deepEqual(await parsed('data: cut off\n'), [], 'an event without its blank line is none');
});

test('server-sent events: a line without end is refused', async () => {
  await assert.rejects(parsed('data: ', 'x'.repeat(5_000_000)), { code: 'invalid_answer' });
});

test('leaving the loop closes the connection', async () => {
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new TextEncoder().encode('data: x\n\n')),
    cancel: () => {
      cancelled = true;
    },
  });
  for await (const event of serverSentEvents(endless)) {
    assert.equal(event.data, 'x');
    break;
  }
  assert.equal(cancelled, true);
});

test('a refusal becomes an ApiError with the code, status, detail and every mistake; no token is in it', async () => {
  await using server = await startFakeServer();
  const errors = [{ file: 'a.yaml', document: 1, line: 3, path: 'spec', message: 'is wrong' }];
  server.override = () => ({
    status: 422,
    body: { type: 'urn:x', title: 'T', status: 422, code: 'invalid_documents', detail: 'one mistake', errors },
    headers: { 'retry-after': '7' },
  });
  const client = createClient({ baseUrl: `${server.url}/`, token: async () => 'very-secret' });
  const error = await client.apply({ documents: 'x' }).catch((caught: unknown) => caught);
  assert.ok(error instanceof ApiError);
  assert.deepEqual(
    [error.code, error.status, error.message, error.detail, error.errors, error.retryAfterS],
    ['invalid_documents', 422, 'one mistake', 'one mistake', errors, 7],
  );
  assert.ok(!JSON.stringify([error.message, error.stack, { ...error }]).includes('very-secret'));
  assert.equal(server.seen[0]?.headers.authorization, 'Bearer very-secret');
  assert.equal(server.seen[0]?.path, '/api/apply');
});

test('what is no problem document is still an error with a code', async () => {
  await using server = await startFakeServer();
  const client = createClient({ baseUrl: server.url });
  server.override = () => ({ status: 502, raw: '<html>Bad Gateway</html>' });
  await assert.rejects(client.me(), { code: 'http_502', status: 502 });
  server.override = () => ({ status: 200, raw: '<html>a login page</html>' });
  await assert.rejects(client.me(), { code: 'invalid_answer' });
  server.override = () => ({ status: 302, headers: { location: 'https://elsewhere.example/' } });
  await assert.rejects(client.me(), { code: 'unreachable' }, 'a redirect is not followed');
  await assert.rejects(createClient({ baseUrl: 'http://127.0.0.1:1' }).me(), { code: 'unreachable', status: 0 });
});

test('an aborted call throws what fetch throws', async () => {
  await using server = await startFakeServer();
  const client = createClient({ baseUrl: server.url });
  await assert.rejects(client.me({ signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('addresses and queries are encoded', async () => {
  await using server = await startFakeServer();
  server.override = () => ({ status: 200, body: {} });
  const client = createClient({ baseUrl: server.url });
  await client.get('agents', { namespace: 'team', name: 'assistant' });
  await client.get('mcp-servers', { namespace: 'default', name: 'orders' });
  await client.get('agents', '../me?x=1#y');
  await client.canI({ verb: 'run', kind: 'Agent', name: 'a', as: 'b&verb=admin' });
  await client.audit({ user: 'ålice', since: undefined });
  assert.deepEqual(
    server.seen.map(({ path }) => path),
    [
      '/api/agents/team.assistant',
      '/api/mcp-servers/orders',
      '/api/agents/..%2Fme%3Fx%3D1%23y',
      '/api/access/can-i?verb=run&kind=Agent&name=a&as=b%26verb%3Dadmin',
      '/api/audit?user=%C3%A5lice',
    ],
  );
});

test('cookie mode: unsafe requests repeat the value of /api/me, which is read once, and again after a refusal', async () => {
  await using server = await startFakeServer();
  let value = 'one';
  server.override = ({ method, path, headers }) => {
    if (path === '/api/me') return { status: 200, body: { csrf: value } };
    if (method === 'GET') return { status: 200, body: { items: [] } };
    return headers['x-onbehalf-csrf'] === value
      ? { status: 204 }
      : { status: 403, body: { code: 'csrf', title: 'no', status: 403 } };
  };
  const client = createClient({ baseUrl: server.url, csrf: 'cookie' });
  await client.list('agents');
  assert.equal(server.seen[0]?.headers['x-onbehalf-csrf'], undefined);
  await Promise.all([client.remove('agents', 'a'), client.remove('agents', 'b')]);
  assert.equal(server.seen.filter(({ path }) => path === '/api/me').length, 1);
  value = 'two';
  await client.remove('agents', 'c');
  assert.equal(server.seen.filter(({ path }) => path === '/api/me').length, 2);
});

test('a streamed answer goes on after a cut, without a gap and without a repetition', async () => {
  await using server = await startFakeServer();
  let cut = false;
  server.override = (seen, response) => {
    if (seen.path.endsWith('/messages') && !cut) {
      cut = true;
      setTimeout(() => {
        server.emit('delta', { text: 'a' });
        setTimeout(() => {
          response.destroy();
          server.emit('delta', { text: 'b' });
          server.emit('turn.ended', { state: 'completed' });
        }, 20);
      }, 5);
    }
    return undefined;
  };
  const client = createClient({ baseUrl: server.url });
  const types: string[] = [];
  for await (const event of client.streamMessage('assistant', 's-1', 'hello')) types.push(`${event.seq} ${event.type}`);
  assert.deepEqual(types, ['1 turn.started', '2 message', '3 delta', '4 delta', '5 turn.ended']);
  assert.equal(server.seen.filter(({ path }) => path.endsWith('/messages')).length, 1);
  assert.match(server.seen.at(-1)?.path ?? '', /events\?after=3$/);
});

test('the answer of a turn as JSON', async () => {
  await using server = await startFakeServer();
  const client = createClient({ baseUrl: server.url });
  const result = await client.sendMessage('assistant', 's-1', 'hello', { source: 'test' });
  assert.equal(result.text, 'done');
  assert.deepEqual(server.seen[0]?.body, { content: 'hello', source: 'test' });
});
