import { decodeJwt } from 'jose';
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

/** Makes keys of calls; remembers the parts that a client and an actor bring each time. */
export class CallKeys {
  readonly #service: string;
  readonly #clients = new WeakMap<ClientConfig, { keyId: string; part: string }>();
  readonly #actors = new WeakMap<ActorIdentity, string>();

  constructor(
    installation: string | undefined,
    service: TokenServiceConfig,
    delegation: Delegation,
    maxLifetime: number,
  ) {
    this.#service = servicePart(installation, service, delegation, maxLifetime);
  }

  of(call: Call): string {
    return cacheKey(this.#service, this.#client(call.client), this.#actor(call), call.target.keyPart, {
      kind: call.kind,
      agentUid: call.agent?.uid,
      agentName: call.agent?.name,
      session: call.session,
      principal: call.principal,
      subjectHash: call.subjectHash,
      subjectType: call.subject?.tokenType,
      delegate: call.delegate,
    });
  }

  #client(client: ClientConfig): string {
    let known = this.#clients.get(client);
    if (known === undefined || known.keyId !== client.keyId) {
      known = { keyId: client.keyId, part: clientPart(client) };
      this.#clients.set(client, known);
    }
    return known.part;
  }

  #actor({ actor, actorHash }: Call): string {
    if (actor === undefined) return '-';
    if (actorHash !== undefined) return actorPart(actor.identity, actor.tokenType, actorHash);
    let part = this.#actors.get(actor.identity);
    if (part === undefined) {
      part = actorPart(actor.identity, actor.tokenType, undefined);
      this.#actors.set(actor.identity, part);
    }
    return part;
  }
}

export function tagsOf(call: Call, tokenService: string): Tags {
  return {
    session: call.session,
    loginSession: call.loginSession,
    principal: call.principal,
    agent: call.agent?.uid,
    target: call.target.source,
    tokenService,
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
    actor: call.actor?.identity,
    session: call.session,
    loginSession: call.loginSession,
    context: call.context ?? NO_CONTEXT,
  };
}

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
    const { sub, agent_uid } = decodeJwt(presented.token.reveal());
    const other =
      sub !== identity.sub ||
      (identity.agentUid !== undefined && (agent_uid ?? identity.agentUid) !== identity.agentUid);
    if (other) throw misconfigured('the actor token names another agent than the one that asks');
  }
  return presented;
}
