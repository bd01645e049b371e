/** A request to a tool server that can be sent more than once. */
export interface Outgoing {
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  readonly init: RequestInit;
  /** The body was a stream and is gone after the first try. */
  readonly once: boolean;
}

export async function readOutgoing(input: string | URL | Request, init: RequestInit | undefined): Promise<Outgoing> {
  if (typeof input === 'string' || input instanceof URL) {
    const body = init?.body;
    return {
      url: new URL(input),
      method: (init?.method ?? 'GET').toUpperCase(),
      headers: new Headers(init?.headers),
      init: init ?? {},
      once: !(body === undefined || body === null || typeof body === 'string' || body instanceof Uint8Array),
    };
  }
  const request = new Request(input, init);
  const text = request.body === null ? null : await request.text();
  return {
    url: new URL(request.url),
    method: request.method,
    headers: request.headers,
    init: { ...init, method: request.method, body: text, signal: request.signal },
    once: false,
  };
}

/**
 * Whether a token for one URL may go to another: same origin, and the path is the registered one or below it. A path in
 * which an encoded slash, backslash or dot could mean something else to the server than it does here is outside.
 * @param base the registered URL
 * @param url where a request would go
 */
export function isWithin(base: URL, url: URL): boolean {
  if (url.origin !== base.origin || url.username !== '' || url.password !== '') return false;
  const root = base.pathname.replace(/\/$/, '');
  if (url.pathname !== root && !url.pathname.startsWith(`${root}/`)) return false;
  return !/%2f|%5c|%2e|\\|;|%00/i.test(url.pathname.slice(root.length));
}

/** Does this message need a person's token? By header (revision 2026-07-28), else by the body's method. */
export function isToolCall({ headers, init: { body } }: Outgoing): boolean {
  if (headers.get('mcp-method') === 'tools/call') return true;
  const text = body instanceof Uint8Array ? new TextDecoder().decode(body) : body;
  if (typeof text !== 'string' || !text.includes('tools/call')) return false;
  try {
    const parsed: unknown = JSON.parse(text);
    return (Array.isArray(parsed) ? parsed : [parsed]).some(
      (message: unknown) =>
        typeof message === 'object' && message !== null && 'method' in message && message.method === 'tools/call',
    );
  } catch {
    return false;
  }
}
