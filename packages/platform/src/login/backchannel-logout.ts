import { AccessError, type IssuerConfig, type LogoutToken, type Verifier } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import type { Audit } from '../audit/index.ts';
import { denial, notBefore, replayOf, sidUntil, useOnce } from '../people/index.ts';
import type { Store } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';
import { loginRows } from './session-rows.ts';

/** Where issuers post; the last part is the name of their TrustedIssuer. */
export const BACKCHANNEL = /^\/oidc\/backchannel-logout\/([a-z0-9-]{1,63})$/;

/** Seconds for which a denied `sid` is kept at least: the limit may be raised to this default of it meanwhile. */
const DAY = 86_400;
/** Milliseconds since the epoch, where the issuer's tokens have no longest life. */
const NEVER = 253_402_300_799_000;

export interface BackchannelOptions {
  store: Store;
  vault: Vault;
  audit: Audit;
  verifier: Verifier;
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
    const until = endOfLongest(config, now());
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

  /** The answer to a logout token that was posted for this issuer. */
  return async (config: IssuerConfig, form: ReadonlyMap<string, string>): Promise<{ status: number; body: object }> => {
    const token = form.get('logout_token');
    if (token === undefined) return refused('logout_token is missing');
    try {
      const logout = await o.verifier.verifyLogoutToken(SecretValue.of(token), config.issuer);
      await end(logout, config);
      return { status: 200, body: {} };
    } catch (error) {
      if (error instanceof AccessError) return refused(`${error.message} (${error.code})`);
      if (replayOf(error) !== undefined) return refused('the logout token was used before');
      throw error;
    }
  };
}

/** When the last token has ended that was issued up to now, and that this issuer could have issued. */
function endOfLongest({ maxLifetime, leeway = 30 }: IssuerConfig, now: number): number {
  return maxLifetime === undefined ? NEVER : now + (Math.max(maxLifetime, DAY) + 2 * leeway) * 1000;
}

/** Section 2.8. */
const refused = (description: string) => ({
  status: 400,
  body: { error: 'invalid_request', error_description: description },
});
