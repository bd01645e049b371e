import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ModelList } from '@onbehalf/resources';
import { hasLitellm, type RunningLitellm, setUpLitellm, startLitellm } from '../../tools/litellm.ts';
import { freePort, say, startWorld, type World } from './world.ts';

const KEY = 'sk-master-canary-1234';

/** What stands behind LiteLLM: asks for one tool call, then says what came back. */
async function startUpstream() {
  const seen: {
    headers: IncomingHttpHeaders;
    body: { messages: { role: string; content?: string }[]; tools?: { function: { name: string } }[] };
  }[] = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    // LiteLLM also looks what is there.
    if (request.method !== 'POST') return response.writeHead(404).end();
    const body = JSON.parse(text) as (typeof seen)[number]['body'];
    seen.push({ headers: request.headers, body });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const chunk = (delta: object, finish: string | null = null) =>
      response.write(
        `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`,
      );
    const answered = body.messages.findLast(({ role }) => role === 'tool');
    const name = body.tools?.find((tool) => tool.function.name.endsWith('list_orders'))?.function.name;
    if (answered || name === undefined) {
      for (const word of ['You ', 'have: ', answered?.content?.includes('Desk lamp for alice') ? 'a lamp' : 'nothing'])
        chunk({ content: word });
      chunk({}, 'stop');
    } else {
      chunk({
        role: 'assistant',
        tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name, arguments: '' } }],
      });
      chunk({ tool_calls: [{ index: 0, function: { arguments: '{}' } }] });
      chunk({}, 'tool_calls');
    }
    response.write(
      `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [], usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 } })}\n\n`,
    );
    return response.end('data: [DONE]\n\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    seen,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

const wanted = process.env.CI !== undefined || hasLitellm();

describe('through the real LiteLLM', {
  skip: wanted ? false : 'LiteLLM has not been set up on this machine; under CI it is',
}, () => {
  let upstream: Awaited<ReturnType<typeof startUpstream>>;
  let litellm: RunningLitellm;
  let world: World;
  let dir: string;
  before(
    async () => {
      await setUpLitellm();
      dir = await mkdtemp(join(tmpdir(), 'onbehalf-litellm-'));
      upstream = await startUpstream();
      litellm = await startLitellm({
        port: await freePort(),
        masterKey: KEY,
        model: 'office',
        upstream: upstream.url,
        dir,
      });
      world = await startWorld({ env: { LITELLM_BASE_URL: litellm.url, LITELLM_MASTER_KEY: KEY }, withoutModel: true });
    },
    { timeout: 900_000 },
  );
  after(async () => {
    await world?.[Symbol.asyncDispose]();
    await litellm?.stop();
    await upstream?.close();
    if (dir) await rm(dir, { recursive: true, force: true });
  });

  test('the environment makes the ModelConfig default, and it says which model', async () => {
    const { body } = await world.admin<{ metadata: { managedBy: string }; spec: { model: string } }>(
      'GET',
      '/model-configs/default',
    );
    assert.deepEqual([body.metadata.managedBy, body.spec.model], ['environment', 'office']);
    const written = await world.apply(
      'apiVersion: onbehalf.dev/v1alpha1\nkind: ModelConfig\nmetadata: {name: default}\nspec: {provider: Demo, model: demo}',
    );
    assert.equal(written.status, 409);
    const models = await world.as<ModelList>(await world.token('alice'), 'GET', '/agents/models');
    assert.equal(models.status, 200);
    assert.deepEqual(
      models.body.data.map(({ id }) => id),
      ['office'],
    );
  });

  test('a turn with streaming and a tool call; the key stays with us, the person with a keyed hash', async () => {
    const alice = await world.token('alice');
    const { body } = await say(world, alice, 'what have I ordered?');
    assert.equal(body.state, 'completed', JSON.stringify(body));
    assert.deepEqual(
      body.toolCalls.map(({ tool, isError }) => [tool, isError]),
      [['list_orders', false]],
    );
    assert.match(body.text, /You have: a lamp/);
    assert.deepEqual(body.usage, { inputTokens: 14, outputTokens: 6, totalTokens: 20, cachedInputTokens: 0 });
    assert.equal(world.seen.orders.at(-1)?.sub, 'alice');
    const { body: log } = await world.as<{ events: { type: string }[] }>(
      alice,
      'GET',
      `/agents/assistant/sessions/${body.session}/events?limit=500`,
    );
    assert.ok(log.events.some(({ type }) => type === 'delta'));
    const everything = JSON.stringify([
      log,
      (await world.as(await world.token('root'), 'GET', '/audit?limit=500')).body,
      upstream.seen,
    ]);
    assert.ok(!everything.includes(KEY), 'the master key shows');
    assert.ok(!JSON.stringify(upstream.seen).includes('alice@'), 'a person shows upstream');
  });

  test('LiteLLM down: 502 for the models, a failed turn with a clear code', async () => {
    await litellm.stop();
    const alice = await world.token('alice');
    const models = await world.as(alice, 'GET', '/agents/models');
    assert.deepEqual([models.status, models.body.code], [502, 'model_unavailable']);
    const { body } = await say(world, alice, 'what have I ordered?');
    assert.deepEqual([body.state, body.code], ['failed', 'model_unavailable']);
  });
});
