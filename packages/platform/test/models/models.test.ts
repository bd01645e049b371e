import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { createServer as createSecure } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { ResourceOf } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import { createEgress } from '../../src/egress/index.ts';
import { createModels, type ModelRequest } from '../../src/models/index.ts';
import { ca, key } from '../egress/throw-away-pair.ts';

type Spec = ResourceOf<'ModelConfig'>['spec'];

const SECRETS: Readonly<Record<string, string>> = { KEY: 'sk-canary', CA: ca, IDENTITY: `${ca}\n${key}` };
const request: ModelRequest = {
  messages: [{ role: 'user', text: 'hi' }],
  tools: [],
  signal: new AbortController().signal,
  context: { session: 's', turn: 't', step: 1, endUser: 'x', agent: 'default/a' },
};

/** A provider, here, and the models room with that one ModelConfig. */
async function provider(spec: (url: string) => Spec, options: { secure?: boolean; silent?: boolean } = {}) {
  const seen: IncomingHttpHeaders[] = [];
  const answer: Parameters<typeof createServer>[1] = (incoming, response) => {
    seen.push(incoming.headers);
    if (incoming.url?.endsWith('/models')) {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"data":[{"id":"m-1"}]}');
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {"choices":[{"delta":{"content":"ok"},"finish_reason":"stop"}]}\n\n');
    if (!options.silent) response.end('data: [DONE]\n\n');
  };
  const tls = { key, cert: ca, ca, requestCert: true, rejectUnauthorized: true };
  const server = options.secure ? createSecure(tls, answer) : createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const egress = createEgress({
    privateNetworks: ['127.0.0.1/32'],
    resolve: async () => [{ address: '127.0.0.1' }],
  });
  const models = createModels({
    egress,
    credentials: {
      open: async (ref) => ({ value: SecretValue.of(SECRETS[ref.env ?? ''] ?? ''), version: '1' }),
    },
    lastWriter: () => undefined,
  });
  const config = {
    apiVersion: 'onbehalf.dev/v1alpha1',
    kind: 'ModelConfig',
    metadata: { name: 'm', uid: 'u', generation: 1, resourceVersion: '1', managedBy: 'api' },
    spec: spec(options.secure ? `https://tls.example:${port}/v1` : `http://127.0.0.1:${port}/v1`),
    status: {},
  } as ResourceOf<'ModelConfig'>;
  return {
    seen,
    list: () => models.list([config], request.signal),
    async say() {
      const chunks = [];
      for await (const chunk of models.client(config).stream(request)) chunks.push(chunk.type);
      return chunks;
    },
    async [Symbol.asyncDispose]() {
      await egress.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('the organization and the default headers go with every request, the list of models too, and name no other credential', async () => {
  await using upstream = await provider((baseUrl) => ({
    provider: 'OpenAI',
    model: 'm-1',
    openAI: { baseUrl, organization: 'org-7' },
    defaultHeaders: { 'x-team': 'blue', Authorization: 'Bearer not this' },
    credentialRef: { env: 'KEY' },
  }));
  await upstream.say();
  assert.deepEqual(
    (await upstream.list()).data.map(({ id }) => id),
    ['m-1'],
  );
  assert.equal(upstream.seen.length, 2);
  for (const headers of upstream.seen)
    assert.deepEqual(
      [headers['openai-organization'], headers['x-team'], headers.authorization],
      ['org-7', 'blue', 'Bearer sk-canary'],
    );
});

test('`timeouts.idle` of a ModelConfig ends an answer that stops in the middle', async () => {
  await using upstream = await provider(
    (baseUrl) => ({
      provider: 'OpenAICompatible',
      model: 'm-1',
      openAICompatible: { baseUrl },
      timeouts: { idle: '1s' },
    }),
    { silent: true },
  );
  await assert.rejects(upstream.say(), { code: 'model_timeout' });
});

test('`tls` of a ModelConfig: its authority is trusted and its client certificate shown; without, nothing is said', async () => {
  const spec = (tls: Spec['tls']) => (baseUrl: string) =>
    ({ provider: 'OpenAICompatible', model: 'm-1', openAICompatible: { baseUrl }, ...(tls && { tls }) }) as Spec;
  await using good = await provider(spec({ caRef: { env: 'CA' }, clientCertRef: { env: 'IDENTITY' } }), {
    secure: true,
  });
  assert.deepEqual(await good.say(), ['text', 'end']);
  assert.equal((await good.list()).data.length, 1);
  await using bare = await provider(spec(undefined), { secure: true });
  await assert.rejects(bare.say(), { code: 'model_unavailable' });
  await assert.rejects(bare.list(), { code: 'model_unavailable' });
  assert.deepEqual(bare.seen, []);
});
