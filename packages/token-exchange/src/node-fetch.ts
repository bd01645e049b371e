import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import { MAX_ANSWER_BYTES } from './transport.ts';

/** Longer answers are refused anyway. */
const MAX_BYTES = MAX_ANSWER_BYTES + 1;

/** A token service has a handful of addresses. */
const MAX_PLACES = 64;

/**
 * A `fetch` for the token service alone, on `node:http` with connections that are kept: half the work of the global one.
 * It sends strings, reads answers whole, and follows no redirect. The certificate authorities are Node's.
 */
export function nodeFetch(): typeof fetch {
  const agents = { 'http:': new HttpAgent({ keepAlive: true }), 'https:': new HttpsAgent({ keepAlive: true }) };
  const places = new Map<string, RequestOptions>();
  const placeOf = (address: string): RequestOptions => {
    let place = places.get(address);
    if (place === undefined) {
      const url = new URL(address);
      if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new TypeError('fetch failed');
      place = { ...urlToHttpOptions(url), agent: agents[url.protocol] };
      if (places.size === MAX_PLACES) places.clear();
      places.set(address, place);
    }
    return place;
  };
  return (input, init = {}) =>
    new Promise((resolve, reject) => {
      const { method = 'GET', body, signal } = init;
      signal?.throwIfAborted();
      const place = placeOf(input instanceof Request ? input.url : String(input));
      const headers = plain(init.headers);
      if (typeof body === 'string') headers['content-length'] = String(Buffer.byteLength(body));
      const request = place.protocol === 'https:' ? httpsRequest : httpRequest;
      const outgoing = request({ ...place, method, headers }, (incoming) => read(incoming, resolve, reject));
      // The `signal` option of a request costs as much as the rest of it.
      const abort = () => outgoing.destroy(new Error('aborted'));
      signal?.addEventListener('abort', abort);
      outgoing.on('error', (cause) => reject(new TypeError('fetch failed', { cause })));
      outgoing.on('close', () => signal?.removeEventListener('abort', abort));
      outgoing.end(typeof body === 'string' ? body : undefined);
    });
}

function plain(headers: RequestInit['headers']): Record<string, string> {
  return headers instanceof Headers ? Object.fromEntries(headers) : Object.fromEntries(new Headers(headers));
}

function read(incoming: IncomingMessage, resolve: (response: Response) => void, reject: (error: Error) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  const done = () => {
    const { statusCode = 500, headers } = incoming;
    const given = Object.entries(headers).map(([name, value]) => [name, String(value)] as [string, string]);
    const empty = statusCode === 204 || statusCode === 205 || statusCode === 304;
    resolve(new Response(empty ? null : Buffer.concat(chunks), { status: statusCode, headers: given }));
  };
  incoming.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size < MAX_BYTES) return;
    incoming.removeAllListeners('end');
    done();
    incoming.destroy();
  });
  incoming.once('end', done);
  incoming.once('error', (cause) => reject(new TypeError('fetch failed', { cause })));
}
