import { hash } from 'node:crypto';
import type { Verifier } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt } from 'jose';
import { LoginError } from './error.ts';
import { type LoginTokens, renewAt } from './session-rows.ts';
import type { LoginSource } from './source.ts';

type Redeemed = { tokens: LoginTokens } | { failed: 'refused' | 'unavailable' };

/** Our client there: first party, no secret. */
const CONSOLE = 'console';

/** Sign-in at the embedded issuer, as its client `console`. */
export function ownLogin(o: {
  issuer: string;
  verifier: Verifier;
  /** Requests to our own token endpoint. */
  fetch: typeof globalThis.fetch;
  /** Ends a login at the issuer: its grant, its `sid` and the browser's session there. */
  endLogin(refreshToken: SecretValue): Promise<void>;
  now: () => number;
}): LoginSource {
  const { issuer, now } = o;
  const callback = '/login/callback';
  const redirect = { redirect_uri: `${issuer}${callback}` };

  /** RFC 6749 sections 4.1.3 and 6. */
  async function ask(fields: Readonly<Record<string, string>>): Promise<Redeemed> {
    const answer = await o.fetch(`${issuer}/sts/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: new URLSearchParams({ client_id: CONSOLE, ...fields }).toString(),
    });
    const said = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
    const { access_token: accessToken, refresh_token: refreshToken, expires_in: expiresIn } = said;
    if (answer.status !== 200 || typeof accessToken !== 'string' || typeof refreshToken !== 'string')
      return { failed: said.error === 'invalid_grant' ? 'refused' : 'unavailable' };
    const expiresAt = now() + Number(expiresIn) * 1000;
    return { tokens: { accessToken, refreshToken, expiresAt, renewAt: renewAt(expiresAt, now()) } };
  }

  return {
    name: 'onbehalf',
    issuer,
    callback,
    async authorize({ state, verifier }) {
      const query = new URLSearchParams({
        client_id: CONSOLE,
        response_type: 'code',
        ...redirect,
        scope: 'openid offline_access profile email',
        resource: `${issuer}/api`,
        state,
        code_challenge: hash('sha256', verifier, 'base64url'),
        code_challenge_method: 'S256',
      });
      return `${issuer}/oidc/auth?${query}`;
    },
    async redeem({ searchParams: query }, { state, verifier }) {
      const failed = (why: string) => new LoginError('login_failed', why);
      // RFC 6749 section 10.12, RFC 9207 section 2.4
      if (query.get('state') !== state) throw failed('the answer is not to this sign-in');
      if (query.get('iss') !== issuer) throw failed('the answer is of another issuer');
      const code = query.get('code');
      if (code === null) throw failed('the sign-in was not completed');
      const answer = await ask({ grant_type: 'authorization_code', code, ...redirect, code_verifier: verifier });
      if ('failed' in answer) throw failed('the code was not accepted');
      const { sid, ...who } = holderOf(answer.tokens);
      return { tokens: answer.tokens, who, sid };
    },
    async renew({ refreshToken = '' }) {
      const answer = await ask({ grant_type: 'refresh_token', refresh_token: refreshToken });
      if ('failed' in answer) return answer;
      const { sid: _sid, ...who } = holderOf(answer.tokens);
      return { tokens: answer.tokens, who };
    },
    verify: ({ accessToken }) => o.verifier.verify(SecretValue.of(accessToken), 'api'),
    end: ({ refreshToken = '' }) => o.endLogin(SecretValue.of(refreshToken)),
  };
}

/** Of a token that our own endpoint has just answered with. */
function holderOf({ accessToken }: LoginTokens): { issuer: string; subject: string; sid: string | undefined } {
  const { iss = '', sub = '', sid } = decodeJwt<{ iss?: string; sub?: string; sid?: string }>(accessToken);
  return { issuer: iss, subject: sub, sid };
}
