import { decodeJwt } from 'jose';
import { actorToken, type Call } from './call.ts';
import type { ExchangeCrypto } from './crypto.ts';
import { misconfigured, TokenExchangeError, untrusted } from './errors.ts';
import { type Inspect, isJwt } from './inspect.ts';
import type { FormField, Profile } from './profiles/profile.ts';
import type { GrantedToken } from './response.ts';
import { quote } from './target.ts';
import type { TokenServiceEndpoint } from './token-service.ts';
import type {
  Delegation,
  ExchangedToken,
  TokenClaims,
  TokenServiceConfig,
  Verification,
  WorkloadSource,
} from './types.ts';
import { type Expectation, verifyClaims } from './verify.ts';

/** Seconds that are assumed at most where nobody says how long a token lives. */
const UNKNOWN_LIFE = 60;

export interface Negotiation {
  readonly service: TokenServiceConfig;
  readonly profile: Profile;
  readonly delegation: Delegation;
  /** Seconds. */
  readonly maxLifetime: number;
  /** Seconds. */
  readonly margin: number;
  readonly endpoint: TokenServiceEndpoint;
  readonly inspect: Inspect;
  readonly sha256: ExchangeCrypto['sha256'];
  readonly workload: WorkloadSource | undefined;
  readonly now: () => number;
}

export interface Negotiated {
  readonly token: ExchangedToken;
  /** Milliseconds for which it may be handed out again, counted from before it was asked for. */
  readonly cacheFor: number;
}

/**
 * One exchange: form, request, answer, checks. Throws whenever the answer is not exactly what was asked for. What the
 * service gave out is told to `issued` before anything else: it is there, whatever becomes of it here.
 */
export async function negotiate(
  n: Negotiation,
  call: Call,
  { signal, forgotten }: { signal: AbortSignal; forgotten: AbortSignal },
  issued: (grant: GrantedToken) => void,
): Promise<Negotiated> {
  const problem = call.target.problem ?? n.profile.targetProblem(call.target);
  if (problem !== undefined) throw misconfigured(problem);
  const asked = n.now();
  if (call.subject?.expiresAt !== undefined && call.subject.expiresAt <= asked) throw subjectExpired();
  const { issuer, jwksUri, tokenEndpoint } = await n.endpoint.metadata();
  const own = call.target.expectedAudience.find((value) => value === issuer || value === tokenEndpoint);
  if (own !== undefined && call.kind !== 'delegation') {
    throw misconfigured(
      `the target ${quote(own)} is the token service itself: what it gave out could be exchanged again`,
    );
  }
  const { fields, workloadSubject } = await formOf(n, call, issuer, signal);
  const grant = await n.endpoint.grant(fields, call.client, call.kind, signal, forgotten);
  issued(grant);
  forgotten.throwIfAborted();
  const { claims, verification } = await lookInto(n, call, grant, jwksUri, signal);
  const hash = await n.sha256(grant.token);
  if (claims !== undefined) {
    const expectation: Expectation = {
      kind: call.kind,
      profile: n.profile,
      service: n.service,
      issuer,
      client: call.client.id,
      target: call.target,
      principal: call.principal,
      workloadSubject,
      delegation: n.delegation,
      actor: call.actorIdentity,
      delegate: call.delegate,
      maxLifetime: n.maxLifetime,
      now: n.now(),
      scope: grant.scope,
      introspected: verification === 'introspection',
    };
    verifyClaims(claims, expectation, hash);
  }
  const life = lifeOf(n, call, grant, claims, verification, asked);
  const token: ExchangedToken = {
    value: grant.token,
    type: grant.type,
    expiresAt: asked + life * 1000,
    scope: grant.scope ?? claims?.scope,
    cached: false,
    joined: false,
    claims,
    verification,
    ms: 0,
    hash,
  };
  return { token, cacheFor: (life - n.margin) * 1000 };
}

async function formOf(
  n: Negotiation,
  call: Call,
  issuer: string,
  signal: AbortSignal,
): Promise<{ fields: readonly FormField[]; workloadSubject: string | undefined }> {
  const { service, profile } = n;
  const { target, subject, kind } = call;
  if (subject === undefined) {
    const assertion = call.agent && (await n.workload?.assertion(call.agent, issuer, signal));
    if (assertion === undefined && call.agent !== undefined && profile.workloadNeedsAssertion) {
      throw misconfigured('this token service takes a signed assertion for an agent, and no source of one is set');
    }
    const asserted = assertion && isJwt(assertion) ? decodeJwt(assertion.reveal()).sub : undefined;
    return {
      fields: profile.workloadForm({ service, target, assertion }),
      workloadSubject: profile.workloadSubject(call.client.id, asserted),
    };
  }
  if (n.delegation === 'act' && call.actor === undefined) {
    throw misconfigured('delegation needs an actor; set delegation to "none" where the agent is not to be named');
  }
  if ((call.actorIdentity?.chain?.length ?? 0) >= profile.maxActors) {
    throw misconfigured(`this token service names at most ${profile.maxActors} agents in a chain`);
  }
  const actor = call.actor && (await actorToken(call.actor, call.agent, issuer, signal));
  const requestedTokenType = kind === 'delegation' ? profile.delegationTokenType : service.requestedTokenType;
  const { delegate } = call;
  const fields = profile.exchangeForm({ service, target, subject, actor, requestedTokenType, delegate });
  return { fields, workloadSubject: undefined };
}

async function lookInto(
  n: Negotiation,
  call: Call,
  { token }: GrantedToken,
  jwksUri: string | undefined,
  signal: AbortSignal,
): Promise<{ claims: TokenClaims | undefined; verification: Verification }> {
  if (isJwt(token)) {
    if (jwksUri === undefined) throw untrusted('the token service publishes no keys', { deviation: 'signature' });
    const claims = await n.inspect(token, jwksUri, n.profile.tokenTyp(call.kind));
    return { claims, verification: 'signature' };
  }
  if (n.service.introspect === true) {
    return { claims: await n.endpoint.introspect(token, call.client, signal), verification: 'introspection' };
  }
  if (n.service.opaque === 'Accept') return { claims: undefined, verification: 'none' };
  throw untrusted('the token is opaque, so nobody can see for whom and for what it is', { deviation: 'opaque' });
}

/** Seconds: the least that anybody says. */
function lifeOf(
  n: Negotiation,
  call: Call,
  grant: GrantedToken,
  claims: TokenClaims | undefined,
  verification: Verification,
  asked: number,
): number {
  const ends: number[] = [];
  if (grant.expiresIn !== undefined) ends.push(grant.expiresIn);
  if (claims?.exp !== undefined) ends.push(claims.exp - asked / 1000);
  if (ends.length === 0) ends.push(UNKNOWN_LIFE);
  if (verification !== 'signature') ends.push(n.maxLifetime);
  if (call.subject?.expiresAt !== undefined) ends.push((call.subject.expiresAt - asked) / 1000);
  return Math.min(...ends);
}

export function subjectExpired(): TokenExchangeError {
  return new TokenExchangeError('subject_rejected', 'the subject token has expired');
}
