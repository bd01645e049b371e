import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { callLimits } from '../../src/tools/limits.ts';
import { ca, key } from '../egress/throw-away-pair.ts';
import { type Chain, startChain } from '../runtime/chain.ts';
import { rawServer } from './raw-server.ts';

const answer = (id: unknown) =>
  JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text: 'ok' }] } });
const JSON_TYPE = { 'content-type': 'application/json' };

test('the time of a call is the tool’s, else the server’s, and may be longer than a minute', () => {
  const url = 'https://tools.example/mcp';
  assert.deepEqual(callLimits({ url }), { connectMs: 10_000, firstByteMs: 60_000, idleMs: 60_000, totalMs: 60_000 });
  const timeouts = { connect: '2s', firstByte: '3s', total: '5m' };
  assert.deepEqual(callLimits({ url, timeouts }), {
    ...{ connectMs: 2_000, firstByteMs: 3_000, idleMs: 300_000, totalMs: 300_000 },
  });
  assert.deepEqual(callLimits({ url, timeouts: { total: '5m' } }, 90_000), {
    ...{ connectMs: 10_000, firstByteMs: 90_000, idleMs: 90_000, totalMs: 90_000 },
  });
});

describe('settings of a tool server and of its binding', () => {
  let chain: Chain;
  before(async () => {
    chain = await startChain({ env: { TOOLS_CA: ca, TOOLS_IDENTITY: `${ca}\n${key}` } });
    await chain.ready();
  });
  after(() => chain?.close());

  async function agentWith(server: string, url: string, spec: string, binding = '') {
    await chain.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: ${server}}
spec: {url: "${url}"${spec}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: with-${server}}
spec: {type: Declarative, declarative: {tools: [{type: McpServer, mcpServer: {name: ${server}, toolNames: [echo]${binding}}}]}}
`);
    await chain.tools.discover(chain.registry.get('RemoteMCPServer', 'default', server)?.metadata.uid ?? '');
    const name = `${server}__echo`;
    chain.model.script = async function* ({ messages }) {
      if (messages.at(-1)?.role === 'user') yield { type: 'tool-call', call: { callId: 'one', name, arguments: '{}' } };
      else yield { type: 'text', text: 'done' };
      yield { type: 'end', finishReason: 'stop' };
    };
    const session = (await chain.session('alice', `with-${server}`)).id;
    const subject = await chain.sts.user('alice');
    const turn = await chain.runtime.start(chain.input(session, 'alice', 'go', subject), chain.agent(`with-${server}`));
    const result = await chain.runtime.finished(session, turn);
    assert.equal(result.state, 'completed', JSON.stringify(result));
    return { call: result.toolCalls[0], session, turn };
  }

  test('`timeouts.firstByte` ends a call of a server that is silent, long before its whole time', async () => {
    const raw = await rawServer(() => undefined);
    const { call } = await agentWith('silent', raw.url, ', timeouts: {firstByte: 1s}');
    assert.deepEqual([call?.isError, call?.code], [true, 'tool_timeout']);
    await raw.close();
  });

  test('`timeouts.total` ends one that trickles; a binding’s `timeouts.tool` has the last word', async () => {
    const trickle = await rawServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const timer = setInterval(() => response.write(': alive\n\n'), 50);
      response.on('close', () => clearInterval(timer));
    });
    const cut = await agentWith('trickle', trickle.url, ', timeouts: {total: 1s}');
    assert.equal(cut.call?.code, 'tool_timeout');
    await trickle.close();
    const slow = await rawServer((_request, response, _method, id) => {
      setTimeout(() => response.writeHead(200, JSON_TYPE).end(answer(id)), 2_000);
    });
    const given = await agentWith('slow', slow.url, ', timeouts: {total: 1s}', ', timeouts: {tool: 20s}');
    assert.deepEqual([given.call?.isError, given.call?.output], [false, 'ok']);
    await slow.close();
  });

  test('E2 a call that was taken and not answered is made once more where the tool is idempotent, and never otherwise', async () => {
    const broken = () => {
      let calls = 0;
      return rawServer((_request, response, _method, id) => {
        if (++calls === 1) response.destroy();
        else response.writeHead(200, JSON_TYPE).end(answer(id));
      });
    };
    const [first, second] = [await broken(), await broken()];
    const plain = await agentWith('plain', first.url, '');
    assert.deepEqual([plain.call?.isError, plain.call?.code, first.calls()], [true, 'tool_unreachable', 1]);
    const again = await agentWith('again', second.url, '', ', idempotent: [echo]');
    assert.deepEqual([again.call?.isError, again.call?.output, second.calls()], [false, 'ok', 2]);
    const lines = (await chain.audit.trace(again.turn)).map(({ entry }) => entry);
    const outcome = lines.find(({ type, phase }) => type === 'tool.call' && phase === 'outcome');
    assert.equal(outcome?.data?.repeated, true);
    const always = await rawServer((_request, response) => response.destroy());
    const failed = await agentWith('always', always.url, '', ', idempotent: [echo]');
    assert.deepEqual([failed.call?.isError, always.calls()], [true, 2]);
    for (const server of [first, second, always]) await server.close();
  });

  test('`tls`: the authority is trusted and the client certificate shown, for this server alone', async () => {
    const tls = { key, cert: ca, ca, requestCert: true, rejectUnauthorized: true };
    const secure = await rawServer(
      (_request, response, _method, id) => response.writeHead(200, JSON_TYPE).end(answer(id)),
      { tls },
    );
    const settings = ', tls: {caRef: {env: TOOLS_CA}, clientCertRef: {env: TOOLS_IDENTITY}}';
    const good = await agentWith('mutual', secure.url, settings);
    assert.deepEqual([good.call?.isError, good.call?.output], [false, 'ok']);
    const calls = secure.seen.length;
    const bare = await agentWith('bare', secure.url, '');
    assert.deepEqual([bare.call?.code, secure.seen.length], ['tool_not_offered', calls]);
    const nobody = await agentWith('nobody', secure.url, ', tls: {caRef: {env: TOOLS_CA}}');
    assert.deepEqual([nobody.call?.code, secure.seen.length], ['tool_not_offered', calls]);
    await secure.close();
  });

  test('`stream: false` tells the text as one message, and a broken answer still keeps what was said', async () => {
    await chain.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: whole}
spec: {type: Declarative, declarative: {stream: false}}
`);
    const say = async (broken: boolean) => {
      chain.model.script = async function* () {
        yield { type: 'text', text: 'in two ' };
        yield { type: 'text', text: 'pieces' };
        if (broken) throw new TypeError('broken');
        yield { type: 'end', finishReason: 'stop' };
      };
      const session = (await chain.session('alice', 'whole')).id;
      const input = chain.input(session, 'alice', 'go', await chain.sts.user('alice'));
      const turn = await chain.runtime.start(input, chain.agent('whole'));
      await chain.runtime.finished(session, turn);
      const events = await chain.runtime.history(session);
      assert.deepEqual(
        events.filter(({ type }) => type === 'delta'),
        [],
      );
      return events.flatMap((event) =>
        event.type === 'message' && event.data.role === 'assistant' ? [event.data] : [],
      );
    };
    assert.deepEqual(await say(false), [{ role: 'assistant', text: 'in two pieces' }]);
    assert.deepEqual(await say(true), [{ role: 'assistant', text: 'in two pieces', truncated: true }]);
  });
});
