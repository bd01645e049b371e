import { SecretValue } from '@onbehalf/secret-value';
import { Breaker, RetryBudget, retryDelay, sleep } from './backoff.ts';
import { readClaims } from './claims.ts';
import { authenticate } from './client-auth.ts';
import { TokenExchangeError, untrusted } from './errors.ts';
import { discover, objectOf, type ServiceMetadata } from './metadata.ts';
import type { FormField, Profile } from './profiles/profile.ts';
import { refusal } from './response.ts';
import { type Answer, secureUrl, send, type Transport } from './transport.ts';
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
  #metadata: { value: Promise<ServiceMetadata>; until: number } | undefined;

  constructor(service: TokenServiceConfig, profile: Profile, transport: Transport, clock: Clock) {
    this.#service = service;
    this.#profile = profile;
    this.#transport = transport;
    this.#clock = clock;
    this.#breaker = new Breaker(clock.monotonic);
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
    const { issuer, endpoint: tokenEndpoint, jwksUri, introspect } = this.#service;
    const complete =
      issuer !== undefined && tokenEndpoint !== undefined && jwksUri !== undefined && introspect !== true;
    const signal = new AbortController().signal;
    const headers = { accept: 'application/json' };
    const value = complete
      ? Promise.resolve({ issuer, tokenEndpoint, jwksUri, introspectionEndpoint: undefined })
      : discover(this.#service, (url) => this.#persist(() => send(this.#transport, url, { headers }, signal), signal))
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

  /** A 200 answer of the token endpoint, or a `TokenExchangeError`. */
  async grant(
    fields: readonly FormField[],
    client: ClientConfig,
    kind: ExchangeKind,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { issuer, tokenEndpoint } = await this.metadata();
    const sent = fields.flatMap(([, value]) => (value instanceof SecretValue ? [value] : []));
    this.#budget.earn();
    const answer = await this.#persist(async () => {
      const { init, secrets } = await this.#form(fields, client, issuer, signal);
      sent.push(...secrets);
      this.requests += 1;
      return send(this.#transport, tokenEndpoint, init, signal);
    }, signal);
    if (answer.status !== 200) throw refusal(answer, this.#profile, kind, sent);
    return answer;
  }

  /** RFC 7662. */
  async introspect(token: SecretValue, client: ClientConfig, signal: AbortSignal): Promise<TokenClaims> {
    const { issuer, introspectionEndpoint } = await this.metadata();
    if (introspectionEndpoint === undefined) {
      throw untrusted('the token is opaque and the service has no introspection', { deviation: 'opaque' });
    }
    const answer = await this.#persist(async () => {
      const { init } = await this.#form([['token', token]], client, issuer, signal);
      return send(this.#transport, introspectionEndpoint, init, signal);
    }, signal);
    const body = answer.status === 200 ? objectOf(answer.json) : undefined;
    if (body?.active !== true) {
      throw untrusted('the token service does not know the token it issued', { deviation: 'inactive' });
    }
    return readClaims(body);
  }

  async #form(fields: readonly FormField[], client: ClientConfig, issuer: string, signal: AbortSignal) {
    const body = new URLSearchParams();
    for (const [name, value] of fields) body.append(name, value instanceof SecretValue ? value.reveal() : value);
    const headers = new Headers({ accept: 'application/json' });
    const secrets = await authenticate(client, issuer, body, headers, signal);
    headers.set('content-type', 'application/x-www-form-urlencoded');
    return { init: { method: 'POST', headers, body: body.toString() } satisfies RequestInit, secrets };
  }

  /** Retries what may pass: the network, 429 and 5xx. Everything else is an answer. */
  async #persist(attempt: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    for (let tries = 1; ; tries += 1) {
      this.#breaker.admit();
      let failure: TokenExchangeError;
      try {
        const answer = await attempt();
        if (answer.status !== 429 && answer.status < 500) {
          this.#breaker.success();
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

/** Checks what can be checked before the first request. */
export function checkServiceConfig(service: TokenServiceConfig): void {
  if (service.issuer === undefined && service.wellKnownUri === undefined) {
    throw new TokenExchangeError('invalid_request_configuration', 'the token service needs an issuer or wellKnownUri');
  }
  for (const name of ['issuer', 'wellKnownUri', 'endpoint', 'jwksUri'] as const) {
    const value = service[name];
    if (value !== undefined) secureUrl(value, `the ${name}`);
  }
}

function busy(answer: Answer): TokenExchangeError {
  const error = answer.status === 429 ? 'the token service asks for a pause' : 'the token service failed';
  return new TokenExchangeError('sts_unavailable', `${error} (status ${answer.status})`, {
    serviceError: { status: answer.status, error: undefined, description: undefined },
    retryAfter: answer.retryAfter,
  });
}

function isPassing(error: unknown): error is TokenExchangeError {
  return error instanceof TokenExchangeError && (error.code === 'sts_unavailable' || error.code === 'sts_timeout');
}
