import { createHash, randomBytes } from 'node:crypto';

/** The public client of the realm, and where it says that it waits. Nothing listens there. */
const CLIENT = 'portal';
const REDIRECT = 'http://127.0.0.1:9/callback';

export interface KeycloakLogin {
  accessToken: string;
  /** Ends the login at Keycloak (OpenID Connect RP-Initiated Logout, by refresh token). */
  logout(): Promise<void>;
}

/**
 * Signs a person in as a browser does: authorization request with PKCE (RFC 7636), login form with its cookies, code.
 * `issuer` is the address of the realm. Throws where Keycloak shows a page instead of going on.
 */
export async function signInAtKeycloak(issuer: string, username: string, password: string): Promise<KeycloakLogin> {
  const endpoint = (name: string) => `${issuer}/protocol/openid-connect/${name}`;
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(16).toString('base64url');
  const query = new URLSearchParams({
    client_id: CLIENT,
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: 'openid',
    state,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const page = await fetch(`${endpoint('auth')}?${query}`, { redirect: 'manual' });
  const action = /<form[^>]+action="([^"]+)"/.exec(await page.text())?.[1]?.replaceAll('&amp;', '&');
  if (action === undefined) throw new Error(`the login page of Keycloak answered ${page.status}`);
  const cookie = page.headers
    .getSetCookie()
    .map((line) => line.split(';')[0])
    .join('; ');
  const posted = await fetch(action, {
    method: 'POST',
    redirect: 'manual',
    headers: { cookie },
    body: new URLSearchParams({ username, password, credentialId: '' }),
  });
  const location = posted.headers.get('location');
  if (location === null) throw new Error(`Keycloak did not accept ${username}: it answered ${posted.status}`);
  const answer = new URL(location).searchParams;
  const code = answer.get('code');
  if (code === null || answer.get('state') !== state) throw new Error(`signing in failed: ${answer.get('error')}`);
  const redeemed = await fetch(endpoint('token'), {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: CLIENT,
      code,
      redirect_uri: REDIRECT,
      code_verifier: verifier,
    }),
  });
  const tokens = (await redeemed.json()) as { access_token?: string; refresh_token?: string; error?: string };
  const { access_token: accessToken, refresh_token: refreshToken } = tokens;
  if (accessToken === undefined || refreshToken === undefined) throw new Error(`no tokens: ${tokens.error}`);
  return {
    accessToken,
    async logout() {
      const ended = await fetch(endpoint('logout'), {
        method: 'POST',
        body: new URLSearchParams({ client_id: CLIENT, refresh_token: refreshToken }),
      });
      if (!ended.ok) throw new Error(`signing out failed with ${ended.status}`);
    },
  };
}
