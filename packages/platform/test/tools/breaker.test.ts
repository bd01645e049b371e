import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Chain, startChain } from '../runtime/chain.ts';
import { rawServer } from './raw-server.ts';

describe('a tool server that keeps failing is given a rest', () => {
  let chain: Chain;
  before(async () => {
    chain = await startChain();
    await chain.ready();
  });
  after(() => chain?.close());

  async function call(name: string, signal = new AbortController().signal) {
    const server = chain.registry.get('RemoteMCPServer', 'default', name);
    assert.ok(server);
    const url = server.spec.url ?? '';
    return chain.tools.call({
      ...{ server, tool: 'echo', arguments: {}, session: `s-${name}`, turn: 't', step: 1, callId: crypto.randomUUID() },
      target: {
        ...{
          audience: [],
          resource: [url],
          scopes: [],
          connectionScopes: [],
          stepUpScopes: [],
          expectedAudience: [url],
          ofTool: false,
        },
        origin: { audience: 'none', resource: 'server', scopes: 'none' },
      },
      subject: await chain.sts.user('alice'),
      agent: { uid: 'agent-1', namespace: 'default', name: 'assistant' },
      signal,
      onExchange: () => undefined,
    });
  }
  const apply = (name: string, url: string) =>
    chain.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: ${name}}
spec: {url: "${url}", auth: {mode: Exchange, tokenServiceRef: {name: sts}, resourceFrom: ServerURL, discovery: {mode: None}}}
`);

  test('a failure of the token service says nothing about the server: it neither opens its breaker nor closes it', async () => {
    let good = true;
    const raw = await rawServer((_request, response, _method, id) =>
      good
        ? response
            .writeHead(200, { 'content-type': 'application/json' })
            .end(JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text: 'ok' }] } }))
        : response.writeHead(500).end(),
    );
    await apply('flaky', raw.url);
    chain.sts.always('wrong_audience');
    for (let attempt = 0; attempt < 6; attempt++) assert.equal((await call('flaky')).code, 'untrusted_response');
    chain.sts.always(undefined);
    assert.equal((await call('flaky')).isError, false, 'six failures elsewhere closed the way here');
    good = false;
    for (let attempt = 0; attempt < 4; attempt++) assert.equal((await call('flaky')).code, 'tool_protocol');
    // One that failed before it was sent stands between: five in a row all the same.
    chain.tools.forget({ all: true }, { revoke: false });
    chain.sts.always('wrong_audience');
    assert.equal((await call('flaky')).code, 'untrusted_response');
    chain.sts.always(undefined);
    assert.equal((await call('flaky')).code, 'tool_protocol');
    const calls = raw.calls();
    assert.equal((await call('flaky')).code, 'tool_unavailable');
    assert.equal(raw.calls(), calls);
    await raw.close();
  });
});
