import { SecretValue } from '@onbehalf/secret-value';
import { RetryBudget, retryDelay, sleep } from './backoff.ts';
import { Breaker } from './breaker.ts';
import { readClaims } from './claims.ts';
import { authenticateClient } from './client-auth.ts';
import { TokenExchangeError, untrusted } from './errors.ts';
import { objectOf } from './json.ts';
import { configuredMetadata, discover, type ServiceMetadata } from './metadata.ts';
import type { FormField, Profile } from './profiles/profile.ts';
import { type GrantedToken, parseGrant, refusal } from './response.ts';
import { type Answer, busy, send, type Transport } from './transport.ts';
import type { ClientConfig, ExchangeKind, TokenClaims, TokenServiceConfig } from './types.ts';

const MAX_TRIES = 3;
const METADATA_LIFE = 10 * 60_000;

export interface Clock {
  readonly monotonic: () => number;
  readonly random: () => number;
}

/** One token service on the wire: metadata, authenticated form posts, retries and the breaker. */
export class TokenServiceEndpoint {
  requests = 0;
  retries = 0;
  readonly #service: TokenServiceConfig;
  readonly #profile: Profile;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #breaker: Breaker;
  readonly #budget = new RetryBudget();
  #verified: ServiceMetadata | undefined;
  /** The service said that tokens of this kind cannot be revoked. */
  #irrevocable = false;
  #metadata: { value: Promise<ServiceMetadata>; until: number } | undefined;

  constructor(service: TokenServiceConfig, profile: Profile, transport: Transport, clock: Clock) {
    this.#service = service;
    this.#profile = profile;
    this.#transport = transport;
    this.#clock = clock;
    this.#breaker = new Breaker(clock.monotonic);
    const configured = configuredMetadata(service);
    if (configured?.jwksUri === undefined || service.introspect === true) return;
    // Nothing is left to ask for, so no document is fetched.
    this.#verified = configured;
    this.#metadata = { value: Promise.resolve(configured), until: Number.POSITIVE_INFINITY };
  }

  /** False where it is known that there is nobody to tell. */
  get mayRevoke(): boolean {
    return !this.#irrevocable && (this.#verified === undefined || this.#verified.revocationEndpoint !== undefined);
  }

  get breaker(): 'closed' | 'open' {
    return this.#breaker.open ? 'open' : 'closed';
  }

  /**
   * Shared by all who ask at once, so no single caller's signal ends it. A failure is not remembered; while the
   * document cannot be fetched again, the one that was verified last is used.
   */
  metadata(): Promise<ServiceMetadata> {
    const now = this.#clock.monotonic();
    if (this.#metadata !== undefined && now < this.#metadata.until) return this.#metadata.value;
    const signal = new AbortController().signal;
    const headers = { accept: 'application/json' };
    const get = (url: string, last: boolean) =>
      this.#persist(() => send(this.#transport, url, { headers }, signal), signal, last ? 500 : 600);
    const value = discover(this.#service, get)
      .then((found) => {
        this.#verified = found;
        return found;
      })
      .catch((error: unknown) => {
        if (this.#verified === undefined || !isPassing(error)) throw error;
        return this.#verified;
      });
    this.#metadata = { value, until: now + METADATA_LIFE };
    value.catch(() => {
      if (this.#metadata?.value === value) this.#metadata = undefined;
    });
    return value;
  }

  /** What the token endpoint issues, not yet looked into, or a `TokenExchangeError`. */
  async grant(
    fields: readonly FormField[],
    client: ClientConfig,
    kind: ExchangeKind,
    signal: AbortSignal,
    forgotten: AbortSignal,
  ): Promise<GrantedToken> {
    const { issuer, tokenEndpoint } = await this.metadata();
    const sent = fields.flatMap(([, value]) => (value instanceof SecretValue ? [value] : []));
    this.#budget.earn();
    const answer = await this.#persist(async () => {
      const { init, secrets } = await this.#form(fields, client, { issuer, endpoint: tokenEndpoint }, signal);
      sent.push(...secrets);
      forgotten.throwIfAborted();
      this.requests += 1;
      return send(this.#transport, tokenEndpoint, init, signal);
    }, signal);
    if (answer.status !== 200) throw refusal(answer, this.#profile, kind, sent);
    return parseGrant(answer, this.#profile, kind, sent);
  }

  /** RFC 7662. */
  async introspect(token: SecretValue, client: ClientConfig, signal: AbortSignal): Promise<TokenClaims> {
    const { issuer, introspectionEndpoint } = await this.metadata();
    if (introspectionEndpoint === undefined) {
      throw untrusted('the token is opaque and the service has no introspection', { deviation: 'opaque' });
    }
    const answer = await this.#persist(async () => {
      const { init } = await this.#form(
        [['token', token]],
        client,
        { issuer, endpoint: introspectionEndpoint },
        signal,
      );
      return send(this.#transport, introspectionEndpoint, init, signal);
    }, signal);
    const body = answer.status === 200 ? objectOf(answer.json) : undefined;
    if (body?.active !== true) {
      throw untrusted('the token service does not know the token it issued', { deviation: 'inactive' });
    }
    return readClaims(body);
  }

  /** RFC 7009, one try. False where the service has no such endpoint, or refuses tokens of this kind (section 2.2.1). */
  async revoke(token: SecretValue, client: ClientConfig, signal: AbortSignal): Promise<boolean> {
    const { issuer, revocationEndpoint } = this.#verified ?? (await this.metadata());
    if (revocationEndpoint === undefined || this.#irrevocable) return false;
    if (this.#breaker.open) throw new TokenExchangeError('sts_unavailable', 'the token service is failing');
    const { init } = await this.#form(
      [
        ['token', token],
        ['token_type_hint', 'access_token'],
      ],
      client,
      { issuer, endpoint: revocationEndpoint },
      signal,
    );
    const answer = await send(this.#transport, revocationEndpoint, init, signal);
    if (answer.status === 200) return true;
    if (objectOf(answer.json)?.error === 'unsupported_token_type') this.#irrevocable = true;
    throw new TokenExchangeError('sts_unavailable', `the token service did not revoke (status ${answer.status})`);
  }

  async #form(
    fields: readonly FormField[],
    client: ClientConfig,
    at: { readonly issuer: string; readonly endpoint: string },
    signal: AbortSignal,
  ) {
    const body = new URLSearchParams();
    for (const [name, value] of fields) body.append(name, value instanceof SecretValue ? value.reveal() : value);
    const added = new Headers();
    const secrets = await authenticateClient(client, at, body, added, signal);
    const headers = {
      ...Object.fromEntries(added),
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
    };
    return { init: { method: 'POST', headers, body: body.toString() }, secrets };
  }

  /** Retries what may pass: the network, 429, and statuses of `failing` and more. Everything else is an answer. */
  async #persist(attempt: () => Promise<Answer>, signal: AbortSignal, failing = 500): Promise<Answer> {
    for (let tries = 1; ; tries += 1) {
      const rest = this.#breaker.admit();
      if (rest > 0) throw resting(rest);
      let failure: TokenExchangeError;
      try {
        const answer = await attempt();
        if (answer.status !== 429 && answer.status < failing) {
          if (answer.status < 500) this.#breaker.success();
          else this.#breaker.release();
          return answer;
        }
        failure = busy(answer);
      } catch (error) {
        if (!isPassing(error)) {
          this.#breaker.release();
          throw error;
        }
        failure = error;
      }
      if (failure.serviceError?.status !== 429) this.#breaker.failure();
      else this.#breaker.release();
      if (failure.retryAfter !== undefined) this.#breaker.pause(failure.retryAfter);
      if (tries === MAX_TRIES || (failure.retryAfter ?? 0) > 5000 || !this.#budget.spend()) throw failure;
      this.retries += 1;
      await sleep(
        failure.retryAfter === undefined ? retryDelay(tries, this.#clock.random) : failure.retryAfter + 2,
        signal,
      );
    }
  }
}

function isPassing(error: unknown): error is TokenExchangeError {
  return error instanceof TokenExchangeError && (error.code === 'sts_unavailable' || error.code === 'sts_timeout');
}

function resting(retryAfter: number): TokenExchangeError {
  return new TokenExchangeError('sts_unavailable', 'the token service is failing and is left alone for a moment', {
    retryAfter,
  });
}
