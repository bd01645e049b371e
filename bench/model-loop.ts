import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createEgress } from '../packages/platform/src/egress/index.ts';
import type { ModelRequest } from '../packages/platform/src/models/index.ts';
import { createOpenAiClient } from '../packages/platform/src/models/openai-compatible.ts';
import { cpuPer, inTurn, type Line, micros } from './measure.ts';

const CHUNKS = 200;

/** The lean client against bare node:http that reads and parses the same stream. Server and clients share the process. */
export async function benchModelLoop(): Promise<Line[]> {
  const body = `${Array.from({ length: CHUNKS }, (_, index) => `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content: `word ${index} ` }, finish_reason: index === CHUNKS - 1 ? 'stop' : null }] })}\n\n`).join('')}data: [DONE]\n\n`;
  const server = createServer((incoming, response) => {
    incoming.resume();
    incoming.on('end', () => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const egress = createEgress({ privateNetworks: ['127.0.0.1/32'] });
  const client = createOpenAiClient({ egress, baseUrl: base, model: 'm', credential: async () => undefined });
  const ask: ModelRequest = {
    messages: [{ role: 'user', text: 'hi' }],
    tools: [],
    signal: new AbortController().signal,
    context: { session: 's', turn: 't', step: 1, endUser: 'x', agent: 'default/a' },
  };
  const ours = async () => {
    for await (const chunk of client.stream(ask)) if (chunk.type === 'end') return;
  };
  const result = await inTurn(
    5,
    () => cpuPer(40, ours),
    () => cpuPer(40, () => bareStream(`${base}/chat/completions`)),
  );
  await egress.close();
  server.closeAllConnections();
  server.close();
  return [
    {
      measure: `model step of ${CHUNKS} chunks, CPU`,
      ours: `${micros(result.ours)} (${micros(result.ours / CHUNKS)} a chunk)`,
      reference: `bare node:http ${micros(result.reference)}`,
      ratio: result.ratio,
      target: 'reported',
    },
  ];
}

function bareStream(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method: 'POST', headers: { 'content-type': 'application/json' } }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        let end = text.indexOf('\n\n');
        while (end >= 0) {
          const data = text.slice(6, end);
          if (data !== '[DONE]') JSON.parse(data);
          text = text.slice(end + 2);
          end = text.indexOf('\n\n');
        }
      });
      response.on('end', () => resolve());
    });
    outgoing.on('error', reject);
    outgoing.end('{}');
  });
}
