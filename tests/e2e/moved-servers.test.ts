import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Condition, SessionEvent, TurnResult } from '@onbehalf/resources';
import { rawServer } from '../../packages/platform/test/tools/raw-server.ts';
import { grantRun, say, startWorld, type World } from './world.ts';

interface View {
  spec: Record<string, unknown>;
  status: {
    tools?: { name: string; hash: string; approved: boolean }[];
    conditions?: Condition[];
  };
}

describe('a tool server that is moved, or not there', () => {
  let world: World;
  let alice: string;
  before(async () => {
    world = await startWorld();
    await grantRun(world, 'alice');
    await grantRun(world, 'bob');
    alice = await world.token('alice');
  });
  after(() => world?.[Symbol.asyncDispose]());

  const view = async (path: string) => (await world.admin<View>('GET', path)).body;
  const condition = async (path: string, type: string) => {
    const found = (await view(path)).status.conditions?.find((one) => one.type === type);
    return [found?.status, found?.reason, found?.message];
  };
  const put = async (
    by: (method: string, path: string, body?: unknown) => Promise<{ status: number }>,
    url: string,
  ) => {
    const { spec } = await view('/mcp-servers/orders');
    const document = {
      apiVersion: 'onbehalf.dev/v1alpha1',
      kind: 'RemoteMCPServer',
      metadata: { name: 'orders' },
      spec: { ...spec, url },
    };
    assert.equal((await by('PUT', '/mcp-servers/orders', document)).status, 200);
    // Asks now; what is under way is waited for.
    await world.admin('POST', '/mcp-servers/orders/actions/test');
    await world.admin('POST', '/mcp-servers/orders/actions/test');
  };
  const warnings = async ({ session, turn }: TurnResult) => {
    const { body } = await world.as<{ events: SessionEvent[] }>(
      alice,
      'GET',
      `/agents/assistant/sessions/${session}/events`,
    );
    return body.events.flatMap((event) => (event.type === 'warning' && event.turn === turn ? [event.data] : []));
  };

  test('M4 T6 at another address nothing is approved while its tools cannot be listed there: no call goes there, the turn and the conditions say so', async () => {
    const good = await say(world, alice, 'list my orders');
    assert.deepEqual(
      good.body.toolCalls.map(({ isError }) => isError),
      [false],
    );
    assert.deepEqual(await warnings(good.body), []);
    assert.deepEqual((await condition('/agents/assistant', 'Ready')).slice(0, 2), ['True', 'Ready']);
    const trap = await rawServer((_request, response) => response.writeHead(200).end('{}'), {
      onList: (_request, response) => response.writeHead(403).end(),
    });
    await put(world.admin, trap.url);
    const { tools = [] } = (await view('/mcp-servers/orders')).status;
    assert.ok(tools.length > 0 && tools.every(({ approved }) => !approved));
    assert.deepEqual((await condition('/mcp-servers/orders', 'ToolsDiscovered')).slice(0, 2), [
      'False',
      'DiscoveryFailed',
    ]);
    assert.deepEqual((await condition('/mcp-servers/orders', 'Reachable')).slice(0, 2), ['True', 'Answered']);
    const moved = await say(world, alice, 'list my orders');
    assert.equal(moved.body.state, 'completed');
    assert.equal(trap.calls(), 0);
    assert.ok(moved.body.toolCalls.every(({ code }) => code === 'tool_unknown' || code === 'tool_not_offered'));
    const [warning] = await warnings(moved.body);
    assert.equal(warning?.code, 'tools_missing');
    assert.match(warning?.message ?? '', /^this agent works without orders \(its tools could not be listed: orders /);
    const [status, reason, message = ''] = await condition('/agents/assistant', 'Ready');
    assert.deepEqual([status, reason], ['False', 'Degraded']);
    assert.match(message, /can be talked to, but works without orders \(/);
    // Nor can it be approved for there.
    const approving = await world.admin<{ code: string }>('POST', '/mcp-servers/orders/actions/approve-tools', {
      tools: tools.map(({ name, hash }) => ({ name, hash })),
    });
    assert.deepEqual([approving.status, approving.body.code], [409, 'tool_changed']);
    await trap.close();
    // Nobody is there any more.
    await world.admin('POST', '/mcp-servers/orders/actions/test');
    assert.deepEqual((await condition('/mcp-servers/orders', 'Reachable')).slice(0, 2), ['False', 'NoAnswer']);
    // An administrator wrote the address: its first list is approved with it.
    await put(world.admin, world.orders.url);
    const back = await say(world, alice, 'list my orders');
    assert.deepEqual(
      back.body.toolCalls.map(({ isError }) => isError),
      [false],
    );
    assert.deepEqual(await warnings(back.body), []);
    assert.deepEqual((await condition('/mcp-servers/orders', 'Reachable')).slice(0, 2), ['True', 'Answered']);
  });

  test('M4 who is no administrator moves a server: its tools wait for approval, though an administrator wrote it last', async () => {
    const raw = await rawServer((_request, response, _method, id) =>
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text: 'hi' }] } })),
    );
    const bob = await world.token('bob');
    await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: bob-writes}
spec: {to: {principal: {issuer: "${world.url}", subject: bob}}, on: {namespace: default}, verbs: [write]}
`);
    const document = (description: string) => ({
      apiVersion: 'onbehalf.dev/v1alpha1',
      kind: 'RemoteMCPServer',
      metadata: { name: 'notes' },
      spec: { url: 'http://127.0.0.1:9/mcp', description },
    });
    assert.equal((await world.as(bob, 'POST', '/mcp-servers', document('by bob'))).status, 201);
    assert.equal((await world.admin('PUT', '/mcp-servers/notes', document('by an administrator'))).status, 200);
    await world.admin('POST', '/mcp-servers/notes/actions/test');
    const moved = { ...document('by an administrator'), spec: { url: raw.url, description: 'by an administrator' } };
    assert.equal((await world.as(bob, 'PUT', '/mcp-servers/notes', moved)).status, 200);
    const touched = { ...moved, spec: { ...moved.spec, description: 'touched' } };
    assert.equal((await world.admin('PUT', '/mcp-servers/notes', touched)).status, 200);
    await world.admin('POST', '/mcp-servers/notes/actions/test');
    await world.admin('POST', '/mcp-servers/notes/actions/test');
    const [tool] = (await view('/mcp-servers/notes')).status.tools ?? [];
    assert.deepEqual([tool?.name, tool?.approved], ['echo', false]);
    const approve = (tools: unknown) =>
      world.as<{ code: string } & View>(bob, 'POST', '/mcp-servers/notes/actions/approve-tools', { tools });
    // What was seen is not what is there; a name alone says nothing; unknown names are refused.
    const stale = await approve([{ name: 'echo', hash: 'what was seen yesterday' }]);
    assert.deepEqual([stale.status, stale.body.code], [409, 'tool_changed']);
    assert.equal((await approve(['echo'])).status, 400);
    assert.equal((await approve([])).status, 400);
    assert.equal((await approve(undefined)).status, 400);
    assert.equal((await approve([{ name: 'other', hash: tool?.hash }])).status, 400);
    assert.equal((await view('/mcp-servers/notes')).status.tools?.[0]?.approved, false);
    const done = await approve([{ name: 'echo', hash: tool?.hash }]);
    assert.deepEqual([done.status, done.body.status.tools?.[0]?.approved], [200, true]);
    await raw.close();
  });

  test('a message that is sent again with its key is one turn over HTTP too; another body is 422 and names both hashes', async () => {
    const session = (await world.as<{ id: string }>(alice, 'POST', '/agents/assistant/sessions', {})).body.id;
    const post = (content: string) =>
      world.as<TurnResult & { code: string; detail: string }>(
        alice,
        'POST',
        `/agents/assistant/sessions/${session}/messages`,
        { content },
        { 'idempotency-key': 'k-1' },
      );
    const first = await post('hello');
    assert.equal((await post('hello')).body.turn, first.body.turn);
    const other = await post('hello, and more');
    assert.deepEqual([other.status, other.body.code], [422, 'idempotency_key_reused']);
    assert.equal(new Set(other.body.detail.match(/[0-9a-f]{64}/g)).size, 2);
  });

  test('an agent that names a tool that is nowhere is Degraded, and each turn names it', async () => {
    await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: half}
spec:
  type: Declarative
  declarative:
    modelConfigRef: {name: default}
    tools:
      - {type: McpServer, mcpServer: {name: orders, toolNames: [list_orders, fly]}}
      - {type: McpServer, mcpServer: {name: nowhere}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: half}
spec: {to: {principal: {issuer: "${world.url}", subject: alice}}, on: {kind: Agent, name: half}, verbs: [run]}
`);
    const session = (await world.as<{ id: string }>(alice, 'POST', '/agents/half/sessions', {})).body.id;
    const path = `/agents/half/sessions/${session}`;
    const turn = await world.as<TurnResult>(alice, 'POST', `${path}/messages`, { content: 'list my orders' });
    assert.deepEqual(
      turn.body.toolCalls.map(({ tool, isError }) => [tool, isError]),
      [['list_orders', false]],
    );
    const { events } = (await world.as<{ events: SessionEvent[] }>(alice, 'GET', `${path}/events`)).body;
    const [warning] = events.filter(({ type }) => type === 'warning');
    const text =
      'works without orders/fly (orders has not been found to offer fly), nowhere (there is no RemoteMCPServer nowhere)';
    assert.deepEqual(warning?.data, { code: 'tools_missing', message: `this agent ${text}` });
    const [, reason, message] = await condition('/agents/half', 'Ready');
    assert.deepEqual([reason, message], ['Degraded', `can be talked to, but ${text}`]);
  });
});
