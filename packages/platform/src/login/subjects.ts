import { randomUUID } from 'node:crypto';
import { AccessError, type IssuerConfig, legacyIssuer, type Principal } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import type { SubjectSource, SubjectToken } from '@onbehalf/token-exchange';
import type { Audit } from '../audit/index.ts';

const MINTED_LIFE = 300_000;
const MINT_AGAIN_BELOW = 60_000;

/** RFC 8693 section 3. */
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';

const ENDED = 'the token of the user has ended';

/**
 * The token that was presented, for as long as it would be accepted. Nobody renews it here: its holder brings another
 * one. `verify` rejects once it is revoked, or its issuer is no longer trusted.
 */
export function subjectOfBearer(
  principal: Principal,
  token: SecretValue,
  {
    now,
    verify,
    over,
  }: { now: () => number; verify: (token: SecretValue) => Promise<unknown>; over: (why: string) => Error },
): SubjectSource {
  const { expiresAt, sid } = principal.credential;
  return {
    principal: { issuer: principal.issuer, subject: principal.subject },
    refreshable: false,
    ...(sid !== undefined && { loginSession: sid }),
    async current(signal) {
      signal?.throwIfAborted();
      if (expiresAt !== undefined && expiresAt <= now()) throw over(ENDED);
      await verify(token).catch((error: unknown) => {
        throw error instanceof AccessError ? over(ENDED) : error;
      });
      return { token, tokenType: ACCESS_TOKEN, expiresAt };
    },
  };
}

/**
 * For people whose tokens carry no signature that others could verify: a token that only the embedded token service
 * takes. It ends with the original, and is made anew when little of it is left.
 */
export function subjectOfLegacy(
  principal: Principal,
  o: {
    issuer: string;
    signSubject(claims: Record<string, unknown>): Promise<SecretValue>;
    over(why: string): Error;
    audit: Audit;
    trusted: () => readonly IssuerConfig[];
    now: () => number;
  },
): SubjectSource | undefined {
  const { issuer, subject, credential } = principal;
  const config = o
    .trusted()
    .find(({ name, legacyHs256 }) => legacyHs256 !== undefined && legacyIssuer(name) === issuer);
  const end = credential.expiresAt;
  if (config?.legacyHs256?.mintSubject !== true || end === undefined) return undefined;
  let minted: Promise<SubjectToken> | undefined;
  let renewAt = 0;

  async function mint(expiresAt: number): Promise<SubjectToken> {
    const jti = randomUUID();
    const token = await o.signSubject({
      iss: o.issuer,
      aud: o.issuer,
      sub: `${issuer}:${subject}`,
      sub_id: { format: 'iss_sub', iss: issuer, sub: subject },
      iat: Math.floor(o.now() / 1000),
      exp: Math.floor(expiresAt / 1000),
      jti,
    });
    await o.audit.append({
      type: 'issue',
      phase: 'single',
      principal: { issuer, subject },
      outcome: 'minted',
      token: { jti, hash: o.audit.tokenHash(token) },
    });
    return { token, tokenType: JWT, expiresAt };
  }

  return {
    principal: { issuer, subject },
    refreshable: true,
    async current(signal) {
      signal?.throwIfAborted();
      const at = o.now();
      if (end <= at) throw o.over(ENDED);
      if (minted === undefined || at >= renewAt) {
        const expiresAt = Math.min(at + MINTED_LIFE, end);
        renewAt = expiresAt === end ? end : expiresAt - MINT_AGAIN_BELOW;
        minted = mint(expiresAt);
        minted.catch(() => {
          minted = undefined;
        });
      }
      return minted;
    },
  };
}
