import type { IncomingMessage, ServerResponse } from 'node:http';
import { CodedError } from '@onbehalf/resources';
import { formTooLarge, readBody } from '../../limits/index.ts';
import { answer, json, noStore } from '../wire.ts';
import { pageHeaders } from './pages.ts';

const BODY_LIMIT = 8 * 1024;

/** What a script of ours is told when something did not work. */
export class PageError extends CodedError<PageErrorCode> {
  readonly status: number;
  /** Seconds. */
  readonly retryAfter: number | undefined;

  constructor(status: number, code: PageErrorCode, detail: string, retryAfter?: number) {
    super(code, detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export type PageErrorCode =
  | 'csrf' // the request comes from another page
  | 'unsupported_media_type'
  | 'too_large'
  | 'invalid_request'
  | 'expired' // the sign-in, not the account
  | 'link_invalid' // used, expired, or of somebody who is gone
  | 'rate_limited'
  | 'wrong'; // the name or the password

export function sendPage(
  response: ServerResponse,
  html: string,
  status = 200,
  { retryAfter }: { retryAfter?: number } = {},
): void {
  const headers = {
    ...pageHeaders,
    'content-type': 'text/html; charset=utf-8',
    ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
  };
  answer(response, { status, headers, body: html });
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  answer(response, json(status, body));
}

export function sendError(response: ServerResponse, error: PageError): void {
  const headers = error.retryAfter === undefined ? {} : { 'retry-after': String(error.retryAfter) };
  answer(response, json(error.status, { error: error.code, detail: error.message }, headers));
}

export function sendNotFound(response: ServerResponse): void {
  answer(response, { status: 404, headers: { ...noStore, 'content-type': 'text/plain' }, body: 'Not found\n' });
}

/**
 * A request that changes something comes from our own page: `Origin` is ours, or the browser says `same-origin`. Where
 * a cookie vouches for the browser, one of the two must be there. @throws PageError `csrf`
 */
export function requireSameOrigin({ headers }: IncomingMessage, publicUrl: string, cookie: 'needed' | 'unused'): void {
  const { origin, 'sec-fetch-site': site } = headers;
  const ours = origin === undefined ? site === 'same-origin' : origin === new URL(publicUrl).origin;
  const noBrowser = cookie === 'unused' && origin === undefined && site === undefined;
  if (!ours && !noBrowser) throw new PageError(403, 'csrf', 'The request comes from another page.');
}

/** A form of a page of ours, which needs no script. @throws PageError */
export async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(request.headers['content-type'] ?? ''))
    throw new PageError(415, 'unsupported_media_type', 'The body must be a form.');
  const body = await readBody(request, BODY_LIMIT);
  const text = body?.toString('utf8') ?? '';
  if (body === undefined || formTooLarge(text)) throw new PageError(413, 'too_large', 'The body is too large.');
  return new URLSearchParams(text);
}

/** A form of another page cannot send this type without being asked. @throws PageError */
export async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? ''))
    throw new PageError(415, 'unsupported_media_type', 'The body must be application/json.');
  const body = await readBody(request, BODY_LIMIT);
  if (body === undefined) throw new PageError(413, 'too_large', 'The body is too large.');
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new PageError(400, 'invalid_request', 'The body is not a JSON object.');
}

export function stringOf(body: Record<string, unknown>, name: string): string | undefined {
  const value = Object.hasOwn(body, name) ? body[name] : undefined;
  return typeof value === 'string' && value !== '' && value.length <= 2_048 ? value : undefined;
}
