import type { SecretValue } from '@onbehalf/secret-value';
import { type CacheEntry, createTokenCache, Forgotten, matchesFilter, type Tags, type TokenCache } from './cache.ts';
import { type Call, CallKeys, contextOf, tagsOf } from './call.ts';
import { checkConfiguration, delegationOf, targetProblem } from './configuration.ts';
import { type ExchangeCrypto, webCrypto } from './crypto.ts';
import { misconfigured, TokenExchangeError } from './errors.ts';
import { type FlightSignals, SingleFlight, waitFor } from './flight.ts';
import { createInspector } from './inspect.ts';
import { unknownKeys } from './nearest.ts';
import { type Negotiation, negotiate, subjectExpired } from './negotiate.ts';
import { outcomeOf } from './outcome.ts';
import type { ExchangeFetch } from './plain.ts';
import { profileOf } from './profiles/registry.ts';
import { RecentTimes } from './recent-times.ts';
import type { GrantedToken } from './response.ts';
import { Revocations } from './revocation.ts';
import { prepareTarget } from './target.ts';
import { TokenServiceEndpoint } from './token-service.ts';
import type {
  ActorSource,
  AgentRef,
  ClientConfig,
  Delegation,
  DelegationRequest,
  ExchangedToken,
  ExchangeKind,
  ExchangeOutcome,
  ExchangeStats,
  ForgetFilter,
  ForgetOptions,
  Hooks,
  Target,
  TokenExchange,
  TokenRequest,
  TokenServiceConfig,
  WorkloadRequest,
  WorkloadSource,
} from './types.ts';

/** Everything but `tokenService` has a default. */
export interface TokenExchangeOptions {
  /** Whom to ask, and how. */
  readonly tokenService: TokenServiceConfig;
  /** Instead of `tokenService.client`. */
  readonly client?: ClientConfig;
  /** Who acts, unless a request says otherwise. */
  readonly actor?: ActorSource;
  /** Signs assertions with which agents ask for tokens of their own. */
  readonly workload?: WorkloadSource;
  /** Part of every cache key, where installations share a cache. */
  readonly installation?: string;
  /** Who asks, unless a request says otherwise. */
  readonly agent?: AgentRef;
  /** Default: `createTokenCache()`. */
  readonly cache?: TokenCache;
  /** Audit and telemetry; several with `combineHooks`. */
  readonly hooks?: Hooks;
  /** For requests to the token service. Default: the global one. Redirects are not followed. */
  readonly fetch?: ExchangeFetch;
  /** Default: WebCrypto. */
  readonly crypto?: ExchangeCrypto;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Milliseconds that never go back. */
  readonly monotonic?: () => number;
  /** In [0, 1). */
  readonly random?: () => number;
  /** Milliseconds for one try (default 5,000) and for everything (10,000). */
  readonly timeouts?: { readonly attempt?: number; readonly total?: number };
  /** Seconds before its end from which a cached token is not handed out any more. Default 15. */
  readonly margin?: number;
  /** Default true: what `forget` drops is revoked at the service, where that has the endpoint (RFC 7009). */
  readonly revoke?: boolean;
}

const OPTIONS = {
  tokenService: 0,
  client: 0,
  actor: 0,
  workload: 0,
  installation: 0,
  agent: 0,
  cache: 0,
  hooks: 0,
  fetch: 0,
  crypto: 0,
  now: 0,
  monotonic: 0,
  random: 0,
  timeouts: 0,
  margin: 0,
  revoke: 0,
} satisfies Record<keyof TokenExchangeOptions, 0>;

/** At most one exchange more for an entry that a tool server refuses, in this many milliseconds. */
const REFRESH_PAUSE = 60_000;

/** Seconds: what is handed out still has to arrive, at a server whose clock may be ahead. */
const MARGIN = 15;

/** Milliseconds for everything that one request takes. */
const TOTAL = 10_000;

/** What a call leaves out that stands for no person. */
const NOBODY = {
  subject: undefined,
  subjectHash: undefined,
  principal: undefined,
  loginSession: undefined,
  actor: undefined,
  actorIdentity: undefined,
  actorHash: undefined,
  session: undefined,
  delegate: undefined,
} satisfies Partial<Call>;

/**
 * The client of one token service. It may serve many agents, sessions and targets: all are in the cache key.
 * Nothing is sent before the first request. Throws `TokenExchangeError` (`invalid_request_configuration`).
 * @param options the token service, and what to use
 */
export function createTokenExchange(options: TokenExchangeOptions): TokenExchange {
  return new Exchange(options);
}

class Exchange implements TokenExchange {
  readonly delegation: Delegation;
  readonly #options: TokenExchangeOptions;
  readonly #service: TokenServiceConfig;
  readonly #clients: ReadonlyMap<string, ClientConfig>;
  readonly #negotiation: Negotiation;
  readonly #endpoint: TokenServiceEndpoint;
  readonly #hooks: Hooks;
  readonly #cache: TokenCache;
  readonly #keys: CallKeys;
  readonly #now: () => number;
  readonly #monotonic: () => number;
  readonly #flights = new SingleFlight<ExchangedToken>();
  readonly #forgotten = new Forgotten();
  readonly #refreshed: RecentTimes;
  readonly #revocations: Revocations;
  readonly #counts = { exchange: 0, delegation: 0, workload: 0, hits: 0, joins: 0, refused: 0 };

  constructor(options: TokenExchangeOptions) {
    const { tokenService } = options;
    const service = options.client === undefined ? tokenService : { ...tokenService, client: options.client };
    const [unknown] = unknownKeys(options, Object.keys(OPTIONS));
    if (unknown !== undefined) throw misconfigured(`${unknown.name}: ${unknown.message}`);
    checkConfiguration(service);
    const profile = profileOf(service.profile);
    const delegation = delegationOf(service);
    const fetcher: ExchangeFetch = options.fetch ?? globalThis.fetch;
    const maxLifetime = service.maxLifetime ?? 300;
    const timeout = options.timeouts?.attempt ?? 5000;
    const crypto = options.crypto ?? webCrypto;
    this.delegation = delegation;
    this.#options = options;
    this.#service = service;
    this.#clients = new Map(service.clientPerAgent?.map(({ agent, client }) => [agent, client]));
    this.#hooks = options.hooks ?? {};
    this.#cache = options.cache ?? createTokenCache();
    this.#now = options.now ?? Date.now;
    this.#monotonic = options.monotonic ?? (() => performance.now());
    this.#refreshed = new RecentTimes(REFRESH_PAUSE, this.#monotonic);
    this.#keys = new CallKeys(options.installation, service, delegation, maxLifetime);
    this.#endpoint = new TokenServiceEndpoint(
      service,
      profile,
      { fetch: fetcher, now: this.#now, timeout },
      { monotonic: this.#monotonic, random: options.random ?? Math.random },
    );
    this.#revocations = new Revocations(
      ({ token, client }, signal) => waitFor(this.#endpoint.revoke(token, client, signal), signal),
      { now: this.#now, monotonic: this.#monotonic, patience: this.#options.timeouts?.total ?? TOTAL },
    );
    this.#negotiation = {
      service,
      profile,
      delegation,
      maxLifetime,
      margin: options.margin ?? MARGIN,
      endpoint: this.#endpoint,
      inspect: createInspector(fetcher, timeout, this.#monotonic, crypto.verify),
      sha256: crypto.sha256,
      workload: options.workload,
      now: this.#now,
    };
  }

  checkTarget(target: Target): void {
    const problem = targetProblem(this.#service.profile, target);
    if (problem !== undefined) throw misconfigured(problem);
  }

  token(request: TokenRequest): Promise<ExchangedToken> {
    return this.#forPerson('exchange', request, request.target, undefined, this.#forgotten.mark);
  }

  async delegationToken(request: DelegationRequest): Promise<ExchangedToken> {
    const mark = this.#forgotten.mark;
    if (this.#negotiation.profile.delegationTokenType === undefined || this.delegation !== 'act') {
      throw misconfigured('this token service cannot issue tokens for child agents');
    }
    const { issuer } = await waitFor(this.#endpoint.metadata(), request.signal);
    const target = { audience: [issuer], resource: [], scopes: request.scopes ?? [] };
    return this.#forPerson('delegation', request, target, request.delegate, mark);
  }

  async #forPerson(
    kind: ExchangeKind,
    request: Omit<TokenRequest, 'target'>,
    target: Target,
    delegate: string | undefined,
    mark: number,
  ): Promise<ExchangedToken> {
    const { subject: source, signal } = request;
    const subject = await source.current(signal);
    const actor = this.delegation === 'act' ? (request.actor ?? this.#options.actor) : undefined;
    const agent = request.agent ?? this.#options.agent;
    return this.#answer({
      kind,
      target: prepareTarget(target),
      client: this.#clientOf(agent),
      subject,
      subjectHash: subject.token.digest ?? (await subject.token.sha256()),
      principal: source.principal,
      loginSession: source.loginSession,
      agent,
      actor,
      actorIdentity: actor?.identity,
      actorHash: actor?.fixedToken && (actor.fixedToken.digest ?? (await actor.fixedToken.sha256())),
      session: request.session,
      delegate,
      context: request.context,
      signal,
      refresh: request.refresh === true,
      rejected: request.rejected,
      mark,
    });
  }

  async workloadToken(request: WorkloadRequest): Promise<ExchangedToken> {
    const agent = request.agent === 'platform' ? undefined : request.agent;
    return this.#answer({
      ...NOBODY,
      kind: 'workload',
      target: prepareTarget(request.target),
      client: this.#clientOf(agent),
      agent,
      context: request.context,
      signal: request.signal,
      refresh: request.refresh === true,
      rejected: request.rejected,
      mark: this.#forgotten.mark,
    });
  }

  forget(filter: ForgetFilter, { revoke = true }: ForgetOptions = {}): number {
    const matches = (tags: Tags) => matchesFilter(filter, tags);
    if (Object.values(filter).every((field) => field === undefined)) return 0;
    const told = revoke && this.#options.revoke !== false && this.#endpoint.mayRevoke;
    this.#forgotten.record(filter);
    this.#flights.abortWhere(matches, !told, revoked);
    if (!told) return this.#cache.forget(filter);
    return this.#cache.forget(filter, ({ token, tags }) => this.#revoke(token.value, token.expiresAt, tags.client));
  }

  get stats(): ExchangeStats {
    const { exchange: exchanges, delegation: delegations, workload: workloads, ...rest } = this.#counts;
    const { requests, retries, breaker } = this.#endpoint;
    const { revoked, failed: revocationsFailed } = this.#revocations;
    const counts = { requests, exchanges, delegations, workloads, ...rest, retries, revoked, revocationsFailed };
    return { ...counts, cached: this.#cache.size, breaker };
  }

  #clientOf(agent: AgentRef | undefined): ClientConfig {
    if (this.#clients.size === 0) return this.#service.client;
    const own = agent && this.#clients.get(agent.name);
    if (own === undefined && agent !== undefined && this.delegation === 'azp') {
      throw misconfigured(`the agent ${agent.name} has no client of its own at the token service`);
    }
    return own ?? this.#service.client;
  }

  async #answer(call: Call): Promise<ExchangedToken> {
    call.signal?.throwIfAborted();
    this.#refuseForgotten(call);
    const key = this.#keys.of(call);
    const found = this.#cache.get(key);
    let entry = found instanceof Promise ? await found : found;
    if (found instanceof Promise) this.#refuseForgotten(call);
    if (call.refresh && this.#drop(key, entry, call.rejected)) entry = undefined;
    if (entry !== undefined) {
      if (entry.until > this.#monotonic() && !(subjectEnd(call) <= this.#now())) return this.#hit(call, entry);
      this.#cache.delete(key);
    }
    const began = this.#monotonic();
    const joined = this.#flights.join(key, call.signal);
    if (joined === undefined) {
      const token = await this.#flights.start(key, tagsOf(call, this.#service.name), call.signal, (signals) =>
        this.#fly(key, call, signals),
      );
      this.#refuseForgotten(call);
      return token;
    }
    const token = await joined;
    this.#refuseForgotten(call);
    this.#counts.joins += 1;
    const ms = this.#monotonic() - began;
    this.#tellHit(() => outcomeOf(call, this.#service.name, 'joined', ms, token));
    return { ...token, joined: true, ms };
  }

  #hit(call: Call, { token }: CacheEntry): ExchangedToken {
    this.#counts.hits += 1;
    if (this.#hooks.onHit) this.#tellHit(() => outcomeOf(call, this.#service.name, 'cached', 0, token));
    return token;
  }

  /** The request that all who wait for this key share. What arrives when nobody may have it any more is revoked. */
  async #fly(key: string, call: Call, signals: FlightSignals): Promise<ExchangedToken> {
    let grant: GrantedToken | undefined;
    try {
      return await this.#obtain(key, call, signals, (issued) => {
        grant = issued;
      });
    } finally {
      if (grant !== undefined && signals.forgotten.aborted && !signals.cut.aborted) {
        const life = grant.expiresIn ?? this.#negotiation.maxLifetime;
        this.#revoke(grant.token, this.#now() + life * 1000, call.client.id);
      }
    }
  }

  async #obtain(
    key: string,
    call: Call,
    { forgotten, cut }: FlightSignals,
    issued: (grant: GrantedToken) => void,
  ): Promise<ExchangedToken> {
    const began = this.#monotonic();
    const { name } = this.#service;
    let token: ExchangedToken;
    let entry: CacheEntry;
    try {
      await this.#ask(() => this.#hooks.beforeExchange?.(contextOf(call, name)));
      forgotten.throwIfAborted();
      const { token: fresh, cacheFor } = await this.#withDeadline(call, cut, (signal) =>
        negotiate(this.#negotiation, call, { signal, forgotten }, issued),
      );
      const ms = this.#monotonic() - began;
      token = { ...fresh, ms };
      entry = { token: { ...fresh, cached: true }, until: began + cacheFor, tags: tagsOf(call, name) };
    } catch (error) {
      this.#counts.refused += 1;
      const refusal = error instanceof TokenExchangeError ? error : foreign(error);
      const outcome = outcomeOf(call, name, 'refused', this.#monotonic() - began, undefined, refusal);
      await this.#ask(() => this.#hooks.onOutcome?.(outcome)).catch(() => {});
      throw refusal;
    }
    if (this.#hooks.onOutcome) {
      const outcome = outcomeOf(call, name, 'exchanged', token.ms, token);
      await this.#ask(() => this.#hooks.onOutcome?.(outcome));
    }
    forgotten.throwIfAborted();
    this.#counts[call.kind] += 1;
    if (entry.until > this.#monotonic()) this.#cache.set(key, entry);
    return token;
  }

  async #withDeadline<T>(call: Call, cut: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const over = new AbortController();
    const late = () => over.abort(new TokenExchangeError('sts_timeout', 'the token service took too long in all'));
    const timer = setTimeout(late, this.#options.timeouts?.total ?? TOTAL);
    const end = () => over.abort(cut.reason);
    cut.addEventListener('abort', end);
    try {
      if (subjectEnd(call) <= this.#now()) throw subjectExpired();
      return await waitFor(run(over.signal), over.signal);
    } finally {
      clearTimeout(timer);
      cut.removeEventListener('abort', end);
    }
  }

  /** A tool server refused the token: forget it, but not for every server that keeps saying so. */
  #drop(key: string, entry: CacheEntry | undefined, rejected: string | undefined): boolean {
    if (this.#flights.has(key) || (entry !== undefined && rejected !== undefined && entry.token.hash !== rejected))
      return false;
    if (this.#refreshed.take(key)) {
      this.#cache.delete(key);
      return true;
    }
    if (entry !== undefined) return false;
    throw new TokenExchangeError('target_unauthorized', 'the tool server refuses the tokens that are made for it');
  }

  /** A client that is configured no longer cannot revoke what it obtained. */
  #revoke(token: SecretValue, expiresAt: number, clientId: string): void {
    const client = [this.#service.client, ...this.#clients.values()].find(({ id }) => id === clientId);
    if (client !== undefined) this.#revocations.add({ token, expiresAt, client });
    else this.#revocations.failed += 1;
  }

  #refuseForgotten(call: Call): void {
    if (this.#forgotten.mark === call.mark) return;
    if (this.#forgotten.since(call.mark, tagsOf(call, this.#service.name))) throw revoked();
  }

  #tellHit(outcome: () => ExchangeOutcome): void {
    if (!this.#hooks.onHit) return;
    try {
      this.#hooks.onHit(outcome());
    } catch (error) {
      throw withheld(error);
    }
  }

  async #ask(hook: () => Promise<void> | void): Promise<void> {
    try {
      await hook();
    } catch (error) {
      throw withheld(error);
    }
  }
}

function subjectEnd(call: Call): number {
  return call.subject?.expiresAt ?? Number.POSITIVE_INFINITY;
}

function withheld(cause: unknown): TokenExchangeError {
  return new TokenExchangeError('withheld', 'a hook refused, so the token is withheld', { cause });
}

function revoked(): TokenExchangeError {
  return new TokenExchangeError('revoked', 'the session, login, agent or target ended while the token was asked for');
}

/** From the caller's own sources: an actor token, an assertion or a secret that could not be had. */
function foreign(cause: unknown): TokenExchangeError {
  const message = 'a credential for the token service could not be had';
  return new TokenExchangeError('invalid_request_configuration', message, { cause });
}
