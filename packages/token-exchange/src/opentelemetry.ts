/**
 * Spans and metrics of exchanges, for OpenTelemetry. A tracer and a meter of `@opentelemetry/api` are handed in, so
 * that nothing has to be installed where they are not wanted. Nothing here sees a token: hooks are given none. What
 * goes wrong here never withholds one.
 * @module
 */
import type { ExchangeOutcome, Hooks } from './types.ts';

type Attributes = Record<string, string | number | boolean | string[]>;

/** What is used of a `Tracer` of `@opentelemetry/api`. Times in milliseconds since the epoch. */
export interface TracerLike {
  /**
   * Begins a span within the one that is active.
   * @param name what it is called
   * @param options its kind, its beginning, what is known
   */
  startSpan(name: string, options: { kind: number; startTime: number; attributes: Attributes }): SpanLike;
}

interface SpanLike {
  setStatus(status: { code: number; message?: string }): unknown;
  end(endTime: number): void;
}

/** What is used of a `Meter` of `@opentelemetry/api`. */
export interface MeterLike {
  /**
   * An instrument for durations.
   * @param name of the metric
   * @param options UCUM unit, and what is measured
   */
  createHistogram(
    name: string,
    options: { unit: string; description: string },
  ): { record(value: number, attributes: Attributes): void };
  /**
   * An instrument for counts.
   * @param name of the metric
   * @param options UCUM unit, and what is counted
   */
  createCounter(
    name: string,
    options: { unit: string; description: string },
  ): { add(value: number, attributes: Attributes): void };
}

/** Where spans and metrics go. */
export interface OpenTelemetryOptions {
  /** Left out: no spans. */
  readonly tracer?: TracerLike;
  /** Left out: no metrics. */
  readonly meter?: MeterLike;
  /** On every span and measurement, such as the profile. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Whether an answer from the cache is a span too. Default true; it is counted in any case. */
  readonly hits?: boolean;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** `SpanKind.CLIENT` and `SpanStatusCode.ERROR`. */
const CLIENT = 2;
const ERROR = 2;

/**
 * One span `token exchange SERVER` per outcome, within the caller's, with everything that is known of it: what was
 * asked and granted, for whom, who acts, result, error and its service's words, `jti` and hash, verified claims (as
 * JSON). Metrics `onbehalf.token_exchange.duration` (seconds; not of hits) and `onbehalf.token_exchange.outcomes`, by
 * token service, target, kind, result and code. Use `combineHooks` where there are others.
 * @param options tracer, meter, and what to add
 */
export function openTelemetryHooks(options: OpenTelemetryOptions): Hooks {
  const { tracer, meter, attributes: constant = {}, hits = true, now = Date.now } = options;
  const duration = meter?.createHistogram('onbehalf.token_exchange.duration', {
    unit: 's',
    description: 'Time that a caller waited for the token service',
  });
  const outcomes = meter?.createCounter('onbehalf.token_exchange.outcomes', {
    unit: '{outcome}',
    description: 'Tokens asked for, by what became of it',
  });

  function measure(outcome: ExchangeOutcome): void {
    const attributes = { ...constant, ...dimensionsOf(outcome) };
    outcomes?.add(1, attributes);
    if (outcome.result === 'exchanged' || outcome.result === 'refused') duration?.record(outcome.ms / 1000, attributes);
  }

  function trace(outcome: ExchangeOutcome): void {
    const end = now();
    const span = tracer?.startSpan(`token exchange ${outcome.target.name ?? ''}`.trimEnd(), {
      kind: CLIENT,
      startTime: end - outcome.ms,
      attributes: { ...constant, ...dimensionsOf(outcome), ...detailsOf(outcome) },
    });
    if (outcome.code !== undefined) span?.setStatus({ code: ERROR, message: outcome.code });
    span?.end(end);
  }

  return {
    onOutcome(outcome) {
      quietly(() => measure(outcome));
      quietly(() => trace(outcome));
    },
    onHit(outcome) {
      quietly(() => measure(outcome));
      if (hits || outcome.result === 'joined') quietly(() => trace(outcome));
    },
  };
}

/** Few values each: what a metric may be split by. */
function dimensionsOf(outcome: ExchangeOutcome): Attributes {
  return given({
    'onbehalf.token_service': outcome.tokenService,
    'onbehalf.target': outcome.target.name,
    'onbehalf.exchange.kind': outcome.kind,
    'onbehalf.exchange.result': outcome.result,
    'error.type': outcome.code,
  });
}

function detailsOf(outcome: ExchangeOutcome): Attributes {
  const { requested, granted, principal, agent, actors, serviceError } = outcome;
  return given({
    ...Object.fromEntries(Object.entries(outcome.context).map(([name, value]) => [`onbehalf.context.${name}`, value])),
    'onbehalf.requested.audience': [...requested.audience],
    'onbehalf.requested.resource': [...requested.resource],
    'onbehalf.requested.scopes': [...requested.scope],
    'onbehalf.granted.audience': granted && [...granted.audience],
    'onbehalf.granted.scope': granted?.scope,
    'onbehalf.granted.claims': granted?.claims && JSON.stringify(granted.claims),
    'onbehalf.subject.issuer': principal?.issuer,
    'onbehalf.subject.id': principal?.subject,
    'onbehalf.agent.name': agent?.name,
    'onbehalf.agent.uid': agent?.uid,
    'onbehalf.actors': actors.length > 0 ? [...actors] : undefined,
    'onbehalf.session': outcome.session,
    'onbehalf.login_session': outcome.loginSession,
    'onbehalf.exchange.verification': outcome.verification,
    'onbehalf.exchange.message': outcome.message,
    'onbehalf.exchange.ms': outcome.ms,
    'onbehalf.service_error.status': serviceError?.status,
    'onbehalf.service_error.error': serviceError?.error,
    'onbehalf.service_error.description': serviceError?.description,
    'onbehalf.token.jti': outcome.jti,
    'onbehalf.token.hash': outcome.hash,
    'onbehalf.token.expires_at':
      outcome.expiresAt === undefined ? undefined : new Date(outcome.expiresAt).toISOString(),
  });
}

function given(values: Record<string, Attributes[string] | undefined>): Attributes {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, Attributes[string]] => entry[1] !== undefined),
  );
}

/** A telemetry back end that fails is no reason to withhold a token. */
function quietly(report: () => void): void {
  try {
    report();
  } catch {
    // There is nobody to tell: this was the telling.
  }
}
