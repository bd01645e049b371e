import assert from 'node:assert/strict';
import { createServer, request as forward } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import { grantRun, say, startWorld, type World } from './world.ts';

describe('two people, one agent, two tool servers', () => {
  let world: World;
  let alice: string;
  let bob: string;
  before(async () => {
    world = await startWorld();
    alice = await world.token('alice');
    bob = await world.token('bob');
  });
  after(() => world[Symbol.asyncDispose]());

  test('100 turns of two people interleaved in parallel: each server sees each person as themselves, none is mixed', async () => {
    const turns: { own: string; other: string; text: string }[] = [];
    for (let round = 0; round < 10; round++)
      turns.push(
        ...(await Promise.all(
          Array.from({ length: 10 }, async (_, index) => {
            const [own, other, token] = index % 2 === 0 ? ['alice', 'bob', alice] : ['bob', 'alice', bob];
            const { status, body } = await say(world, token, 'list my orders and my vacation days balance');
            assert.equal(status, 200);
            assert.equal(body.state, 'completed', JSON.stringify(body));
            return { own, other, text: body.text };
          }),
        )),
      );
    assert.equal(turns.length, 100);
    for (const { own, other, text } of turns) {
      assert.ok(text.includes(`Desk lamp for ${own}`), text);
      assert.ok(text.includes(`employee: ${own}`), text);
      assert.ok(!text.includes(other), text);
    }
    for (const { sub, act, aud } of [...world.seen.orders, ...world.seen.hr]) {
      assert.ok(sub === 'alice' || sub === 'bob');
      assert.equal((act as { sub: string }).sub, 'agent:default/assistant');
      assert.ok(aud === world.orders.url || aud === world.hr.url);
    }
    assert.ok(world.seen.orders.every(({ aud }) => aud === world.orders.url));
    assert.ok(world.seen.hr.every(({ aud }) => aud === world.hr.url));
  });

  test("alice's token for orders, replayed at hr or at our own API, is refused there", async () => {
    const tokens: string[] = [];
    const proxy = createServer((request, response) => {
      const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
      if (token !== undefined) tokens.push(token);
      const upstream = forward(world.orders.url, { method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      request.pipe(upstream);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const proxied = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/mcp`;
    const applied = await world.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: orders}
spec: {url: "${proxied}", auth: {mode: Exchange, tokenServiceRef: {name: onbehalf}, resource: ["${world.orders.url}"], scopes: [orders.read], allowOverride: {scopes: [orders.read, orders.refund]}}}
`);
    assert.equal(applied.status, 200, JSON.stringify(applied.body));
    await world.admin('POST', '/mcp-servers/orders/actions/test');
    const { body } = await say(world, alice, 'list my orders');
    assert.equal(body.toolCalls[0]?.isError, false, JSON.stringify(body));
    const token = tokens.findLast((one) => decodeJwt(one).sub === 'alice');
    assert.ok(token);
    const call = JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'get_balance', arguments: {} },
    });
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    };
    const replayed = await fetch(world.hr.url, { method: 'POST', headers, body: call });
    assert.equal(replayed.status, 401);
    assert.equal((await world.as(token, 'GET', '/agents')).status, 401, 'J11 an exchanged token at the API');
    proxy.closeAllConnections();
    proxy.close();
  });

  test('a second call of one person to one server in a session is cached; another session exchanges anew', async () => {
    const first = await say(world, alice, 'vacation days balance');
    const again = await say(world, alice, 'vacation days balance', first.body.session);
    const other = await say(world, alice, 'vacation days balance');
    assert.deepEqual(
      [first, again, other].map(({ body }) => body.toolCalls[0]?.exchange?.result),
      ['exchanged', 'cached', 'exchanged'],
    );
  });

  test('a person without a grant gets the same 404 as for an agent that does not exist, and no session', async () => {
    const carol = await world.token('carol');
    const hidden = await world.as(carol, 'POST', '/agents/assistant/sessions', {});
    const missing = await world.as(carol, 'POST', '/agents/nothing/sessions', {});
    assert.equal(hidden.status, 404);
    assert.deepEqual({ ...hidden.body, instance: undefined }, { ...missing.body, instance: undefined });
    assert.deepEqual((await world.as(carol, 'GET', '/agents')).body.items, []);
    assert.deepEqual((await world.as(carol, 'GET', '/sessions')).body.items, []);
  });

  test('a RESTRICTED person may sign in, but not run; with read they get 403', async () => {
    await grantRun(world, 'rita');
    const rita = await world.token('rita');
    assert.equal((await world.as(rita, 'GET', '/agents/assistant')).status, 200);
    assert.equal((await world.as(rita, 'POST', '/agents/assistant/sessions', {})).status, 403);
  });

  test("another person's session is 404 with every method, for ADMIN too where it comes to speaking", async () => {
    const { body } = await say(world, alice, 'hello');
    const path = `/agents/assistant/sessions/${body.session}`;
    for (const [method, suffix] of [
      ['GET', ''],
      ['DELETE', ''],
      ['PATCH', ''],
      ['GET', '/events'],
      ['POST', '/messages'],
      ['POST', '/stop'],
      ['POST', '/clear'],
    ] as const) {
      const answer = await world.as(
        bob,
        method,
        `${path}${suffix}`,
        method === 'GET' || method === 'DELETE' ? undefined : { content: 'x', title: 'x' },
      );
      assert.equal(answer.status, 404, `${method} ${suffix}`);
    }
    const root = await world.token('root');
    assert.equal((await world.as(root, 'POST', `${path}/messages`, { content: 'x' })).status, 404, 'Y6');
    assert.equal((await world.as(root, 'GET', `${path}/events`)).status, 403);
    assert.equal((await world.as(root, 'GET', `${path}/events?reason=incident`)).status, 200);
    const { body: log } = await world.as<{ events: { type: string; data: { code?: string } }[] }>(
      alice,
      'GET',
      `${path}/events?limit=500`,
    );
    assert.equal(log.events.at(-1)?.data.code, 'read_by_administrator', 'the owner is told in the conversation');
    const { body: own } = await world.as<{ items: { reason?: string }[] }>(
      alice,
      'GET',
      `/audit?session=${body.session}`,
    );
    assert.ok(own.items.some(({ reason }) => reason === 'your conversation was read by an administrator'));
  });

  test('a grant that is removed ends what runs, and what comes next is 404, at once', async () => {
    await grantRun(world, 'carol');
    const carol = await world.token('carol');
    const { body: session } = await world.as<{ id: string }>(carol, 'POST', '/agents/assistant/sessions', {});
    const running = say(world, carol, 'what can you do for me !slow', session.id);
    await new Promise((resolve) => setTimeout(resolve, 150));
    await world.admin('DELETE', '/grants/carol');
    assert.deepEqual([(await running).body.state, (await running).body.code], ['failed', 'access_revoked']);
    assert.equal((await world.as(carol, 'GET', '/agents/assistant')).status, 404);
  });

  test('a disabled person is refused at once with the token they hold', async () => {
    await world.admin('POST', '/principals', { subject: 'dave', role: 'REGULAR' });
    const dave = await world.token('dave');
    assert.equal((await world.as(dave, 'GET', '/me')).status, 200);
    await world.admin('PATCH', '/principals', { issuer: world.url, subject: 'dave', disabled: true });
    const refused = await world.as(dave, 'GET', '/me');
    assert.ok(refused.status === 401 || refused.status === 403, String(refused.status));
  });

  test('the audit joins the turn: decision, exchange, tool call; it verifies; others see only their own', async () => {
    const { body } = await say(world, bob, 'list my orders');
    const { body: traced } = await world.as<{ items: { type: string; phase: string }[] }>(
      bob,
      'GET',
      `/audit/trace/${body.turn}`,
    );
    const kinds = traced.items.map(({ type, phase }) => `${type}/${phase}`);
    for (const wanted of [
      'decision/single',
      'model.call/single',
      'tool.call/intent',
      'exchange/single',
      'tool.call/outcome',
    ])
      assert.ok(kinds.includes(wanted), `${wanted} in ${kinds.join(' ')}`);
    assert.equal((await world.as(alice, 'GET', `/audit/trace/${body.turn}`)).status, 404, 'L7');
    assert.equal((await world.as(alice, 'GET', '/audit/verify')).status, 403, 'L7');
    const audrey = await world.token('audrey');
    const { body: verified } = await world.as<{ ok: boolean }>(audrey, 'GET', '/audit/verify');
    assert.equal(verified.ok, true);
    const own = await world.as<{ items: { principal?: { subject: string } }[] }>(alice, 'GET', '/audit?limit=500');
    assert.ok(own.body.items.length > 0 && own.body.items.every(({ principal }) => principal?.subject === 'alice'));
  });
});
