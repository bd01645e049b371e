import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ExchangeTrial } from '@onbehalf/resources';
import { holdsToken } from '../holds-token.ts';
import { startWorld, type World } from './world.ts';

describe('trying an exchange as oneself', () => {
  let world: World;
  let alice: string;
  before(async () => {
    world = await startWorld();
    alice = await world.token('alice');
  });
  after(() => world[Symbol.asyncDispose]());
  const trial = (token: string, server: string, query = '') =>
    world.as<ExchangeTrial>(token, 'POST', `/mcp-servers/${server}/actions/test-exchange${query}`);

  test('shows the claims of a token for this person, this agent and this server, and no token; the server is not called', async () => {
    const { status, body } = await trial(alice, 'orders');
    assert.equal(status, 200);
    assert.equal(body.ok, true, JSON.stringify(body));
    assert.deepEqual([body.claims?.aud].flat(), [world.orders.url]);
    assert.equal(body.claims?.sub, 'alice');
    assert.equal(Object(body.claims?.act).sub, 'agent:default/assistant');
    assert.ok(!holdsToken(JSON.stringify(body)));
    assert.deepEqual(world.seen.orders, []);
  });

  test('somebody who may not run the agent, or asks for another server, learns nothing', async () => {
    const carol = await world.token('carol');
    assert.equal((await trial(carol, 'orders')).status, 404);
    assert.equal((await trial(carol, 'orders', '?agent=assistant')).status, 404);
    assert.equal((await trial(alice, 'nothing')).status, 404);
  });

  test('what fails has a code, who must act, and what to do', async () => {
    const { startFakeTokenService } = await import('@onbehalf/token-exchange/testing');
    await using service = await startFakeTokenService();
    await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: Secret
metadata: {name: sts}
spec: {data: {secret: platform-secret, wrong: something-else}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: TokenService
metadata: {name: elsewhere}
spec: {issuer: "${service.issuer}", profile: rfc8693, client: {id: platform, auth: SecretBasic, secretRef: {name: sts, namespace: default, key: secret}}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: far}
spec: {url: "${world.hr.url}", auth: {mode: Exchange, tokenServiceRef: {name: elsewhere}, resourceFrom: ServerURL, discovery: {mode: None}}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: assistant}
spec: {type: Declarative, declarative: {modelConfigRef: {name: default}, tools: [{type: McpServer, mcpServer: {name: far, toolNames: [get_balance]}}, {type: McpServer, mcpServer: {name: orders, toolNames: [list_orders]}}]}}
`);
    const cases: [anomaly: Parameters<typeof service.always>[0], code: string, advice: RegExp][] = [
      // It knows its own people only.
      [undefined, 'subject_rejected', /does not accept tokens of this issuer/],
      ['html_200', 'untrusted_response', /something else than what was asked/],
      ['status_500', 'sts_unavailable', /is up/],
    ];
    for (const [anomaly, code, advice] of cases) {
      service.always(anomaly);
      const { body } = await trial(alice, 'far');
      assert.deepEqual([body.ok, body.code], [false, code], JSON.stringify(body));
      assert.match(body.advice ?? '', advice);
    }
    assert.deepEqual(world.seen.hr, []);
  });
});
