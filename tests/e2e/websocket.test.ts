import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { SessionEvent } from '@onbehalf/resources';
import WebSocket from 'ws';
import { grantRun, say, startWorld, type World } from './world.ts';

type Frame = Record<string, unknown> & { type: string };

/** One socket, its frames in order, and a way to wait for one of them. */
async function open(world: World, query: string) {
  const socket = new WebSocket(`${world.url.replace('http', 'ws')}/api/agents/assistant/react?${query}`);
  const frames: Frame[] = [];
  const waiting = new Set<() => void>();
  let closed: number | undefined;
  socket.on('message', (data) => {
    frames.push(JSON.parse(String(data)) as Frame);
    for (const wake of waiting) wake();
  });
  socket.on('close', (code) => {
    closed = code;
    for (const wake of waiting) wake();
  });
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  const until = async <T>(find: () => T | undefined, ms = 5_000): Promise<T> => {
    const deadline = performance.now() + ms;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (performance.now() > deadline)
        throw new Error(`waited in vain; got ${JSON.stringify(frames.map(({ type }) => type))}`);
      await new Promise<void>((resolve) => {
        const wake = () => {
          waiting.delete(wake);
          resolve();
        };
        waiting.add(wake);
        setTimeout(wake, 100);
      });
    }
  };
  return {
    frames,
    send: (frame: unknown) => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
    frame: (type: string, from = 0) => until(() => frames.slice(from).find((one) => one.type === type)),
    closedWith: () => until(() => closed),
    close: () => socket.close(),
  };
}

describe('the WebSocket', () => {
  let world: World;
  let alice: string;
  before(async () => {
    world = await startWorld();
    alice = await world.token('alice');
  });
  after(() => world[Symbol.asyncDispose]());

  test('the first generation of existing front ends works unchanged', async () => {
    const socket = await open(world, `access-token=${alice}`);
    const init = await socket.frame('init');
    assert.deepEqual([init.state, init.steps, init.headId], ['AVAILABLE', [], null]);
    socket.send({ type: 'message', content: 'list my orders', messageSource: 'chat' });
    await socket.frame('complete');
    await socket.frame(
      'state',
      socket.frames.findIndex(({ type }) => type === 'complete'),
    );
    const steps = socket.frames
      .filter(({ type }) => type === 'step')
      .map(({ step }) => step as Record<string, unknown>);
    assert.deepEqual(
      steps.map(({ role }) => role),
      ['user', 'agent', 'agent'],
    );
    const [user, first, last] = steps;
    const calls = (first?.toolCalls ?? []) as { toolName: string; input: unknown }[];
    const results = (first?.toolResults ?? []) as { output: string }[];
    assert.equal(user?.content, 'list my orders');
    assert.deepEqual([first?.isBegin, first?.isEnd, last?.isBegin, last?.isEnd], [true, false, false, true]);
    assert.equal(first?.parentId, user?.id);
    assert.deepEqual(
      calls.map(({ toolName, input }) => [toolName, input]),
      [['orders__list_orders', {}]],
    );
    assert.match(results[0]?.output ?? '', /Desk lamp for alice/);
    assert.deepEqual(Object.keys(first?.usage as object), [
      'inputTokens',
      'outputTokens',
      'totalTokens',
      'cachedInputTokens',
    ]);
    assert.ok(
      socket.frames
        .slice(socket.frames.findIndex(({ type }) => type === 'step'))
        .every(({ type }) => !type.startsWith('Ws')),
    );
    const states = socket.frames.filter(({ type }) => type === 'state').map(({ state }) => state);
    assert.deepEqual(states, ['GENERATING', 'AVAILABLE']);
    socket.close();
  });

  test('the second generation is known by its first frame', async () => {
    const socket = await open(world, `access-token=${alice}`);
    await socket.frame('WsServerSnapshotEvent');
    const from = socket.frames.length;
    socket.send({ type: 'WsClientPromptCommand', content: 'hello' });
    await socket.frame('WsServerStepEvent', from);
    await socket.frame('WsServerStatusEvent', from);
    socket.send({ type: 'WsClientStopCommand' });
    assert.ok(socket.frames.slice(from).every(({ type }) => type.startsWith('Ws')));
    socket.close();
  });

  test('our own protocol: every event once and in order, resumed after any number', async () => {
    const { body } = await world.as<{ id: string }>(alice, 'POST', '/agents/assistant/sessions', {});
    const socket = await open(world, `access-token=${alice}&protocol=2&session=${body.id}`);
    socket.send({ type: 'message', content: 'list my orders and vacation days balance' });
    await socket.frame('turn.ended');
    const events = socket.frames.filter(({ seq }) => seq !== undefined) as unknown as SessionEvent[];
    assert.deepEqual(
      events.map(({ seq }) => seq),
      events.map((_, index) => index + 1),
    );
    assert.ok(events.some(({ type }) => type === 'delta'));
    assert.equal(events.filter(({ type }) => type === 'exchange').length, 2);
    const middle = events[4]?.seq ?? 0;
    const again = await open(world, `access-token=${alice}&protocol=2&session=${body.id}&after=${middle}`);
    await again.frame('turn.ended');
    assert.deepEqual(
      again.frames.filter(({ seq }) => seq !== undefined),
      events.slice(5),
    );
    const from = again.frames.length;
    again.send({ type: 'resume', after: 0 });
    await again.frame('turn.ended', from);
    assert.deepEqual(
      again.frames.slice(from).filter(({ seq }) => seq !== undefined),
      events,
    );
    socket.close();
    again.close();
  });

  test('W10 an unknown frame, broken JSON, deep JSON and __proto__ are one error each, and the socket goes on', async () => {
    const socket = await open(world, `access-token=${alice}&protocol=2`);
    await socket.frame('session');
    const bad = [
      '{"type":"dance"}',
      'not json',
      '{"type":"message"}',
      '{"type":"message","content":"x","__proto__":{"a":1}}',
      `{"type":"message","content":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
      '{"type":"resume","after":-1}',
      '{"type":"message","content":"a\\u0000b"}',
    ];
    for (const text of bad) {
      const from = socket.frames.length;
      socket.send(text);
      const error = await socket.frame('error', from);
      assert.equal(error.code, 'unknown_frame', text.slice(0, 60));
    }
    const from = socket.frames.length;
    socket.send({ type: 'message', content: 'hello' });
    await socket.frame('turn.ended', from);
    socket.close();
  });

  test('stop stops, stop while idle is harmless, a second message while one runs is an error and harms nothing', async () => {
    const socket = await open(world, `access-token=${alice}&protocol=2`);
    await socket.frame('session');
    socket.send({ type: 'stop' });
    socket.send({ type: 'message', content: 'what can you do for me !slow' });
    await socket.frame('delta');
    socket.send({ type: 'message', content: 'hello' });
    assert.equal((await socket.frame('error')).code, 'turn_running');
    socket.send({ type: 'stop' });
    const end = await socket.frame('turn.ended');
    assert.equal((end.data as { state: string }).state, 'stopped');
    socket.close();
  });

  test('a frame above 1 MiB closes with 1009', async () => {
    const socket = await open(world, `access-token=${alice}&protocol=2`);
    socket.send({ type: 'message', content: 'x'.repeat(1_100_000) });
    assert.equal(await socket.closedWith(), 1009);
  });

  test('W5 in-band auth takes a token of the same principal; another principal’s closes with 4403', async () => {
    const socket = await open(world, `access-token=${alice}&protocol=2`);
    await socket.frame('session');
    socket.send({ type: 'auth', token: await world.token('alice') });
    socket.send({ type: 'message', content: 'hello' });
    await socket.frame('turn.ended');
    socket.send({ type: 'auth', token: await world.token('bob') });
    assert.equal(await socket.closedWith(), 4403);
  });

  test('W9 a grant that is removed closes the socket with 4403 within a second', async () => {
    await grantRun(world, 'carol');
    const socket = await open(world, `access-token=${await world.token('carol')}&protocol=2`);
    await socket.frame('session');
    const started = performance.now();
    await world.admin('DELETE', '/grants/carol');
    assert.equal(await socket.closedWith(), 4403);
    assert.ok(performance.now() - started < 1_000);
  });

  test('server-sent events carry the same, from any number', async () => {
    const { body } = await say(world, alice, 'list my orders');
    const path = `${world.url}/api/agents/assistant/sessions/${body.session}`;
    const headers = { authorization: `Bearer ${alice}`, accept: 'text/event-stream' };
    const response = await fetch(`${path}/messages`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify({ content: 'hello' }),
    });
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    const text = await response.text();
    assert.match(text, /event: turn\.started\n/);
    assert.match(text, /event: turn\.ended\n/);
    const controller = new AbortController();
    const log = await fetch(`${path}/events`, {
      headers: { ...headers, 'last-event-id': '3' },
      signal: controller.signal,
    });
    const { value } = (await log.body?.getReader().read()) ?? {};
    assert.match(Buffer.from(value ?? []).toString('utf8'), /^id: 4\n/);
    controller.abort();
  });
});
