import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { hostNames } from './host-names.ts';
import { loginPages } from './login-pages.ts';
import type { Services } from './services.ts';
import { serveConsole } from './static-files.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** The listener itself: checks the host name, lets the issuer and the console answer, and hands the rest to the API. */
export async function createNodeServer(services: Services, kind: 'tcp' | 'local', api: Handler): Promise<Server> {
  const names = hostNames(services.config.publicUrl);
  const login = loginPages(services);
  // The administration socket has no pages, so it need not list them.
  const serveFile = kind === 'tcp' ? await serveConsole(services) : () => false;
  const server = createServer(
    { maxHeaderSize: 65_536, requestTimeout: 60_000, keepAliveTimeout: 75_000 },
    (request, response) => {
      if (kind === 'local') return api(request, response);
      if (!names.has(request.headers.host ?? '')) {
        response
          .writeHead(421, { 'content-type': 'text/plain', connection: 'close' })
          .end('This server does not answer for that host name.\n');
        return;
      }
      dispatch(request, response).catch(() => {
        services.log.error({ path: request.url?.split('?')[0] }, 'request failed');
        if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
        response.end();
      });
    },
  );
  async function dispatch(request: IncomingMessage, response: ServerResponse) {
    if (await services.identity.handle(request, response)) return;
    if (await login(request, response)) return;
    if (!serveFile(request, response)) api(request, response);
  }
  // What node cannot parse never reaches a route; it learns nothing but that.
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    else socket.destroy();
  });
  return server;
}
