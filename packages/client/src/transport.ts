import type { MeView } from '@onbehalf/resources';
import { ApiError, problemError } from './error.ts';

export interface FetchInit {
  method: string;
  headers: Record<string, string>;
  body?: string;
  signal?: AbortSignal;
  redirect: 'error';
  credentials: 'same-origin' | 'omit';
}

/** The part of `fetch` that is used, so that another way to the server (a local socket) can stand in. */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;

export interface TransportOptions {
  /** Origin and base path of the server; '' in a page that the server itself delivered. */
  baseUrl: string;
  /** The bearer token, asked for before each request. */
  token?: (() => string | Promise<string>) | undefined;
  fetch?: Fetch | undefined;
  /** `cookie`: a browser's cookie signs requests in, and unsafe ones repeat the value that `/api/me` gives. */
  csrf?: 'cookie' | undefined;
}

export interface RequestOptions {
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

export interface Transport {
  /** Sends one request; whatever is no 2xx is thrown. */
  send(method: string, path: string, options?: RequestOptions): Promise<Response>;
  json<T>(method: string, path: string, options?: RequestOptions): Promise<T>;
}

const SAFE = new Set(['GET', 'HEAD']);

export function createTransport(options: TransportOptions): Transport {
  const base = `${options.baseUrl.replace(/\/+$/, '')}/api`;
  const fetchLike: Fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init));
  const cookie = options.csrf === 'cookie';
  let csrf: Promise<string | undefined> | undefined;

  async function once(method: string, path: string, request: RequestOptions): Promise<Response> {
    const headers: Record<string, string> = { accept: 'application/json', ...request.headers };
    if (request.body !== undefined) headers['content-type'] = 'application/json';
    if (options.token) headers.authorization = `Bearer ${await options.token()}`;
    if (cookie && !SAFE.has(method)) {
      csrf ??= json<MeView>('GET', '/me').then((me) => me.csrf);
      const value = await csrf.catch((error: unknown) => {
        csrf = undefined;
        throw error;
      });
      if (value !== undefined) headers['x-onbehalf-csrf'] = value;
    }
    const response = await fetchLike(`${base}${path}${queryText(request.query)}`, {
      method,
      headers,
      redirect: 'error',
      credentials: cookie ? 'same-origin' : 'omit',
      ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
      ...(request.signal && { signal: request.signal }),
    }).catch((error: unknown) => {
      if (request.signal?.aborted) throw error;
      throw new ApiError('unreachable', 'the server cannot be reached', { cause: error });
    });
    if (response.ok) return response;
    const text = await response.text().catch(() => '');
    throw problemError(response.status, text.slice(0, 1_048_576), response.headers.get('retry-after'));
  }

  async function send(method: string, path: string, request: RequestOptions = {}): Promise<Response> {
    try {
      return await once(method, path, request);
    } catch (error) {
      // Another sign-in in the same browser brought another value.
      if (!(error instanceof ApiError && error.code === 'csrf' && csrf)) throw error;
      csrf = undefined;
      return once(method, path, request);
    }
  }

  async function json<T>(method: string, path: string, request: RequestOptions = {}): Promise<T> {
    const response = await send(method, path, request);
    return response.status === 204 ? (undefined as T) : readJson<T>(response, request.signal);
  }

  return { send, json };
}

export async function readJson<T>(response: Response, signal?: AbortSignal | undefined): Promise<T> {
  const text = await response.text().catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new ApiError('unreachable', 'the connection was cut', { cause: error });
  });
  try {
    return JSON.parse(text) as T;
  } catch {
    const message = 'the answer is no JSON: is this the address of an Onbehalf server?';
    throw new ApiError('invalid_answer', message, { status: response.status });
  }
}

function queryText(query: RequestOptions['query']): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) params.set(name, String(value));
  return params.size === 0 ? '' : `?${params}`;
}
