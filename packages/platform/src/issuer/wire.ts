import type { IncomingMessage, ServerResponse } from 'node:http';
import { type DispatchFunc, type InjectOptions, inject } from 'light-my-request';
import { readBody } from '../limits/index.ts';
import { IssuerError } from './error.ts';

/** A request as its bytes: the same whether it came over a socket or from this process. */
export interface WireRequest {
  method: string;
  /** Path and query. */
  url: string;
  /** Lower-case names. */
  headers: Readonly<Record<string, string>>;
  body: Buffer;
  /** Whose request it is, as `Limits.address` says; none of one from this process. */
  address?: string;
}

export interface WireResponse {
  status: number;
  headers: Readonly<Record<string, string | readonly string[]>>;
  body: string | Buffer;
}

/** RFC 6749 section 5.1: what the token endpoint says is never kept. */
export const noStore = { 'cache-control': 'no-store', pragma: 'no-cache', 'x-content-type-options': 'nosniff' };

export function json(status: number, body: unknown, headers: WireResponse['headers'] = {}): WireResponse {
  return {
    status,
    headers: { ...noStore, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  };
}

export const pathOf = (url: string): string => url.split('?', 1)[0] ?? '';

/** Undefined when the body is longer than `limit`. */
export async function toWire(request: IncomingMessage, limit: number): Promise<WireRequest | undefined> {
  const body = await readBody(request, limit);
  if (body === undefined) return undefined;
  const headers = Object.entries(request.headers).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
  );
  return { method: request.method ?? 'GET', url: request.url ?? '/', headers: Object.fromEntries(headers), body };
}

export function answer(response: ServerResponse, { status, headers, body }: WireResponse): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('content-length', Buffer.byteLength(body));
  response.statusCode = status;
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

/** Runs a Node handler on a request that has been read already, and collects its answer. */
export async function runHandler(
  handler: (request: IncomingMessage, response: ServerResponse) => unknown,
  { method, url, headers, body }: WireRequest,
): Promise<WireResponse> {
  const answered = await inject(handler as DispatchFunc, {
    method: method as NonNullable<InjectOptions['method']>,
    ...{ url, headers, payload: body },
  });
  const sent = Object.entries(answered.headers).flatMap(([name, value]): [string, string | string[]][] =>
    value === undefined ? [] : [[name, Array.isArray(value) ? value : String(value)]],
  );
  return { status: answered.statusCode, headers: Object.fromEntries(sent), body: answered.rawPayload };
}

/**
 * A `fetch` for our own endpoints. What goes in is turned into the bytes that a socket would carry, and is answered by
 * the same code; nothing else can be reached through it. @throws IssuerError `not_ours`
 */
export function localFetch(
  publicUrl: string,
  respond: (request: WireRequest) => Promise<WireResponse | undefined>,
): typeof globalThis.fetch {
  const { origin, host } = new URL(publicUrl);
  return async (input, init) => {
    const request = new Request(input, init);
    request.signal.throwIfAborted();
    const url = new URL(request.url);
    if (url.origin !== origin) throw new IssuerError('not_ours', 'the address is of another server');
    const wire = {
      method: request.method,
      url: url.pathname + url.search,
      headers: { ...Object.fromEntries(request.headers), host },
      body: Buffer.from(await request.arrayBuffer()),
    };
    const response = await respond(wire);
    if (response === undefined) throw new IssuerError('not_ours', 'the address is not of the issuer');
    const headers = Object.entries(response.headers).flatMap(([name, value]): [string, string][] =>
      [value].flat().map((one) => [name, one]),
    );
    const empty = response.status === 204 || response.status === 304;
    return new Response(empty ? null : new Uint8Array(Buffer.from(response.body)), {
      status: response.status,
      headers,
    });
  };
}
