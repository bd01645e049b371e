import { randomUUID } from 'node:crypto';
import { type AgentIdentity, identityOf } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import type { JWTPayload } from 'jose';
import type { Audit, AuditTarget, Half } from '../../audit/index.ts';
import type { PrincipalName } from '../../people/index.ts';
import { spend, type UsedAssertion, useOnce } from '../../people/index.ts';
import type { Store } from '../../store/index.ts';
import type { SigningKeys } from '../keys.ts';
import { orReplayed, type TokenError } from './errors.ts';
import type { Act } from './subject.ts';
import type { RegisteredTarget } from './targets.ts';

/** Seconds that a token for a tool server lives at most. */
export const MAX_LIFE = 300;

/** What has been found out about a request so far: the audit of a refusal says no less than that of an issue. */
export interface Trail {
  grant: string;
  client?: string;
  principal?: PrincipalName & { sid?: string | undefined; jti?: string | undefined };
  agent?: AgentIdentity;
  chain?: readonly { agent: string; uid: string }[];
  asked?: AuditTarget;
  target?: RegisteredTarget;
  used: UsedAssertion[];
}

export interface Issuing {
  issuer: string;
  keys: SigningKeys;
  store: Store;
  audit: Audit;
  now: () => number;
}

export interface Issued {
  token: SecretValue;
  /** Seconds. */
  expiresIn: number;
  scope: string;
}

/** RFC 9068 section 2.2, and `act` of RFC 8693 section 4.1. */
export interface Claims {
  sub: string;
  sub_id: { format: 'iss_sub'; iss: string; sub: string };
  aud: string;
  client_id: string;
  scopes: readonly string[];
  /** Seconds since the epoch, of what it is made from. */
  notAfter: number;
  act?: Act;
  may_act?: { sub: string };
}

/**
 * Signs, and stores the audit line together with the use of every assertion. What could not be written down is not
 * handed out. @throws TokenError for a replay, StoreError
 */
export async function issue(
  { issuer, keys, store, audit, now }: Issuing,
  typ: 'at+jwt' | 'delegation+jwt',
  { scopes, notAfter, ...claims }: Claims,
  trail: Trail,
): Promise<Issued> {
  const iat = Math.floor(now() / 1000);
  const exp = Math.min(Math.floor(notAfter), iat + MAX_LIFE);
  const jti = randomUUID();
  const scope = scopes.join(' ');
  const payload: JWTPayload = { iss: issuer, ...claims, iat, exp, jti, ...(scope !== '' && { scope }) };
  const token = await keys.sign(typ, payload);
  const line = audit.line({
    type: 'issue',
    phase: 'single',
    ...entryOf(trail),
    outcome: trail.grant,
    ...(trail.principal && {
      principal: { ...principalOf(trail.principal), ...(claims.sub !== undefined && { as: claims.sub }) },
    }),
    token: { jti, hash: audit.tokenHash(token) },
    data: { client: claims.client_id, ...(!trail.principal && { sub: claims.sub }), scope, expiresAt: exp },
  });
  try {
    await store.commit({ statements: useOnce(store, trail.used), audit: [line] });
  } catch (error) {
    throw orReplayed(error);
  }
  return { token, expiresIn: exp - iat, scope };
}

const principalOf = ({ issuer, subject, sid, jti }: NonNullable<Trail['principal']>) => ({
  issuer,
  subject,
  ...(sid !== undefined && { sid }),
  ...(jti !== undefined && { jti }),
});

/** @throws StoreError: then the refusal stands, but the caller is told that something is wrong */
export async function recordRefusal(
  { store, audit }: Issuing,
  error: TokenError,
  trail: Trail,
  address: string | undefined,
): Promise<void> {
  const line = audit.line({
    type: 'refusal',
    phase: 'single',
    ...entryOf(trail),
    ...(address !== undefined && { address }),
    outcome: trail.grant,
    code: error.code,
    rule: error.check,
    reason: error.message,
    data: { client: trail.client ?? null },
  });
  await store.commit({ statements: spend(store, trail.used), audit: [line] });
}

function entryOf({ principal, agent, chain, asked, target }: Trail): Omit<Half, 'type'> {
  return {
    ...(principal && { principal: principalOf(principal) }),
    ...(agent && { agent }),
    ...(chain && { chain }),
    target: { tokenService: 'onbehalf', ...asked, ...(target && registration(target)) },
  };
}

/** Which server it is, and who is answerable for its being a target. */
function registration({ server, mode }: RegisteredTarget): AuditTarget {
  const { uid, namespace, name } = identityOf(server);
  return {
    kind: 'RemoteMCPServer',
    uid,
    server: `${namespace}/${name}`,
    mode,
    ...(server.writer && { registeredBy: { issuer: server.writer.issuer, subject: server.writer.subject } }),
  };
}
