import { CodedError } from '@onbehalf/resources';
import { LimitError } from '../../limits/index.ts';
import { replayOf } from '../../people/index.ts';
import { json, type WireResponse } from '../wire.ts';

/** RFC 6749 section 5.2, RFC 8707 section 2. */
export type TokenErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'slow_down'
  | 'server_error';

const STATUS: Partial<Record<TokenErrorCode, number>> = { invalid_client: 401, slow_down: 429, server_error: 500 };

/** A refusal. `check` names the rule that failed, for the audit; the client reads `error` and `says`. */
export class TokenError extends CodedError<TokenErrorCode> {
  readonly check: string;
  /** Seconds. */
  readonly retryAfter: number | undefined;

  constructor(code: TokenErrorCode, check: string, says: string, retryAfter?: number) {
    super(code, says);
    this.check = check;
    this.retryAfter = retryAfter;
  }
}

/** One rule of the token service. */
export interface Check<Facts> {
  /** In the audit. */
  name: string;
  error: TokenErrorCode;
  /** Shown to the client: what is wrong, nothing of how it is looked up. */
  says: string;
  passes(facts: Facts): boolean;
}

/** @throws TokenError of the first rule that fails */
export function pass<Facts>(checks: readonly Check<Facts>[], facts: Facts): void {
  const failed = checks.find((check) => !check.passes(facts));
  if (failed !== undefined) throw new TokenError(failed.error, failed.name, failed.says);
}

/** A unit that failed because one of its assertions was used before is a refusal; anything else is what it is. */
export function orReplayed(error: unknown): unknown {
  const code = replayOf(error);
  return code === undefined ? error : new TokenError(code, 'assertion_once', 'an assertion was used before');
}

/** Over a budget: the client waits. Anything else is what it is. */
export function orSlower(error: unknown): unknown {
  if (!(error instanceof LimitError)) return error;
  return new TokenError('slow_down', 'rate', error.message, error.retryAfter);
}

export function errorAnswer({ code: error, message, retryAfter }: TokenError, basic: boolean): WireResponse {
  return json(
    STATUS[error] ?? 400,
    { error, error_description: message },
    {
      // RFC 6749 section 5.2: a client that tried the Authorization header is told which scheme is understood.
      ...(error === 'invalid_client' && basic && { 'www-authenticate': 'Basic realm="onbehalf"' }),
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
    },
  );
}
