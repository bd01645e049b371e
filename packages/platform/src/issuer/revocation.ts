import type { SecretValue } from '@onbehalf/secret-value';
import type { Provider } from 'oidc-provider';
import { denial } from '../people/index.ts';
import type { Store } from '../store/index.ts';
import { sidOf } from './provider.ts';

/** Longer than an access token lives, so that none of the login's is left. */
const LONGEST_TOKEN = 11 * 60_000;

/** Ends logins: the grant with its refresh tokens, and through the deny list what was issued from it. */
export function createRevocation(o: { issuer: string; store: Store; provider: () => Provider; now: () => number }) {
  const { issuer, store, now } = o;

  async function deny(claim: 'jti' | 'sid', value: string, until = now() + LONGEST_TOKEN): Promise<void> {
    await store.commit(denial(store, { issuer, claim, value, until }));
  }

  /** False when the token is none, or another client's. */
  async function endLogin(token: SecretValue, clientId: string): Promise<{ ended: boolean; sessionUid?: string }> {
    const provider = o.provider();
    const refresh = await provider.RefreshToken.find(token.reveal(), { ignoreExpiration: true });
    if (refresh === undefined || refresh.clientId !== clientId) return { ended: false };
    const { grantId, sessionUid } = refresh;
    if (grantId !== undefined) {
      await provider.RefreshToken.revokeByGrantId(grantId);
      await (await provider.Grant.find(grantId))?.destroy();
      await deny('sid', sidOf(grantId));
    }
    return { ended: true, ...(sessionUid !== undefined && { sessionUid }) };
  }

  /** Signing in again asks who it is: the browser's session at the issuer ends with the console's. */
  async function endConsoleLogin(token: SecretValue, clientId: string): Promise<void> {
    const { sessionUid } = await endLogin(token, clientId);
    if (sessionUid !== undefined) await (await o.provider().Session.findByUid(sessionUid))?.destroy();
  }

  return { deny, endLogin, endConsoleLogin };
}
