import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError, type ClosedReason, type Connection, createClient, type OpenSession } from '@onbehalf/client';
import { startFakeServer, until } from './fake-server.ts';

const backOff = { minMs: 5, maxMs: 20 };

function watch(conversation: OpenSession) {
  const seqs: number[] = [];
  const connections: Connection[] = [];
  conversation.onEvent(({ seq }) => seqs.push(seq));
  conversation.onConnection((connection) => connections.push(connection));
  const reason = (): ClosedReason | undefined =>
    conversation.connection.state === 'closed' ? conversation.connection.reason : undefined;
  return { seqs, connections, reason };
}

test('a conversation resumes after the last seq with a new ticket, again and again, and each event comes once', async () => {
  await using server = await startFakeServer();
  server.overlap = 2;
  const client = createClient({ baseUrl: server.url, token: () => 't-1' });
  const conversation = client.openSession({ agent: 'assistant', session: 's-1', backOff });
  const { seqs, connections } = watch(conversation);
  for (let round = 0; round < 5; round++) {
    await until(() => conversation.connection.state === 'open', 'open');
    server.emit('delta', { text: `a${round}` });
    server.emit('delta', { text: `b${round}` });
    await until(() => seqs.length === 3 * round + 2, 'both came');
    server.cut();
    // Said while nobody listens.
    server.emit('delta', { text: `c${round}` });
    await until(() => seqs.length === 3 * round + 3, 'what was missed came');
  }
  conversation.close();
  assert.deepEqual(
    seqs,
    Array.from({ length: 15 }, (_, index) => index + 1),
  );
  const used = server.upgrades.map((url) => url.searchParams.get('ticket'));
  assert.equal(new Set(used).size, used.length, 'no ticket is used twice');
  assert.ok(
    server.upgrades.every((url) => !url.href.includes('t-1')),
    'no token in an address',
  );
  assert.deepEqual(
    server.upgrades.slice(0, 3).map((url) => url.searchParams.get('after')),
    ['0', '2', '5'],
  );
  assert.ok(connections.some(({ state }) => state === 'reconnecting'));
  assert.equal(connections.at(-1)?.state, 'closed');
});

test('a pruned stretch is no error, and the loop ends when the conversation is closed', async () => {
  await using server = await startFakeServer();
  server.emit('delta', { text: 'one' });
  server.log.push({
    v: 1,
    session: 's-1',
    seq: 9,
    turn: 't',
    at: '',
    type: 'message',
    data: { role: 'assistant', text: 'x' },
  });
  const conversation = createClient({ baseUrl: server.url }).openSession({ agent: 'assistant', session: 's-1' });
  const seqs: number[] = [];
  for await (const event of conversation) {
    seqs.push(event.seq);
    if (event.seq === 9) conversation.close();
  }
  assert.deepEqual(seqs, [1, 9]);
  assert.equal(conversation.lastSeq, 9);
});

test('without a session one is made, once, however often the first upgrade fails', async () => {
  await using server = await startFakeServer();
  server.refuseUpgrades = 3;
  const conversation = createClient({ baseUrl: server.url }).openSession({ agent: 'assistant', backOff });
  assert.equal(await conversation.ready, 's-1');
  await until(() => conversation.connection.state === 'open', 'open');
  conversation.close();
  assert.equal(server.seen.filter(({ method, path }) => method === 'POST' && path.endsWith('/sessions')).length, 1);
  assert.equal(server.upgrades.length, 4);
});

for (const [status, code, reason] of [
  [401, 'unauthenticated', 'unauthenticated'],
  [403, 'forbidden', 'forbidden'],
  [404, 'not_found', 'not_found'],
] as const)
  test(`a ticket refused with ${status} ends the conversation as ${reason}, and is not asked for again`, async () => {
    await using server = await startFakeServer();
    server.override = ({ path }) =>
      path === '/api/tickets' ? { status, body: { code, title: 'no', status } } : undefined;
    const conversation = createClient({ baseUrl: server.url }).openSession({
      agent: 'assistant',
      session: 's-1',
      backOff,
    });
    const { reason: ended } = watch(conversation);
    await until(() => ended() !== undefined, 'closed');
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal(ended(), reason);
    assert.equal(server.seen.length, 1);
  });

test('an upgrade that is refused because the session is not there ends as not_found', async () => {
  await using server = await startFakeServer();
  server.refuseUpgrades = 99;
  const conversation = createClient({ baseUrl: server.url }).openSession({
    agent: 'assistant',
    session: 's-2',
    backOff,
  });
  const { reason } = watch(conversation);
  await until(() => reason() === 'not_found', 'not_found');
});

test('a revocation (4403) is final; any other end of the wire is not', async () => {
  await using server = await startFakeServer();
  const conversation = createClient({ baseUrl: server.url }).openSession({
    agent: 'assistant',
    session: 's-1',
    backOff,
  });
  const { reason, connections } = watch(conversation);
  for (const code of [1012, 1013, 4401]) {
    await until(() => conversation.connection.state === 'open', 'open');
    for (const socket of server.sockets) socket.close(code);
    await until(
      () => connections.some((seen) => seen.state === 'reconnecting' && seen.closeCode === code),
      `${code} seen`,
    );
  }
  await until(() => conversation.connection.state === 'open', 'open');
  for (const socket of server.sockets) socket.close(4403);
  await until(() => reason() === 'revoked', 'revoked');
  assert.equal(server.upgrades.length, 4);
});

test('before its token ends the socket gets the next one, in band', async () => {
  await using server = await startFakeServer();
  let generation = 0;
  const client = createClient({ baseUrl: server.url, token: () => `t-${++generation}` });
  const conversation = client.openSession({ agent: 'assistant', session: 's-1', backOff });
  const notices: string[] = [];
  conversation.onNotice(({ type }) => notices.push(type));
  await until(() => conversation.connection.state === 'open', 'open');
  for (const socket of server.sockets)
    socket.send(JSON.stringify({ type: 'auth.expiring', at: '2026-01-01T00:00:00Z' }));
  await until(() => server.frames.length === 1, 'auth frame');
  assert.deepEqual(server.frames[0], { type: 'auth', token: 't-2' });
  assert.deepEqual(notices, ['auth.expiring']);
  conversation.close();
});

test('a message whose answer was lost is sent again with its key, and stored once', async () => {
  await using server = await startFakeServer();
  let cuts = 2;
  server.override = (seen, response) => {
    if (!seen.path.endsWith('/messages') || cuts-- <= 0) return undefined;
    // Stored, but nobody hears of it.
    if (cuts === 1) server.emit('turn.started', {}, 'lost');
    response.destroy();
    return 'handled';
  };
  const conversation = createClient({ baseUrl: server.url }).openSession({
    agent: 'assistant',
    session: 's-1',
    backOff,
  });
  await conversation.send('hello');
  conversation.close();
  const posts = server.seen.filter(({ path }) => path.endsWith('/messages'));
  assert.equal(posts.length, 3);
  assert.equal(new Set(posts.map(({ headers }) => headers['idempotency-key'])).size, 1);
  assert.equal(server.log.filter(({ type }) => type === 'message').length, 1);
});

test('what was said while a turn runs is refused with the server’s code', async () => {
  await using server = await startFakeServer();
  server.override = ({ path }) =>
    path.endsWith('/messages')
      ? { status: 409, body: { code: 'turn_running', title: 'busy', status: 409 } }
      : undefined;
  const conversation = createClient({ baseUrl: server.url }).openSession({
    agent: 'assistant',
    session: 's-1',
    backOff,
  });
  await assert.rejects(
    conversation.send('hello'),
    (error: unknown) => error instanceof ApiError && error.code === 'turn_running',
  );
  conversation.close();
  assert.equal(server.seen.filter(({ path }) => path.endsWith('/messages')).length, 1);
});

test('close before anything happened leaves nothing behind', async () => {
  await using server = await startFakeServer();
  const conversation = createClient({ baseUrl: server.url }).openSession({ agent: 'assistant' });
  conversation.close();
  await assert.rejects(conversation.send('hello'), { code: 'closed' });
  assert.equal(server.seen.length, 0);
});

test('cookie mode: no ticket stands beside the cookie; why an upgrade was refused is asked for', async () => {
  await using server = await startFakeServer();
  server.cookies = true;
  let allowed = true;
  server.override = ({ path }) => {
    if (path === '/api/me') return { status: 200, body: { csrf: 'x' } };
    if (path === '/api/tickets' && !allowed)
      return { status: 403, body: { code: 'forbidden', title: 'no', status: 403 } };
    return undefined;
  };
  const client = createClient({ baseUrl: server.url, csrf: 'cookie' });
  const conversation = client.openSession({ agent: 'assistant', session: 's-1', backOff });
  const { reason } = watch(conversation);
  await until(() => conversation.connection.state === 'open', 'open');
  assert.ok(server.seen.every(({ path }) => path !== '/api/tickets'));
  allowed = false;
  server.refuseUpgrades = 99;
  server.cut();
  await until(() => reason() === 'forbidden', 'forbidden');
});
