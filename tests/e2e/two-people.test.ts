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
    await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: orders}
spec: {url: "${proxied}", auth: {mode: Exchange, tokenServiceRef: {name: onbehalf}, resource: ["${world.orders.url}"], scopes: [orders.read], allowOverride: {scopes: [orders.read, orders.refund]}}}
`);
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
    // Both say the name that was asked for, and nothing else differs.
    const { detail } = missing.body as { detail: string };
    assert.match(detail, /there is no Agent nothing, or you may not see it/);
    const asked = { ...missing.body, detail: detail.replace('nothing', 'assistant'), instance: undefined };
    assert.deepEqual({ ...hidden.body, instance: undefined }, asked);
    assert.deepEqual((await world.as(carol, 'GET', '/agents')).body.items, []);
    assert.deepEqual((await world.as(carol, 'GET', '/sessions')).body.items, []);
  });

  test('I7 somebody who is made RESTRICTED goes on reading their own conversation, and does nothing in it', async () => {
    await grantRun(world, 'dora');
    await world.admin('POST', '/principals', { subject: 'dora', role: 'REGULAR' });
    const dora = await world.token('dora');
    const { body } = await say(world, dora, 'list my orders');
    const address = `/agents/assistant/sessions/${body.session}`;
    await world.admin('PATCH', '/principals', { issuer: world.url, subject: 'dora', role: 'RESTRICTED' });
    for (const path of ['/sessions', address, `${address}/events`])
      assert.equal((await world.as(dora, 'GET', path)).status, 200, path);
    assert.equal((await world.as(dora, 'POST', `${address}/messages`, { content: 'more' })).status, 403);
    for (const method of ['PATCH', 'DELETE'])
      assert.equal((await world.as(dora, method, address, { title: 'x' })).status, 403, method);
    assert.equal((await world.as(alice, 'GET', address)).status, 404);
  });

  test('an AUDITOR neither lists nor runs agents, with a grant neither; the evidence is theirs to read', async () => {
    await grantRun(world, 'audrey');
    const audrey = await world.token('audrey');
    for (const path of ['/agents', '/agents/models'])
      assert.equal((await world.as(audrey, 'GET', path)).status, 403, path);
    assert.equal((await world.as(audrey, 'POST', '/agents/assistant/sessions', {})).status, 403);
    assert.equal((await world.as(audrey, 'POST', '/tickets', { agent: 'assistant' })).status, 403);
    for (const path of ['/audit', '/exchanges', '/me', '/mcp-servers'])
      assert.equal((await world.as(audrey, 'GET', path)).status, 200, path);
  });

  test('explain shows people their own grant and no target of a server that they may not read; ADMIN and admin see all', async () => {
    interface Explained {
      callers: { to: string; grant: string }[];
      tools: { server: string; target?: object; tokenService?: string }[];
    }
    const explained = async (token: string) =>
      (await world.as<Explained>(token, 'GET', '/agents/assistant/explain')).body;
    const all = await explained(await world.token('root'));
    const mine = await explained(alice);
    assert.ok(all.callers.some(({ to }) => to.startsWith('bob ')) && all.callers.length > mine.callers.length);
    assert.ok(mine.callers.length > 0);
    assert.ok(
      mine.callers.every(({ to }) => to === `alice of ${world.url}`),
      JSON.stringify(mine.callers),
    );
    assert.ok(all.tools.length > 0 && all.tools.every(({ target, tokenService }) => target && tokenService));
    assert.deepEqual(
      mine.tools.map(({ server, target, tokenService }) => [server, target, tokenService]),
      all.tools.map(({ server }) => [server, undefined, undefined]),
    );
    const given = (name: string, on: string, verbs: string) => `
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: ${name}}
spec: {to: {principal: {issuer: "${world.url}", subject: carol}}, on: ${on}, verbs: [${verbs}]}
`;
    const carol = await world.token('carol');
    await world.applied(
      `${given('carol-runs', '{kind: Agent, name: assistant}', 'run')}---${given('carol-reads', '{kind: RemoteMCPServer, name: orders}', 'read')}`,
    );
    const hers = await explained(carol);
    assert.deepEqual(
      hers.callers.map(({ grant }) => grant),
      ['carol-runs'],
    );
    assert.deepEqual(
      new Set(hers.tools.filter(({ target }) => target !== undefined).map(({ server }) => server)),
      new Set(['orders']),
    );
    await world.applied(given('carol-runs', '{kind: Agent, name: assistant}', 'admin'));
    assert.deepEqual((await explained(carol)).callers.length, all.callers.length + 1);
    for (const name of ['carol-runs', 'carol-reads']) await world.admin('DELETE', `/grants/${name}`);
  });

  test('a RESTRICTED person may sign in and read what they once said; for the rest they get 403, with a grant too', async () => {
    await grantRun(world, 'rita');
    const rita = await world.token('rita');
    for (const path of ['/me', '/sessions']) assert.equal((await world.as(rita, 'GET', path)).status, 200, path);
    for (const path of [
      '/agents',
      '/agents/models',
      '/agents/assistant',
      '/agents/assistant/explain',
      '/agents/assistant/sessions',
      '/mcp-servers',
      '/model-configs',
      '/grants',
      '/exchanges',
      '/audit',
      '/access/can-i?verb=run&kind=Agent&name=assistant',
    ])
      assert.equal((await world.as(rita, 'GET', path)).status, 403, path);
    for (const path of ['/apply', '/tickets', '/agents', '/mcp-servers'])
      assert.equal((await world.as(rita, 'POST', path, {})).status, 403, path);
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
