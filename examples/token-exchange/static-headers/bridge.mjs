import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';

/** Headers that belong to one connection. The caller's credential ends here. */
const DROPPED = ['authorization', 'connection', 'content-length', 'host', 'keep-alive', 'transfer-encoding'];

/**
 * For clients that take nothing but fixed headers: a server on loopback, to which each person has a key of their own.
 * The key is good here only, and until `close`; the person's `fetch` puts the right token on what goes on from here.
 */
export async function startBridge(url) {
  const people = new Map();

  async function handle(request, response) {
    const key = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
    const fetch = people.get(key);
    if (fetch === undefined) return response.writeHead(401, { 'www-authenticate': 'Bearer' }).end();
    const headers = new Headers();
    for (const [name, value] of Object.entries(request.headers))
      if (!DROPPED.includes(name)) headers.set(name, String(value));
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = chunks.length > 0 ? Buffer.concat(chunks).toString() : undefined;
    const left = new AbortController();
    response.on('close', () => left.abort());
    const answer = await fetch(url, { method: request.method, headers, body, signal: left.signal });
    const kept = [...answer.headers].filter(([name]) => name === 'content-type' || name.startsWith('mcp-'));
    response.writeHead(answer.status, Object.fromEntries(kept));
    if (answer.body === null) return response.end();
    return Readable.fromWeb(answer.body)
      .on('error', () => response.destroy())
      .pipe(response);
  }

  const server = createServer((request, response) => {
    handle(request, response).catch(() => (response.headersSent ? response.destroy() : response.writeHead(502).end()));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/mcp`,
    /** The header for one person's client. */
    headersFor(fetch) {
      const key = randomBytes(32).toString('base64url');
      people.set(key, fetch);
      return { authorization: `Bearer ${key}` };
    },
    close() {
      people.clear();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
