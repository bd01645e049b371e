import { createHash, randomBytes } from 'node:crypto';

/** Cookies of one browser, as far as one host needs them. */
class CookieJar {
  readonly #cookies = new Map<string, string>();

  take(response: Response): void {
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      const equals = pair.indexOf('=');
      const value = pair.slice(equals + 1);
      if (value === '') this.#cookies.delete(pair.slice(0, equals));
      else this.#cookies.set(pair.slice(0, equals), value);
    }
  }

  header(): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  }
}

const REDIRECT = 'http://127.0.0.1:9/callback';
const MAX_HOPS = 10;
const YES = new URLSearchParams({ decision: 'yes' });

/**
 * Signs in through the front door: a one-time login link, then the ordinary authorization request of the client `cli`
 * with PKCE (RFC 7636), whose page is answered as a person would. Returns an access token for `resource`: the API, if nothing else is said.
 */
export async function signIn(url: string, link: string, resource = `${url}/api`): Promise<string> {
  const jar = new CookieJar();
  const visit = async (address: string, init: RequestInit = {}) => {
    const response = await fetch(address, {
      ...init,
      redirect: 'manual',
      headers: { ...(init.headers as Record<string, string>), cookie: jar.header(), 'sec-fetch-site': 'same-origin' },
    });
    jar.take(response);
    return response;
  };
  const linked = await visit(`${url}/oidc/link`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: url },
    body: JSON.stringify({ token: new URL(link).hash.slice(1) }),
  });
  if (!linked.ok) throw new Error(`the login link was refused with ${linked.status}`);
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(16).toString('base64url');
  const query = new URLSearchParams({
    client_id: 'cli',
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: 'openid offline_access',
    resource,
    state,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  let address = `${url}/oidc/auth?${query}`;
  for (let hop = 0; !address.startsWith(REDIRECT); hop++) {
    const confirms = new URL(address).pathname.startsWith('/login/confirm/');
    const response = await visit(address, confirms ? { method: 'POST', headers: { origin: url }, body: YES } : {});
    const location = response.headers.get('location');
    if (location === null || hop >= MAX_HOPS)
      throw new Error(`signing in stopped at a page that answered ${response.status}`);
    address = new URL(location, address).href;
  }
  const answer = new URL(address).searchParams;
  const code = answer.get('code');
  if (code === null || answer.get('state') !== state)
    throw new Error(`signing in failed: ${answer.get('error') ?? 'no code'}`);
  const redeemed = await visit(`${url}/sts/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: 'cli',
      code,
      redirect_uri: REDIRECT,
      code_verifier: verifier,
      resource,
    }),
  });
  const token = (await redeemed.json()) as { access_token?: string; error?: string };
  if (token.access_token === undefined) throw new Error(`the code was refused: ${token.error ?? redeemed.status}`);
  return token.access_token;
}
