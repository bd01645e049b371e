import { misconfigured, TokenExchangeError, untrusted } from './errors.ts';
import { parseStrict } from './json.ts';
import type { ExchangeFetch, PlainAnswer, PlainRequest } from './plain.ts';

export const MAX_ANSWER_BYTES = 64 * 1024;

export interface Answer {
  readonly status: number;
  /** Undefined where the answer is not JSON, or names a member twice. */
  readonly json: unknown;
  /** Milliseconds. */
  readonly retryAfter: number | undefined;
}

export interface Transport {
  readonly fetch: ExchangeFetch;
  readonly now: () => number;
  /** Milliseconds for one try. */
  readonly timeout: number;
}

/** https, or http on loopback. Everything that is sent here carries a credential or decides whom to trust. */
export function secureUrl(value: string, what: string): URL {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined) throw misconfigured(`${what} is not a URL`);
  const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && loopback)) {
    throw misconfigured(`${what} is neither https nor on loopback`);
  }
  if (url.username !== '' || url.password !== '') throw misconfigured(`${what} contains a credential`);
  return url;
}

/** One try. Redirects are answers like any other, and are refused; the body is read up to a limit. */
export async function send(
  transport: Transport,
  url: string,
  request: Omit<PlainRequest, 'signal'>,
  signal: AbortSignal,
): Promise<Answer> {
  signal.throwIfAborted();
  // Not `AbortSignal.any`: a composite signal costs as much as everything else here.
  const over = new AbortController();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    over.abort();
  }, transport.timeout);
  const end = () => over.abort(signal.reason);
  signal.addEventListener('abort', end);
  try {
    const { fetch: fetcher } = transport;
    const plain = { ...request, signal: over.signal };
    const { status, headers, body } = await (fetcher.send?.(url, plain) ?? sendBy(fetcher, url, plain));
    if (isMoved(status)) {
      throw untrusted('the token service answered with a redirect, which is not followed', { deviation: 'redirect' });
    }
    if (body.length > MAX_ANSWER_BYTES) throw tooLong();
    return {
      status,
      json: parseJson(String(headers['content-type']), typeof body === 'string' ? body : utf8.decode(body)),
      retryAfter: retryAfterOf(String(headers['retry-after'] ?? ''), transport.now()),
    };
  } catch (error) {
    if (error instanceof TokenExchangeError) throw error;
    if (signal.aborted) throw signal.reason;
    if (late) throw new TokenExchangeError('sts_timeout', 'the token service did not answer in time');
    throw new TokenExchangeError('sts_unavailable', `the token service cannot be reached${systemCode(error)}`);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}

const utf8 = new TextDecoder();

async function sendBy(fetcher: typeof fetch, url: string, request: PlainRequest): Promise<PlainAnswer> {
  const response = await fetcher(url, { ...request, redirect: 'manual' });
  const { status, headers } = response;
  if (!isMoved(status)) return { status, headers: Object.fromEntries(headers), body: await readText(response) };
  await response.body?.cancel();
  return { status, headers: {}, body: '' };
}

/** A redirect, or what a browser shows of one. */
const isMoved = (status: number) => status === 0 || (status >= 300 && status < 400);

const tooLong = () => untrusted(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`, { deviation: 'size' });

export async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let size = 0;
  for (const reader = response.body?.getReader(); reader !== undefined; ) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > MAX_ANSWER_BYTES) {
      await reader.cancel().catch(() => {});
      throw tooLong();
    }
    text += decoder.decode(value, { stream: true });
  }
  return text + decoder.decode();
}

function parseJson(contentType: string, text: string): unknown {
  if (!/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(contentType)) return undefined;
  try {
    return parseStrict(text);
  } catch {
    return undefined;
  }
}

/** RFC 9110 section 10.2.3: seconds or a date. */
function retryAfterOf(value: string, now: number): number | undefined {
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** The HTTP library keeps headers and bodies in `cause`; only the name of the fault is let through. */
function systemCode(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return /^[A-Z_]{3,40}$/.test(code) ? ` (${code})` : '';
}

/** What an answer of 429 or 5xx says. */
export function busy(answer: Answer): TokenExchangeError {
  const error = answer.status === 429 ? 'the token service asks for a pause' : 'the token service failed';
  return new TokenExchangeError('sts_unavailable', `${error} (status ${answer.status})`, {
    serviceError: { status: answer.status, error: undefined, description: undefined },
    retryAfter: answer.retryAfter,
  });
}
