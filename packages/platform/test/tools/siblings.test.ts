import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import type { ModelToolCall } from '../../src/models/index.ts';
import { type Chain, startChain } from '../runtime/chain.ts';
import { END, USAGE } from '../runtime/scripted-model.ts';
import { rawServer, reply } from './raw-server.ts';

const say = (response: ServerResponse, id: unknown, text: string) =>
  reply(response, id, { content: [{ type: 'text', text }] });

const TOOLS = ['good', 'slow', 'bad', 'refuses', 'hangs'];

describe('calls over one connection', () => {
  let chain: Chain;
  let serves: (name: string, response: ServerResponse, id: unknown) => unknown = () => undefined;
  const sessions = { known: new Set<string>(), begun: 0 };
  let raw: Awaited<ReturnType<typeof rawServer>>;

  before(async () => {
    chain = await startChain();
    await chain.ready();
    raw = await rawServer((_request, response, _method, id, name) => void serves(name, response, id), {
      onList: (_request, response, _method, id) =>
        reply(response, id, { tools: TOOLS.map((name) => ({ name, inputSchema: { type: 'object' } })) }),
      sessions: {
        begin() {
          const id = `session-${++sessions.begun}`;
          sessions.known.add(id);
          return id;
        },
        knows: (id) => sessions.known.has(id),
      },
    });
    await chain.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: shared}
spec: {url: "${raw.url}", timeouts: {total: 1s}, auth: {mode: Exchange, tokenServiceRef: {name: sts}, resourceFrom: ServerURL}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: several}
spec: {type: Declarative, declarative: {systemMessage: x, tools: [{type: McpServer, mcpServer: {name: shared}}]}}
`);
    const { uid } = chain.registry.get('RemoteMCPServer', 'default', 'shared')?.metadata ?? { uid: '' };
    await chain.tools.discover(uid);
  });
  after(async () => {
    await raw?.close();
    await chain?.close();
  });

  /** One step with these calls at once. */
  async function step(user: string, tools: readonly string[], session?: string) {
    let asked = false;
    chain.model.script = async function* () {
      if (!asked)
        for (const [index, tool] of tools.entries())
          yield {
            type: 'tool-call',
            call: {
              callId: `${crypto.randomUUID()}-${index}`,
              name: `shared__${tool}`,
              arguments: '{}',
            } as ModelToolCall,
          };
      asked = true;
      yield { type: 'usage', usage: USAGE };
      yield END;
    };
    const id = session ?? (await chain.session(user, 'several')).id;
    const turn = await chain.runtime.start(
      chain.input(id, user, 'go', await chain.sts.user(user)),
      chain.agent('several'),
    );
    const result = await chain.runtime.finished(id, turn);
    const outcomes = (await chain.audit.trace(turn))
      .filter(({ entry }) => entry.type === 'tool.call' && entry.phase === 'outcome')
      .map(({ entry }) => entry.outcome);
    return { id, calls: result.toolCalls, outcomes };
  }

  test('one that fails takes none of the others with it, and what was sent and not answered is told as not known', async () => {
    serves = (name, response, id) => {
      if (name === 'bad') response.writeHead(500).end();
      else if (name === 'slow') setTimeout(() => say(response, id, 'refunded'), 300);
      else if (name === 'hangs') return;
      else say(response, id, 'ok');
    };
    const { calls, outcomes } = await step('alice', ['slow', 'bad', 'hangs', 'good']);
    const by = (tool: string) => calls.find((call) => call.tool === tool);
    assert.deepEqual([by('slow')?.isError, by('slow')?.output], [false, 'refunded']);
    assert.deepEqual([by('good')?.isError, by('good')?.output], [false, 'ok']);
    assert.deepEqual([by('bad')?.code, by('bad')?.output], ['tool_protocol', 'shared answered 500']);
    assert.equal(by('hangs')?.code, 'tool_timeout');
    assert.match(by('hangs')?.output ?? '', /it is not known whether the call was carried out/);
    assert.deepEqual(outcomes.sort(), ['error', 'ok', 'ok', 'unknown']);
  });

  test('T7 a JSON-RPC error is the tool’s answer: bounded, without the token, and no reason to give the server a rest', async () => {
    let token = '';
    serves = (_name, response, id) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(
        JSON.stringify({
          jsonrpc: '2.0',
          id,
          error: { code: -32602, message: `order_id is missing\n${token} ${'x'.repeat(5_000)}` },
        }),
      );
    for (let attempt = 0; attempt < 8; attempt++) {
      token = (raw.seen.findLast(({ method }) => method === 'tools/call')?.authorization ?? '').slice('Bearer '.length);
      const { calls } = await step('alice', ['refuses']);
      assert.equal(calls[0]?.code, 'tool_error');
      const output = calls[0]?.output ?? '';
      assert.match(output, /^shared refused the call: order_id is missing /);
      assert.ok(output.length < 400);
      assert.ok(token === '' || !output.includes(token));
    }
    serves = (_name, response, id) => say(response, id, 'ok');
    assert.equal((await step('bob', ['good'])).calls[0]?.isError, false);
  });

  test('one person’s refused token does not give the server a rest for the others', async () => {
    serves = (_name, response) => response.writeHead(401).end();
    for (let attempt = 0; attempt < 6; attempt++) assert.equal((await step('alice', ['good'])).calls[0]?.isError, true);
    serves = (_name, response, id) => say(response, id, 'ok');
    assert.equal((await step('bob', ['good'])).calls[0]?.isError, false);
  });

  test('a session that the server has ended is begun anew, once, and the request is made again in it', async () => {
    serves = (_name, response, id) => say(response, id, 'ok');
    const first = await step('alice', ['good']);
    const begun = sessions.begun;
    const before = raw.calls();
    sessions.known.clear();
    const second = await step('alice', ['good'], first.id);
    assert.deepEqual([second.calls[0]?.isError, second.calls[0]?.output], [false, 'ok']);
    assert.deepEqual([sessions.begun - begun, raw.calls() - before], [1, 2]);
  });
});
