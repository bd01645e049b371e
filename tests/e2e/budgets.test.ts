import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { get } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import WebSocket from 'ws';
import { grantRun, startWorld, type World } from './world.ts';

const CONFIG = `
trustedProxies: [127.0.0.1/32, "::1/128"]
limits: {sessionsMade: 5, sessionsKept: 7, sockets: 3, streams: 2, tickets: 4, trials: 2, applies: 3, turnsStarted: 4, documents: 50}
`;

describe('budgets: what one person uses up is theirs alone', () => {
  let world: World;
  let alice: string;
  let bob: string;
  before(async () => {
    world = await startWorld({ config: CONFIG });
    [alice, bob] = await Promise.all([world.token('alice'), world.token('bob')]);
  });
  after(() => world[Symbol.asyncDispose]());

  const statuses = (answers: readonly { status: number }[]) => answers.map(({ status }) => status);
  const repeat = <T>(count: number, one: (n: number) => Promise<T>) =>
    Promise.all(Array.from({ length: count }, (_, n) => one(n)));

  test('conversations in a minute: 429 with Retry-After and the budget; another person is not held up, and /api/me says it', async () => {
    const made = await repeat(8, () =>
      world.as<{ id: string; code: string; detail: string }>(alice, 'POST', '/agents/assistant/sessions', {}),
    );
    assert.deepEqual(statuses(made).sort(), [201, 201, 201, 201, 201, 429, 429, 429]);
    const refused = made.find(({ status }) => status === 429);
    assert.equal(refused?.body.code, 'rate_limited');
    assert.match(refused?.body.detail ?? '', /5 conversations begun in a minute \(budget sessionsMade\)/);
    assert.match(refused?.headers.get('retry-after') ?? '', /^\d+$/);
    const { id } = made.find(({ status }) => status === 201)?.body ?? {};
    assert.equal(
      (await world.as(alice, 'POST', `/agents/assistant/sessions/${id}/clear`)).status,
      429,
      'anew is begun',
    );
    assert.equal((await world.as(bob, 'POST', '/agents/assistant/sessions', {})).status, 201);
    type Me = { limits: { budget: string; limit: number; used?: number }[] };
    const me = await world.as<Me>(alice, 'GET', '/me');
    assert.deepEqual(
      me.body.limits.find(({ budget }) => budget === 'sessionsMade'),
      { budget: 'sessionsMade', limit: 5, used: 5, says: 'conversations begun in a minute' },
    );
    const used = new Map(me.body.limits.map(({ budget, used }) => [budget, used]));
    assert.deepEqual([used.get('turnsRunning'), used.get('sessionsKept')], [0, 5]);
    const other = await world.as<Me>(bob, 'GET', '/me');
    assert.equal(other.body.limits.find(({ budget }) => budget === 'sessionsMade')?.used, 1);
  });

  test('tickets, and exchanges that are tried by hand', async () => {
    const tickets = await repeat(6, () => world.as(bob, 'POST', '/tickets', { agent: 'assistant' }));
    assert.deepEqual(statuses(tickets).sort(), [201, 201, 201, 201, 429, 429]);
    const trials = await repeat(3, () => world.as(bob, 'POST', '/mcp-servers/orders/actions/test-exchange'));
    assert.equal(statuses(trials).filter((status) => status === 429).length, 1);
  });

  test('turns that are started, whether over REST or over a socket', async () => {
    const carol = await world.token('carol');
    await grantRun(world, 'carol');
    const { id } = (await world.as<{ id: string }>(carol, 'POST', '/agents/assistant/sessions', {})).body;
    const messages = `/agents/assistant/sessions/${id}/messages`;
    for (let n = 0; n < 3; n++)
      assert.equal((await world.as(carol, 'POST', messages, { content: 'Hello' })).status, 200);
    const stream = {
      accept: 'text/event-stream',
      authorization: `Bearer ${carol}`,
      'content-type': 'application/json',
    };
    const body = JSON.stringify({ content: 'Hello' });
    const fourth = await fetch(`${world.url}/api${messages}`, { method: 'POST', headers: stream, body });
    assert.equal(fourth.status, 200);
    await fourth.text();
    const fifth = await world.as<{ detail: string }>(carol, 'POST', messages, { content: 'Hello' });
    assert.equal(fifth.status, 429);
    assert.match(fifth.body.detail, /4 turns started in a minute \(budget turnsStarted\)/);
    const address = `${world.url.replace('http', 'ws')}/api/agents/assistant/react?protocol=2&session=${id}`;
    const socket = new WebSocket(address, { headers: { authorization: `Bearer ${carol}` } });
    const refused = new Promise<string>((resolve) =>
      socket.on('message', (data) => {
        const frame = JSON.parse(String(data)) as { type: string; code?: string };
        if (frame.type === 'error') resolve(frame.code ?? '');
      }),
    );
    socket.once('open', () => socket.send(JSON.stringify({ type: 'message', content: 'Hello' })));
    assert.equal(await refused, 'rate_limited');
    socket.close();
  });

  test('writes of resources, whichever address they come to, are refused before the body is read', async () => {
    const documents = `apiVersion: onbehalf.dev/v1alpha1\nkind: Secret\nmetadata: {name: s}\nspec: {}\n`;
    const first = await repeat(3, () => world.as(bob, 'POST', '/apply', { documents }));
    assert.equal(statuses(first).includes(429), false);
    assert.equal((await world.as(bob, 'POST', '/apply', { documents })).status, 429);
    assert.equal((await world.as(bob, 'POST', '/secrets', {})).status, 429);
  });

  test('sockets that are open at once; one that closes makes room', async () => {
    const sessions = await world.as<{ items: { id: string }[] }>(alice, 'GET', '/sessions');
    const id = sessions.body.items[0]?.id ?? '';
    const open = () =>
      new Promise<WebSocket | number>((resolve) => {
        const address = `${world.url.replace('http', 'ws')}/api/agents/assistant/react?protocol=2&session=${id}`;
        const socket = new WebSocket(address, { headers: { authorization: `Bearer ${alice}` } });
        socket.once('open', () => resolve(socket));
        socket.once('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
      });
    const opened = [await open(), await open(), await open()];
    assert.ok(opened.every((one) => one instanceof WebSocket));
    assert.equal(await open(), 429);
    const [first, ...others] = opened as WebSocket[];
    first?.close();
    await new Promise((resolve) => first?.once('close', resolve));
    let again = await open();
    for (let tries = 0; again === 429 && tries < 50; tries++) {
      await wait(20);
      again = await open();
    }
    assert.ok(again instanceof WebSocket);
    for (const socket of [again, ...others]) socket.close();
  });

  test('event streams that are open at once; one that asks for what is not there, or whose client has left, holds nothing', async () => {
    const sessions = await world.as<{ items: { id: string }[] }>(alice, 'GET', '/sessions');
    const path = `/agents/assistant/sessions/${sessions.body.items[0]?.id}/events`;
    const headers = { accept: 'text/event-stream' };
    for (let n = 0; n < 10; n++)
      assert.equal((await world.as(alice, 'GET', `${path}?after=999`, undefined, headers)).status, 400);
    const stream = () =>
      new Promise<{ status: number; close(): void }>((resolve) => {
        const request = get(
          `${world.url}/api${path}`,
          { headers: { ...headers, authorization: `Bearer ${alice}` } },
          (response) => resolve({ status: response.statusCode ?? 0, close: () => request.destroy() }),
        );
        request.on('error', () => undefined);
      });
    // Those who leave before they are answered.
    for (let n = 0; n < 10; n++) {
      const socket = connect(Number(new URL(world.url).port), '127.0.0.1');
      await new Promise((resolve) => socket.once('connect', resolve));
      socket.end(
        `GET /api${path} HTTP/1.1\r\nHost: ${new URL(world.url).host}\r\nAccept: text/event-stream\r\nAuthorization: Bearer ${alice}\r\n\r\n`,
      );
      socket.destroy();
    }
    await wait(100);
    const [one, two] = [await stream(), await stream()];
    assert.deepEqual([one.status, two.status], [200, 200]);
    assert.equal((await stream()).status, 429);
    one.close();
    let third = await stream();
    for (let tries = 0; third.status === 429 && tries < 50; tries++) {
      await wait(20);
      third = await stream();
    }
    assert.equal(third.status, 200);
    two.close();
    third.close();
  });

  test('downloads of the console that break off leave no file open', async () => {
    const page = await (await fetch(`${world.url}/ui/`)).text();
    const script = /src="(\/ui\/assets\/[^"]+\.js)"/.exec(page)?.[1] ?? '';
    assert.notEqual(script, '');
    const open = () =>
      readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).includes('/console/dist/');
        } catch {
          return false;
        }
      }).length;
    for (let n = 0; n < 50; n++)
      await new Promise<void>((resolve) => {
        const request = get(`${world.url}${script}`, (response) => {
          response.once('data', () => {
            request.destroy();
            resolve();
          });
        });
        request.on('error', () => undefined);
      });
    for (let tries = 0; open() > 0 && tries < 100; tries++) await wait(20);
    assert.equal(open(), 0);
  });

  test('a query of 15,000 pairs is refused by nobody in particular, at once, wherever it goes', async () => {
    const query = Array.from({ length: 15_000 }, (_, n) => `${n}=`)
      .join('&')
      .slice(0, 60_000);
    for (const path of ['/oidc/auth', '/api/agents', '/login', '/ui/', '/sts/token', '/nowhere']) {
      const began = performance.now();
      const answer = await fetch(`${world.url}${path}?${query}`, { redirect: 'manual' });
      assert.equal(answer.status, 414, path);
      assert.equal(((await answer.json()) as { code: string }).code, 'query_too_large');
      assert.ok(performance.now() - began < 1_000, path);
    }
    const many = Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`x-${n}`, '1']));
    assert.equal((await fetch(`${world.url}/api/agents`, { headers: many })).status, 431);
  });

  test('a form of 15,000 fields is refused at once at every address that takes one', async () => {
    const body = Array.from({ length: 9_000 }, (_, n) => `${n}=`)
      .join('&')
      .slice(0, 50_000);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    for (const path of [
      '/sts/token',
      '/sts/introspect',
      '/sts/revoke',
      '/oidc/auth',
      '/oidc/session/end',
      '/login/cli/token',
    ]) {
      const began = performance.now();
      const answer = await fetch(`${world.url}${path}`, { method: 'POST', body, headers, redirect: 'manual' });
      assert.ok(answer.status >= 400 && answer.status < 500, `${path}: ${answer.status}`);
      assert.match(await answer.text(), /more than 64 fields/, path);
      assert.ok(performance.now() - began < 1_000, path);
    }
  });

  test('I8 a body that is nested without end is one clear error, at every address that takes one', async () => {
    const deep = `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`;
    for (const [method, path] of [
      ['PATCH', '/agents/assistant'],
      ['PUT', '/agents/assistant'],
      ['POST', '/agents/assistant/sessions'],
      ['POST', '/tickets'],
    ] as const) {
      const answer = await world.as<{ code: string }>(alice, method, path, deep);
      assert.ok([400, 429].includes(answer.status), `${method} ${path}: ${answer.status}`);
      if (answer.status === 400) assert.equal(answer.body.code, 'invalid_request');
    }
  });

  test('I8 a body of 100,000 keys is refused before anything parses it, at every address that takes one, and in a frame', async () => {
    const keys = (count: number) => Array.from({ length: count }, (_, n) => `"k${n}":1`).join(',');
    const bob = await world.token('bob');
    for (const [method, path] of [
      ['POST', '/agents/assistant/sessions'],
      ['POST', '/tickets'],
      ['POST', '/apply'],
      ['PATCH', '/agents/assistant'],
    ] as const) {
      const { status, body } = await world.as<{ detail: string }>(bob, method, path, `{${keys(100_000)}}`);
      assert.ok([400, 429].includes(status), `${method} ${path}: ${status}`);
      if (status === 400) assert.match(body.detail, /more than 10000 values in one object or list/);
    }
    const lists = { documents: Array(9_000).fill(Array(30).fill(1)) };
    const many = await world.admin<{ detail: string }>('POST', '/apply', lists);
    assert.match(many.body.detail, /more than 250000 values/);
    const escaped = await world.admin<{ detail: string }>('POST', '/apply', {
      documents: `# ${'[{,"\\'.repeat(50_000)}`,
    });
    assert.doesNotMatch(escaped.body.detail, /nested|values/, 'what stands in a text is no value');
    const address = `${world.url.replace('http', 'ws')}/api/agents/assistant/react?protocol=2`;
    const carol = await world.token('carol');
    const socket = new WebSocket(address, { headers: { authorization: `Bearer ${carol}` } });
    const refused = new Promise<string>((resolve) =>
      socket.on('message', (data) => {
        const frame = JSON.parse(String(data)) as { type: string; message?: string };
        if (frame.type === 'error') resolve(frame.message ?? '');
      }),
    );
    socket.once('open', () => socket.send(`{"type":"stop",${keys(50_000)}}`));
    assert.match(await refused, /more than 10000 values in one object or list/);
    socket.close();
  });

  test('documents in one apply', async () => {
    const documents = (count: number) =>
      Array.from({ length: count }, (_, n) => ({
        ...{ apiVersion: 'onbehalf.dev/v1alpha1', kind: 'Secret', metadata: { name: `s${n}` }, spec: {} },
      }));
    assert.equal((await world.admin('POST', '/apply', { documents: documents(50) })).status, 200);
    const { status, body } = await world.admin<{ detail: string }>('POST', '/apply', { documents: documents(51) });
    assert.equal(status, 429);
    assert.match(body.detail, /50 documents in one apply \(budget documents\)/);
  });

  test('a Secret has so many fields, and those of one apply count as its documents do', async () => {
    const fields = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`f${n}`, 'value']));
    const secret = (name: string, count: number) => ({
      ...{ apiVersion: 'onbehalf.dev/v1alpha1', kind: 'Secret', metadata: { name }, spec: { data: fields(count) } },
    });
    const apply = (...documents: object[]) => world.admin<{ detail: string }>('POST', '/apply', { documents });
    assert.equal((await apply(secret('few', 20), secret('more', 20))).status, 200);
    assert.equal((await apply(secret('few', 30), secret('more', 30))).status, 429);
    assert.equal((await apply(secret('many', 65))).status, 422);
    const set = (count: number) => world.admin('PUT', '/secrets/few/values', { data: fields(count) });
    assert.equal((await set(64)).status, 200);
    assert.equal((await set(65)).status, 400);
  });

  test('an apply of thousands of broken documents ends at its hundredth mistake', async () => {
    const root = await world.token('root');
    const spec = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`declarativ${index}`, 1]));
    const document = { apiVersion: 'onbehalf.dev/v1alpha1', kind: 'Agent', metadata: { name: 'a' }, spec };
    const before = process.cpuUsage();
    const answer = await world.as<{ errors: unknown[] }>(root, 'POST', '/apply', {
      documents: Array(2_000).fill(document),
    });
    assert.equal(answer.status, 422);
    assert.ok(answer.body.errors.length >= 100 && answer.body.errors.length < 300, String(answer.body.errors.length));
    assert.ok(process.cpuUsage(before).user < 1_500_000);
  });

  test('the address in the audit is the client’s where a trusted proxy names it', async () => {
    await fetch(`${world.url}/api/agents`, {
      headers: { authorization: 'Bearer x.y.z', 'x-forwarded-for': '1.1.1.1, 198.51.100.77' },
    });
    type Lines = { items: { type: string; address?: string }[] };
    let found = false;
    for (let tries = 0; !found && tries < 50; tries++) {
      const { body } = await world.admin<Lines>('GET', '/audit?type=refusal&limit=50');
      found = body.items.some(({ address }) => address === '198.51.100.77');
      if (!found) await wait(20);
    }
    assert.ok(found);
  });
});
