import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecure, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';

export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  method: string,
  id: unknown,
  /** Of the tool. */
  name: string,
) => void;

interface Seen {
  method: string;
  authorization: string | undefined;
  at: number;
  headers: IncomingHttpHeaders;
}

/** The answer to a request. */
export const reply = (response: ServerResponse, id: unknown, result: unknown) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id, result }));

/** A tool server of the older era that does what its handler says to a `tools/call`. */
export async function rawServer(
  onCall: Handler,
  more: {
    onList?: Handler;
    tls?: ServerOptions;
    /** Its sessions (revision 2025-11-25): the id of a new one, and whether one is known. */
    sessions?: { begin(): string; knows(id: string): boolean };
  } = {},
) {
  const seen: Seen[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const {
      method = request.method ?? '',
      id,
      params,
    } = (text === '' ? {} : JSON.parse(text)) as {
      method?: string;
      id?: unknown;
      params?: { protocolVersion?: string; name?: string };
    };
    seen.push({
      method,
      authorization: request.headers.authorization,
      at: performance.now(),
      headers: request.headers,
    });
    const session = String(request.headers['mcp-session-id'] ?? '');
    if (more.sessions && method === 'initialize') response.setHeader('mcp-session-id', more.sessions.begin());
    else if (more.sessions && session !== '' && !more.sessions.knows(session)) return response.writeHead(404).end();
    if (method === 'initialize')
      return reply(response, id, {
        protocolVersion: params?.protocolVersion ?? '2025-06-18',
        capabilities: { tools: {} },
        serverInfo: { name: 'raw', version: '1' },
      });
    if (method === 'tools/list' && more.onList) more.onList(request, response, method, id, '');
    else if (method === 'tools/list')
      reply(response, id, { tools: [{ name: 'echo', description: 'echo', inputSchema: { type: 'object' } }] });
    else if (method === 'tools/call') onCall(request, response, method, id, params?.name ?? '');
    else if (id === undefined) response.writeHead(request.method === 'POST' ? 202 : 405).end();
    else
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32601, message: 'no such method' } }));
    return response;
  };
  const http = more.tls ? createSecure(more.tls, answer) : createServer(answer);
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    url: `${more.tls ? 'https://tls.example' : 'http://127.0.0.1'}:${(http.address() as AddressInfo).port}/mcp`,
    seen,
    calls: () => seen.filter(({ method }) => method === 'tools/call').length,
    close: () => {
      http.closeAllConnections();
      return new Promise((resolve) => http.close(resolve));
    },
  };
}
