import type { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt, type JWTPayload } from 'jose';
import type { Tags } from './cache.ts';
import { actorPart, cacheKey, clientPart, servicePart } from './cache-key.ts';
import { misconfigured } from './errors.ts';
import { isJwt } from './inspect.ts';
import type { PresentedToken } from './profiles/profile.ts';
import type { PreparedTarget } from './target.ts';
import type {
  ActorIdentity,
  ActorSource,
  AgentRef,
  ClientConfig,
  Delegation,
  ExchangeContext,
  ExchangeKind,
  PrincipalRef,
  SubjectToken,
  TokenServiceConfig,
} from './types.ts';

/** One request of a caller, with everything that decides its answer. */
export interface Call {
  readonly kind: ExchangeKind;
  readonly target: PreparedTarget;
  readonly client: ClientConfig;
  readonly subject: SubjectToken | undefined;
  readonly subjectHash: string | undefined;
  readonly principal: PrincipalRef | undefined;
  readonly loginSession: string | undefined;
  readonly agent: AgentRef | undefined;
  readonly actor: ActorSource | undefined;
  readonly actorIdentity: ActorIdentity | undefined;
  readonly actorHash: string | undefined;
  readonly session: string | undefined;
  readonly delegate: string | undefined;
  readonly context: Readonly<Record<string, string>> | undefined;
  readonly signal: AbortSignal | undefined;
  readonly refresh: boolean;
  readonly rejected: string | undefined;
  /** Where the list of forgotten things stood when the caller asked. */
  readonly mark: number;
}

/** Keys that are remembered per subject token: one for each target, session and agent that it is used with. */
const REMEMBERED = 16;

/**
 * Makes keys of calls. The key of a call like an earlier one is remembered with the subject token, because a string
 * that is put together anew is also hashed anew.
 */
export class CallKeys {
  readonly #known = new WeakMap<SecretValue, { call: Call; keyId: string; key: string }[]>();
  readonly #service: string;

  constructor(
    installation: string | undefined,
    service: TokenServiceConfig,
    delegation: Delegation,
    maxLifetime: number,
  ) {
    this.#service = servicePart(installation, service, delegation, maxLifetime);
  }

  of(call: Call): string {
    const token = call.subject?.token;
    if (token === undefined) return this.#make(call);
    let known = this.#known.get(token);
    const { keyId } = call.client;
    const found = known?.find((one) => one.keyId === keyId && sameKey(one.call, call));
    if (found !== undefined) return found.key;
    const key = this.#make(call);
    if (known === undefined) {
      known = [];
      this.#known.set(token, known);
    }
    if (known.length === REMEMBERED) known.shift();
    known.push({ call: { ...call, signal: undefined, context: undefined }, keyId, key });
    return key;
  }

  #make(call: Call): string {
    return cacheKey(
      this.#service,
      clientPart(call.client),
      actorPart(call.actorIdentity, call.actor?.tokenType, call.actorHash),
      call.target.keyPart,
      {
        kind: call.kind,
        agentUid: call.agent?.uid,
        agentName: call.agent?.name,
        session: call.session,
        principal: call.principal,
        subjectHash: call.subjectHash,
        subjectType: call.subject?.tokenType,
        delegate: call.delegate,
      },
    );
  }
}

/** Everything that the key is made of but the subject token, which both share, and the client's `keyId`. */
function sameKey(a: Call, b: Call): boolean {
  return (
    a.target === b.target &&
    a.session === b.session &&
    a.kind === b.kind &&
    a.client === b.client &&
    a.agent?.uid === b.agent?.uid &&
    a.agent?.name === b.agent?.name &&
    a.actorIdentity === b.actorIdentity &&
    a.actor?.tokenType === b.actor?.tokenType &&
    a.actorHash === b.actorHash &&
    a.principal?.issuer === b.principal?.issuer &&
    a.principal?.subject === b.principal?.subject &&
    a.subject?.tokenType === b.subject?.tokenType &&
    a.delegate === b.delegate
  );
}

export function tagsOf(call: Call, tokenService: string): Tags {
  return {
    session: call.session,
    loginSession: call.loginSession,
    principal: call.principal,
    agent: call.agent?.uid,
    target: call.target.source,
    tokenService,
    client: call.client.id,
  };
}

const NO_CONTEXT = Object.freeze({});

export function contextOf(call: Call, tokenService: string): ExchangeContext {
  return {
    kind: call.kind,
    tokenService,
    target: call.target.source,
    principal: call.principal,
    agent: call.agent,
    actor: call.actorIdentity,
    session: call.session,
    loginSession: call.loginSession,
    context: call.context ?? NO_CONTEXT,
  };
}

/** A source may give the same actor token for a while. */
const decoded = new WeakMap<SecretValue, JWTPayload>();

/** The actor's token, which must be of the agent that asks: one agent's token never serves another. */
export async function actorToken(
  actor: ActorSource,
  agent: AgentRef | undefined,
  audience: string,
  signal: AbortSignal,
): Promise<PresentedToken> {
  const { identity } = actor;
  if (agent !== undefined && identity.agentUid !== undefined && identity.agentUid !== agent.uid) {
    throw misconfigured('the actor is another agent than the one that asks');
  }
  const presented = await actor.current(audience, signal);
  if (isJwt(presented.token)) {
    let claims = decoded.get(presented.token);
    if (claims === undefined) {
      claims = decodeJwt(presented.token.reveal());
      decoded.set(presented.token, claims);
    }
    const { sub, agent_uid } = claims;
    const other =
      sub !== identity.sub ||
      (identity.agentUid !== undefined && (agent_uid ?? identity.agentUid) !== identity.agentUid);
    if (other) throw misconfigured('the actor token names another agent than the one that asks');
  }
  return presented;
}
