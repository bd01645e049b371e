import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import type { AuditLine, ExchangeEntry, TurnResult } from '@onbehalf/resources';
import { cli } from '../../packages/cli/test/harness.ts';
import { grantRun, say, startWorld, type World } from './world.ts';

type Line = AuditLine & {
  principal?: { subject: string };
  agent?: { namespace: string; name: string; uid: string; promptHash?: string; modelHash?: string };
  target?: { server?: string; uid?: string; registeredBy?: { subject: string } };
  tool?: { server?: string; name: string; result?: Record<string, unknown> };
  token?: { jti?: string };
  [field: string]: unknown;
};

/** As the example tool server makes them. */
const firstOrder = (user: string) => `A-${1_001 + (Buffer.from(user).reduce((sum, byte) => sum + byte, 0) % 900) * 10}`;
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

describe('what happened is found, whatever it is looked for by', () => {
  let world: World;
  let audrey: string;
  let turn: string;
  before(async () => {
    world = await startWorld();
    audrey = await world.token('audrey');
    // A second orders server of another namespace, which records fields, and an agent of its own there.
    await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: orders, namespace: team}
spec:
  url: ${world.orders.url}
  auth: {mode: Exchange, tokenServiceRef: {name: onbehalf}, resourceFrom: ServerURL, scopes: [orders.read]}
  audit: {arguments: Fields, fields: {get_order: [/order_id]}, resultFields: {get_order: [/id]}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: ModelConfig
metadata: {name: planner, namespace: team}
spec: {provider: Demo, model: demo, description: of the team}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: assistant, namespace: team}
spec:
  type: Declarative
  declarative:
    systemMessage: You look up orders.
    modelConfigRef: {name: planner}
    tools: [{type: McpServer, mcpServer: {name: orders, toolNames: [list_orders, get_order]}}]
---
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: team-runs, namespace: team}
spec: {to: {role: REGULAR}, on: {kind: Agent, name: assistant}, verbs: [run]}
`);
    await world.admin('POST', '/mcp-servers/team.orders/actions/test');
    await grantRun(world, 'carol');
    for (const user of ['alice', 'bob', 'carol']) {
      const token = await world.token(user);
      await say(world, token, 'list my orders');
      await say(world, token, 'how many vacation days do I have left?');
      const { body } = await world.as<{ id: string }>(token, 'POST', '/agents/team.assistant/sessions', {});
      const said = await world.as<TurnResult>(
        token,
        'POST',
        `/agents/team.assistant/sessions/${body.id}/messages`,
        { content: `show me the details of my order ${firstOrder(user)}` },
        { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` },
      );
      if (user === 'alice') turn = said.body.turn;
      await world.as(token, 'GET', '/agents/not-there');
    }
  });
  after(() => world[Symbol.asyncDispose]());
  const lines = async (query: string) =>
    (await world.as<{ items: Line[] }>(audrey, 'GET', `/audit?limit=500${query}`)).body.items;
  const exchanges = async (query: string) =>
    (await world.as<{ items: ExchangeEntry[] }>(audrey, 'GET', `/exchanges?${query}`)).body.items;

  test('each filter of /exchanges finds what filtering the whole list finds, and the limit comes after it', async () => {
    const all = await exchanges('limit=500');
    assert.ok(all.length >= 9, String(all.length));
    const [oldest] = all.slice(-1);
    const by: [string, (entry: ExchangeEntry) => string][] = [
      ['session', ({ session }) => session],
      ['agent', ({ agent }) => agent],
      ['server', ({ server }) => server],
      ['user', ({ principal }) => principal.subject],
      ['result', ({ result }) => result],
    ];
    for (const [name, of] of by)
      for (const value of new Set(all.map(of))) {
        const expected = all.filter((entry) => of(entry) === value).map(({ id }) => id);
        const query = `${name}=${encodeURIComponent(value)}`;
        assert.deepEqual(
          (await exchanges(`limit=500&${query}`)).map(({ id }) => id),
          expected,
          query,
        );
        assert.deepEqual(
          (await exchanges(`limit=1&${query}`)).map(({ id }) => id),
          expected.slice(0, 1),
          query,
        );
      }
    const since = all[3]?.at ?? '';
    assert.deepEqual(
      (await exchanges(`limit=500&since=${since}`)).map(({ id }) => id),
      all.filter(({ at }) => at >= since).map(({ id }) => id),
    );
    assert.deepEqual(
      new Set(all.map(({ server }) => server)),
      new Set(['default/orders', 'default/hr', 'team/orders']),
    );
    // A bare name is one of the namespace `default`, in every filter.
    assert.deepEqual(await exchanges('limit=500&server=orders'), await exchanges('limit=500&server=default%2Forders'));
    assert.deepEqual(
      await exchanges('limit=500&agent=team.assistant'),
      await exchanges('limit=500&agent=team%2Fassistant'),
    );
    assert.ok(oldest !== undefined && (await exchanges(`limit=1&session=${oldest.session}`)).length === 1);
  });

  test('L7 each filter of /audit finds what filtering the whole list finds, and the limit comes after it', async () => {
    const all = await lines('');
    assert.ok(all.length < 500);
    const by: [string, (line: Line) => readonly (string | undefined)[]][] = [
      ['turn', (line) => [line.turn as string]],
      ['session', (line) => [line.session as string]],
      ['type', (line) => [line.type]],
      ['user', (line) => [line.principal?.subject]],
      ['agent', (line) => [line.agent && `${line.agent.namespace}/${line.agent.name}`]],
      ['server', (line) => [line.tool?.server ?? line.target?.server]],
      ['decision', (line) => [line.decision as string]],
      ['jti', (line) => [line.token?.jti, (line.principal as { jti?: string } | undefined)?.jti]],
      ['record', (line) => (line.records as string[] | undefined) ?? []],
      ['requestId', (line) => [line.requestId as string]],
    ];
    for (const [name, of] of by) {
      const values = new Set(all.flatMap(of).filter((value) => value !== undefined));
      assert.ok(values.size > 0, `${name} is written by nobody`);
      for (const value of [...values].slice(0, 12)) {
        const expected = all.filter((line) => of(line).includes(value)).map(({ writer, seq }) => `${writer}/${seq}`);
        const query = `&${name}=${encodeURIComponent(value)}`;
        assert.deepEqual(
          (await lines(query)).map(({ writer, seq }) => `${writer}/${seq}`),
          expected,
          query,
        );
      }
    }
    for (const [name, keep] of [
      ['since', (at: string, line: Line) => line.at >= at],
      ['until', (at: string, line: Line) => line.at < at],
    ] as const) {
      const at = all[Math.floor(all.length / 2)]?.at ?? '';
      assert.deepEqual(
        await lines(`&${name}=${at}`),
        all.filter((line) => keep(at, line)),
      );
    }
  });

  test('a tool server has one name and its uid in tool calls, exchanges and discovery', async () => {
    const uids = Object.fromEntries(
      await Promise.all(
        ['default.orders', 'default.hr', 'team.orders'].map(async (address) => {
          const { body } = await world.admin<{ metadata: { uid: string } }>('GET', `/mcp-servers/${address}`);
          return [address.replace('.', '/'), body.metadata.uid];
        }),
      ),
    );
    const about = (await lines('')).filter(
      (line) => line.target?.server !== undefined || line.tool?.server !== undefined,
    );
    for (const line of about) {
      const named = line.tool?.server ?? line.target?.server ?? '';
      assert.ok(named in uids, `${line.type}: ${named}`);
      assert.equal(line.target?.uid, uids[named], `${line.type} ${named}`);
    }
    const found = async (query: string) => new Set((await lines(query)).map(({ type }) => type));
    const types = await found('&server=team%2Forders');
    for (const type of ['tool.call', 'exchange', 'issue']) assert.ok(types.has(type), `${type} in ${[...types]}`);
    const discovery = (await lines('&type=exchange&server=team%2Forders')).filter((line) => line.turn === undefined);
    assert.ok(discovery.length > 0, 'the discovery of the server is among its exchanges');
  });

  test('which agent read a record, in which turn, with which prompt, model and policy, joined to the caller’s trace', async () => {
    const order = firstOrder('alice');
    const found = (await lines(`&record=${order}`)).filter(({ phase }) => phase === 'outcome');
    assert.deepEqual(
      found.map(({ principal }) => principal?.subject),
      ['alice'],
    );
    const [line] = found;
    assert.deepEqual(line?.agent && `${line.agent.namespace}/${line.agent.name}`, 'team/assistant');
    assert.deepEqual([line?.turn, line?.traceId, line?.rule !== undefined], [turn, TRACE, true]);
    assert.deepEqual(line?.tool?.result, { '/id': order });
    assert.equal(line?.target?.registeredBy?.subject, 'local-admin');
    assert.ok(Number(line?.policyRevision) > 0);
    assert.match(String((line?.principal as { tokenHash?: string } | undefined)?.tokenHash), /^[\w-]+:[\w-]{43}$/);
    assert.match(String(line?.agent?.promptHash), /^[\w-]+:[\w-]{43}$/);
    assert.match(String(line?.agent?.modelHash), /^[\w-]{43}$/);
    const elsewhere = (await lines('&type=tool.call&agent=default%2Fassistant'))[0];
    assert.notEqual(elsewhere?.agent?.promptHash, line?.agent?.promptHash);
    assert.notEqual(elsewhere?.agent?.modelHash, line?.agent?.modelHash);
    for (const type of ['decision', 'model.call', 'tool.call', 'exchange'])
      assert.ok(
        (await lines(`&turn=${turn}&type=${type}`)).every(({ traceId }) => traceId === TRACE),
        type,
      );
  });

  test('`audit trace` shows what brought about what, and each fact on a line of its own', async () => {
    const shown = await cli(['audit', 'trace', turn, '--data-dir', world.dataDir], { env: {} });
    const remote = await cli(['audit', 'trace', turn], { env: { ONBEHALF_URL: world.url, ONBEHALF_TOKEN: audrey } });
    assert.equal(remote.code, 0, remote.stderr || shown.stderr);
    const text = remote.stdout;
    const depth = (words: RegExp) => {
      const line = text.split('\n').find((candidate) => words.test(candidate));
      assert.ok(line, `${words} in\n${text}`);
      return /^ */.exec(line)?.[0].length ?? 0;
    };
    const steps = [
      /decision: may alice run team\/assistant: allow/,
      /model call 1: ok/,
      /tool call team\/orders get_order: ok/,
      /token for team\/orders: exchanged/,
    ].map(depth);
    assert.deepEqual(steps, [0, 2, 4, 6]);
    for (const fact of [
      new RegExp(`^ +audience +${world.orders.url}$`, 'm'),
      /^ +scope +orders\.read$/m,
      /^ +actor +agent:team\/assistant$/m,
      /^ +model +demo$/m,
      /^ +tokens +\d+ in, \d+ out$/m,
      new RegExp(`^ +record +${firstOrder('alice')}$`, 'm'),
      /^ +latency +\d+ ms$/m,
    ])
      assert.match(text, fact);
    const json = await cli(['audit', 'trace', turn, '-o', 'jsonl'], {
      env: { ONBEHALF_URL: world.url, ONBEHALF_TOKEN: audrey },
    });
    assert.ok(
      json.stdout
        .trim()
        .split('\n')
        .every((line) => typeof JSON.parse(line).seq === 'number'),
    );
  });
});

test('200 garbage tokens by nobody hide no refusal of a signed-in person, and how many were not written is written', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'onbehalf-flood-'));
  {
    await using world = await startWorld({ dataDir });
    const audrey = await world.token('audrey');
    const alice = await world.token('alice');
    for (let n = 0; n < 200; n++) assert.equal((await world.as(`garbage-${n}`, 'GET', '/agents')).status, 401);
    assert.equal((await world.as(alice, 'GET', '/agents/not-there')).status, 404);
    const { body } = await world.as<{ items: Line[] }>(audrey, 'GET', '/audit?type=refusal&user=alice');
    assert.deepEqual(
      body.items.map((line) => [line.decision, (line.data as { path: string }).path]),
      [['hide', '/api/agents/not-there']],
    );
  }
  const db = new DatabaseSync(join(dataDir, 'onbehalf.db'), { readOnly: true });
  const counted = db
    .prepare("select body from audit_lines where type = 'refusal'")
    .all()
    .map(({ body }) => JSON.parse(String(body)).data.omitted)
    .filter((omitted) => omitted !== undefined);
  db.close();
  assert.deepEqual(counted, [140]);
  await rm(dataDir, { recursive: true });
});
