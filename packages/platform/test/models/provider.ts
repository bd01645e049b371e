import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SecretValue } from '@onbehalf/secret-value';
import { createEgress } from '../../src/egress/index.ts';
import type { ModelChunk, ModelRequest } from '../../src/models/index.ts';
import { createOpenAiClient, type OpenAiOptions } from '../../src/models/openai-compatible.ts';

type Handler = (request: IncomingMessage, response: ServerResponse, body: Record<string, unknown>) => void;

/** A provider on loopback, and a client of it. */
export async function provider(handler: Handler, more: Partial<OpenAiOptions> = {}) {
  const bodies: Record<string, unknown>[] = [];
  const headers: IncomingMessage['headers'][] = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const body = JSON.parse(text) as Record<string, unknown>;
    bodies.push(body);
    headers.push(request.headers);
    handler(request, response, body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const egress = createEgress({ privateNetworks: ['127.0.0.1/32'] });
  const client = createOpenAiClient({
    egress,
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    model: 'm',
    credential: async () => SecretValue.of('sk-canary'),
    attribution: true,
    sleep: async () => undefined,
    ...more,
  });
  return {
    client,
    bodies,
    headers,
    async [Symbol.asyncDispose]() {
      await egress.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export const request = (signal = new AbortController().signal): ModelRequest => ({
  messages: [
    { role: 'system', text: 's' },
    { role: 'user', text: 'hi' },
    { role: 'assistant', text: '', toolCalls: [{ callId: 'c1', name: 'orders__list', arguments: '{}' }] },
    { role: 'tool', callId: 'c1', name: 'orders__list', output: '[]', isError: false },
  ],
  tools: [{ name: 'orders__list', description: 'd', inputSchema: { type: 'object' } }],
  signal,
  context: { session: 's1', turn: 't1', step: 1, endUser: 'hash', agent: 'default/assistant' },
});

export async function collect(chunks: AsyncIterable<ModelChunk>): Promise<ModelChunk[]> {
  const all: ModelChunk[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return all;
}

export const data = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;
export const open = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/event-stream' });
