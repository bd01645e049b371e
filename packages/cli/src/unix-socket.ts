import { request } from 'node:http';
import { Readable } from 'node:stream';
import type { Fetch } from '@onbehalf/client';

/** `fetch` over the administration socket, which only the owner of the data directory can open. */
export function unixSocketFetch(socketPath: string): Fetch {
  return (url, init) =>
    new Promise((resolve, reject) => {
      const { pathname, search } = new URL(url);
      const outgoing = request(
        {
          socketPath,
          path: `${pathname}${search}`,
          method: init.method,
          headers: {
            ...init.headers,
            host: 'localhost',
            ...(init.body !== undefined && { 'content-length': Buffer.byteLength(init.body) }),
          },
          ...(init.signal && { signal: init.signal }),
        },
        (incoming) => {
          const { statusCode = 502, headers } = incoming;
          const empty = statusCode === 204 || statusCode === 304;
          if (empty) incoming.resume();
          // A reader that leaves closes the connection, so that the server notices.
          const body = empty ? null : (Readable.toWeb(incoming) as ReadableStream<Uint8Array>);
          const fields = Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]);
          resolve(new Response(body, { status: statusCode, headers: fields }));
        },
      );
      outgoing.on('error', reject);
      outgoing.end(init.body);
    });
}
