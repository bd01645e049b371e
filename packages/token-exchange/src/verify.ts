import { actorChain } from './claims.ts';
import { untrusted } from './errors.ts';
import type { Profile } from './profiles/profile.ts';
import { type PreparedTarget, sameSet } from './target.ts';
import type {
  ActorIdentity,
  Delegation,
  ExchangeKind,
  PrincipalRef,
  TokenClaims,
  TokenServiceConfig,
} from './types.ts';

/** What the answer must say. */
export interface Expectation {
  readonly kind: ExchangeKind;
  readonly profile: Profile;
  readonly service: TokenServiceConfig;
  readonly issuer: string;
  readonly client: string;
  readonly target: PreparedTarget;
  readonly principal: PrincipalRef | undefined;
  readonly workloadSubject: string | undefined;
  readonly delegation: Delegation;
  readonly actor: ActorIdentity | undefined;
  readonly delegate: string | undefined;
  /** Seconds. */
  readonly maxLifetime: number;
  /** Milliseconds. */
  readonly now: number;
  /** What the answer said beside the token. */
  readonly scope: string | undefined;
  /** An introspection answer leaves out what the service vouches for itself. */
  readonly introspected: boolean;
}

type Check = (claims: TokenClaims, expected: Expectation) => boolean;

/** Seconds by which clocks may differ. */
const SKEW = 30;

/** Each row says when the token is as it must be. A name is what the audit shows when it is not. */
const CHECKS: readonly (readonly [name: string, check: Check])[] = [
  // RFC 9068 section 4, RFC 8725 section 3.8; RFC 7662 section 2.2 makes it optional
  ['issuer', ({ iss }, { issuer, introspected }) => iss === issuer || (introspected && iss === undefined)],
  // RFC 7519 sections 4.1.4 to 4.1.6
  ['expired', ({ exp }, { now, introspected }) => (exp === undefined ? introspected : exp * 1000 > now)],
  ['not_yet', ({ nbf, iat }, { now }) => Math.max(nbf ?? 0, iat ?? 0) <= now / 1000 + SKEW],
  ['lifetime', ({ exp }, { now, maxLifetime }) => exp === undefined || exp - now / 1000 <= maxLifetime + SKEW],
  ['audience', audienceIsTheTarget],
  ['subject', subjectIsTheCaller],
  ['actor', actorIsTheAgent],
  ['party', partyIsTheClient],
  // RFC 8693 section 2.2.1
  ['scope', scopeIsNotWider],
  // RFC 8693 section 4.4
  ['may_act', ({ may_act }, { kind, delegate }) => kind !== 'delegation' || may_act?.sub === delegate],
];

/** Throws `untrusted_response` naming the first deviation; then the token is never sent anywhere. */
export function verifyClaims(claims: TokenClaims, expected: Expectation, hash: string): void {
  for (const [deviation, check] of CHECKS) {
    if (check(claims, expected)) continue;
    throw untrusted(`the token service issued a token with a wrong ${deviation}`, { deviation, claims, hash });
  }
}

/** Equal sets: a token that is also good at another server is not handed to this one. */
function audienceIsTheTarget({ aud }: TokenClaims, { target }: Expectation): boolean {
  return sameSet(
    aud.filter((value) => target.expectedAudience.includes(value) || !target.extraAudience.includes(value)),
    target.expectedAudience,
  );
}

function subjectIsTheCaller(claims: TokenClaims, expected: Expectation): boolean {
  if (expected.principal !== undefined)
    return expected.profile.subjectMatches(claims, expected.principal, expected.service);
  return expected.workloadSubject === undefined || claims.sub === expected.workloadSubject;
}

function actorIsTheAgent({ act }: TokenClaims, { kind, delegation, actor }: Expectation): boolean {
  if (kind === 'workload') return act === undefined;
  if (delegation !== 'act') return true;
  if (actor === undefined || act === undefined || act.sub !== actor.sub) return false;
  if (act.iss !== undefined && act.iss !== actor.iss) return false;
  if (actor.agentUid !== undefined && act.agent_uid !== undefined && act.agent_uid !== actor.agentUid) return false;
  if (actor.chain === undefined) return true;
  const above = actorChain(act.act);
  return above.length === actor.chain.length && above.every((sub, at) => sub === actor.chain?.[at]);
}

function partyIsTheClient(claims: TokenClaims, { profile, delegation, client, introspected }: Expectation): boolean {
  const party = profile.party(claims);
  if (delegation === 'azp') return party === client || (introspected && claims.client_id === client);
  return delegation === 'none' || party === undefined || party === client;
}

function scopeIsNotWider(claims: TokenClaims, { target, profile, scope }: Expectation): boolean {
  if (!profile.scopeNeverWider || target.scopes.length === 0) return true;
  const granted = `${claims.scope ?? ''} ${scope ?? ''}`.split(' ').filter((value) => value !== '');
  return granted.every((value) => target.scopes.includes(value));
}
