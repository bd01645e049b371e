import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { headTooLarge } from '../limits/index.ts';
import { hostNames } from './host-names.ts';
import { HttpProblem, problemBody } from './problems.ts';
import { serveConsole } from './static-files.ts';

const TRICKLE_MS = 10_000;
const REFUSED_HEADS: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
};

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Answers, or says that the request is somebody else's. */
export type Page = (request: IncomingMessage, response: ServerResponse) => Promise<boolean>;

export interface NodeServerPorts {
  publicUrl: string;
  /** Asked in this order, before the console and the API. */
  pages: readonly Page[];
  /** Folder of the built console, if it is there. */
  consoleDir: string | undefined;
  log: Pick<Logger, 'error'>;
}

/** The listener itself: checks the host name, lets the issuer and the console answer, and hands the rest to the API. */
export async function createNodeServer(o: NodeServerPorts, kind: 'tcp' | 'local', api: Handler): Promise<Server> {
  const names = hostNames(o.publicUrl);
  // The administration socket has no pages, so it need not list them.
  const serveFile = kind === 'tcp' ? await serveConsole(o.consoleDir, o.publicUrl) : () => false;
  const server = createServer(
    {
      maxHeaderSize: 65_536,
      // A head or a body that trickles is cut, and looked for each second.
      headersTimeout: TRICKLE_MS,
      requestTimeout: TRICKLE_MS,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: 75_000,
    },
    (request, response) => {
      if (kind === 'local') return api(request, response);
      if (!names.has(request.headers.host ?? '')) {
        response
          .writeHead(421, { 'content-type': 'text/plain', connection: 'close' })
          .end('This server does not answer for that host name.\n');
        return;
      }
      const tooLarge = headTooLarge(request);
      if (tooLarge !== undefined) {
        const problem = new HttpProblem(tooLarge.code, tooLarge.says);
        response
          .writeHead(problem.status, { 'content-type': 'application/problem+json', connection: 'close' })
          .end(JSON.stringify(problemBody(problem)));
        return;
      }
      dispatch(request, response).catch(() => {
        o.log.error({ path: request.url?.split('?')[0] }, 'request failed');
        if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
        response.end();
      });
    },
  );
  async function dispatch(request: IncomingMessage, response: ServerResponse) {
    for (const page of o.pages) if (await page(request, response)) return;
    if (!serveFile(request, response)) api(request, response);
  }
  // What node cannot parse never reaches a route; it learns nothing but that.
  server.on('clientError', (error: Error & { code?: string }, socket) => {
    const status = REFUSED_HEADS[error.code ?? ''] ?? '400 Bad Request';
    if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    else socket.destroy();
  });
  return server;
}
