import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** A real server on a free port of 127.0.0.1 that closes with its scope. */
export async function listen(
  handler: RequestListener,
): Promise<AsyncDisposable & { origin: string; port: number; requests: () => number; connections: () => number }> {
  let requests = 0;
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((request, response) => {
    requests += 1;
    handler(request, response);
  });
  server.on('connection', (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    requests: () => requests,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
