import { hash, randomBytes } from 'node:crypto';

interface Cookie {
  name: string;
  value: string;
  path: string;
}

/** As much of a browser as a sign-in needs: cookies by path, `Origin` on what is posted, redirects on demand. */
export class Browser {
  readonly origin: string;
  cookies: Cookie[] = [];

  constructor(origin: string) {
    this.origin = origin;
  }

  cookieHeader(path: string): string {
    return this.cookies
      .filter((cookie) => path === cookie.path || path.startsWith(cookie.path.replace(/\/?$/, '/')))
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
  }

  keep(lines: readonly string[]): void {
    for (const line of lines) {
      const [pair = '', ...attributes] = line.split(/; */);
      const at = pair.indexOf('=');
      const path = attributes.find((attribute) => /^path=/i.test(attribute))?.slice(5) ?? '/';
      const gone = attributes.some((attribute) => /^max-age=0$|^expires=thu, 01 jan 1970/i.test(attribute));
      const cookie = { name: pair.slice(0, at), value: pair.slice(at + 1), path };
      this.cookies = this.cookies.filter(({ name, path: known }) => name !== cookie.name || known !== path);
      if (!gone && cookie.value !== '') this.cookies.push(cookie);
    }
  }

  async request(address: string, init: RequestInit = {}): Promise<Response> {
    const url = new URL(address, this.origin);
    const headers = new Headers(init.headers);
    const cookie = this.cookieHeader(url.pathname);
    if (cookie !== '') headers.set('cookie', cookie);
    const answer = await fetch(url, { ...init, headers, redirect: 'manual' });
    this.keep(answer.headers.getSetCookie());
    return answer;
  }

  get(address: string): Promise<Response> {
    return this.request(address, { headers: { accept: 'text/html' } });
  }

  post(address: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return this.request(address, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: this.origin, ...headers },
      body: JSON.stringify(body),
    });
  }

  /** Presses a button of the page that confirms a sign-in of the command line. */
  async confirm(address: string, decision = 'yes'): Promise<Response> {
    return this.request(address, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: this.origin },
      body: new URLSearchParams({ decision }).toString(),
    });
  }

  /** The same, saying yes on the page that confirms a sign-in of the command line. */
  async authorize(address: string): Promise<{ url: URL; answer: Response | undefined }> {
    const reached = await this.follow(address);
    if (!reached.url.pathname.startsWith('/login/confirm/')) return reached;
    const answer = await this.confirm(reached.url.href);
    return this.follow(answer.headers.get('location') ?? '');
  }

  /** Follows redirects within the server; stops at a page, or where the way leads elsewhere. */
  async follow(address: string): Promise<{ url: URL; answer: Response | undefined }> {
    let url = new URL(address, this.origin);
    for (let hops = 0; hops < 10; hops += 1) {
      if (url.origin !== this.origin || url.pathname === '/login/callback') return { url, answer: undefined };
      const answer = await this.get(url.href);
      const location = answer.headers.get('location');
      if (location === null) return { url, answer };
      await answer.body?.cancel();
      url = new URL(location, url);
    }
    throw new Error('too many redirects');
  }
}

export interface CodeRequest {
  address: string;
  verifier: string;
  redirectUri: string;
}

/** The authorization request of the command line. */
export function codeRequest(origin: string, more: Record<string, string> = {}): CodeRequest {
  const verifier = randomBytes(32).toString('base64url');
  const redirectUri = more.redirect_uri ?? 'http://127.0.0.1:49152/callback';
  const query = new URLSearchParams({
    client_id: 'cli',
    response_type: 'code',
    scope: 'openid offline_access',
    resource: `${origin}/api`,
    state: 'state-1',
    code_challenge: hash('sha256', verifier, 'base64url'),
    code_challenge_method: 'S256',
    redirect_uri: redirectUri,
    ...more,
  });
  return { address: `/oidc/auth?${query}`, verifier, redirectUri };
}

export interface Tokens {
  access_token: string;
  refresh_token: string;
  id_token: string;
  expires_in: number;
}

export async function redeemCode(origin: string, request: CodeRequest, url: URL): Promise<Tokens> {
  const code = url.searchParams.get('code');
  if (code === null) throw new Error(`no code in ${url.search}`);
  const { status, body } = await postForm(origin, {
    grant_type: 'authorization_code',
    client_id: 'cli',
    code,
    code_verifier: request.verifier,
    redirect_uri: request.redirectUri,
  });
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body as unknown as Tokens;
}

export async function postForm(
  origin: string,
  fields: Record<string, string> | [string, string][],
  path = '/sts/token',
  headers: Record<string, string> = {},
): Promise<{ status: number; body: Record<string, unknown>; headers: Headers }> {
  const body = new URLSearchParams(fields);
  const answer = await fetch(origin + path, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: body.toString(),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown>, headers: answer.headers };
}
