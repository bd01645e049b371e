import WebSocket from 'ws';

/** What the answer to an upgrade was: a status, or `open`. */
export function upgrade(
  url: string,
  path: string,
  options: { headers?: Record<string, string>; protocols?: string[] } = {},
): Promise<number | 'open'> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, options.protocols ?? [], {
      headers: options.headers ?? {},
    });
    socket.on('open', () => {
      socket.close();
      resolve('open');
    });
    socket.on('unexpected-response', (_request, response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    socket.on('error', (error) => (error.message.includes('Unexpected server response') ? undefined : reject(error)));
  });
}
