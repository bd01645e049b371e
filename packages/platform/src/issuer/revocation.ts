import type { PrincipalLookup } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import type { Provider } from 'oidc-provider';
import { denyKey, principalKey } from '../people/principals.ts';
import type { Store } from '../store/index.ts';
import { sidOf } from './provider.ts';
import type { PrincipalName } from './types.ts';

/** Longer than an access token lives, so that none of the login's is left. */
const LONGEST_TOKEN = 11 * 60_000;

/** The tokens with this `sid` that were issued up to now (milliseconds): their issuer may use it for another login. */
export const sidUntil = (now: number) => `sid<${Math.floor(now / 1000) + 1}` as const;

/** Part of a unit: what carries this claim is refused until then (milliseconds since the epoch). */
export function denial(
  { builder }: Pick<Store, 'builder'>,
  {
    issuer,
    claim,
    value,
    until,
  }: { issuer: string; claim: 'jti' | 'sid' | `sid<${number}`; value: string; until: number },
) {
  const insert = builder.insertInto('deny_list').values({ iss: issuer, claim, value, until });
  const query = insert.onConflict((conflict) => conflict.columns(['iss', 'claim', 'value']).doUpdateSet({ until }));
  return {
    statements: [{ query: query.compile() }],
    changes: [{ kind: 'Deny' as const, key: denyKey(issuer, claim, value), op: 'put' as const }],
  };
}

/** Part of a unit: whatever was issued for this person before `at` is refused. They are not disabled. */
export function notBefore({ builder }: Pick<Store, 'builder'>, { issuer, subject }: PrincipalName, at: number) {
  const insert = builder.insertInto('principals').values({
    ...{ iss: issuer, sub: subject, kind: 'person', name: null, email: null, role: null },
    ...{ disabled: 0, not_before: at, created_at: at, last_seen: null },
  });
  const query = insert.onConflict((conflict) => conflict.columns(['iss', 'sub']).doUpdateSet({ not_before: at }));
  return {
    statements: [{ query: query.compile() }],
    changes: [{ kind: 'Principal' as const, key: principalKey(issuer, subject), op: 'put' as const }],
  };
}

/** Ends logins: the grant with its refresh tokens, and through the deny list what was issued from it. */
export function createRevocation(o: {
  issuer: string;
  store: Store;
  principals: PrincipalLookup;
  provider: () => Provider;
  now: () => number;
}) {
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
