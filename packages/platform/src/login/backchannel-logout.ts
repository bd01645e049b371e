import { AccessError, type IssuerConfig, type LogoutToken, type Verifier } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import type { Audit } from '../audit/index.ts';
import { denial, notBefore, sidUntil } from '../issuer/revocation.ts';
import { TokenError } from '../issuer/token-service/errors.ts';
import { parseForm } from '../issuer/token-service/form.ts';
import { json, type WireRequest, type WireResponse } from '../issuer/wire.ts';
import { useOnce } from '../people/used-assertions.ts';
import { type Store, StoreError } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';
import { loginRows } from './session-rows.ts';

/** Where issuers post; the last part is the name of their TrustedIssuer. */
export const BACKCHANNEL = /^\/oidc\/backchannel-logout\/([a-z0-9-]{1,63})$/;

/** How long a denied `sid` is kept where the issuer's tokens have no longest life: a day, in seconds. */
const LONGEST_TOKEN = 86_400;

export interface BackchannelOptions {
  store: Store;
  vault: Vault;
  audit: Audit;
  verifier: Verifier;
  /** By the name of its TrustedIssuer; the embedded issuer is none of them. */
  issuer(name: string): IssuerConfig | undefined;
  now: () => number;
}

/**
 * An issuer says that somebody has signed out there (OpenID Connect Back-Channel Logout 1.0 section 2.5). What that
 * login gave ends here in one unit: console sessions, and by the deny list whatever else was issued for its `sid`; without a
 * `sid` all that the person was given before this moment. The change log takes it to tickets, sockets and cached tokens.
 */
export function createBackchannelLogout(o: BackchannelOptions) {
  const { store, audit, now } = o;
  const rows = loginRows(o);

  async function end(logout: LogoutToken, config: IssuerConfig): Promise<void> {
    const { issuer, sid, subject, jti, expiresAt } = logout;
    const ids =
      sid !== undefined ? await rows.ids({ issuer, sid }) : await rows.ids({ issuer, subject: subject ?? '' });
    const gone = rows.removal(ids);
    const until = now() + (config.maxLifetime ?? LONGEST_TOKEN) * 1000;
    const others =
      sid !== undefined
        ? denial(store, { issuer, claim: sidUntil(now()), value: sid, until })
        : notBefore(store, { issuer, subject: subject ?? '' }, now());
    await store.commit({
      statements: [
        ...useOnce(store, [{ issuer, jti, expiresAt, error: 'invalid_request' }]),
        ...gone.statements,
        ...others.statements,
      ],
      changes: [...gone.changes, ...others.changes],
      audit: [
        audit.line({
          type: 'login',
          phase: 'single',
          principal: { issuer, subject: subject ?? '', ...(sid !== undefined && { sid }) },
          outcome: 'signed out',
          reason: 'the issuer said so',
          data: { logins: ids.length },
        }),
      ],
    });
  }

  return async (request: WireRequest): Promise<WireResponse> => {
    const config = o.issuer(BACKCHANNEL.exec(request.url)?.[1] ?? '');
    if (config === undefined) return refused(404, 'there is no such issuer');
    try {
      const token = parseForm(request).get('logout_token');
      if (token === undefined) return refused(400, 'logout_token is missing');
      const logout = await o.verifier.verifyLogoutToken(SecretValue.of(token), config.issuer);
      await end(logout, config);
      return json(200, {});
    } catch (error) {
      if (error instanceof AccessError) return refused(400, `${error.message} (${error.code})`);
      if (error instanceof TokenError) return refused(400, error.message);
      const replayed = error instanceof StoreError && error.conflict?.startsWith('replayed') === true;
      if (replayed) return refused(400, 'the logout token was used before');
      throw error;
    }
  };
}

/** Section 2.8. */
const refused = (status: number, description: string): WireResponse =>
  json(status, { error: 'invalid_request', error_description: description });
