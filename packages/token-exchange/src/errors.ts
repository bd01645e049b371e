import { ACT_BY, type TokenExchangeErrorCode } from './error-codes.ts';
import type { ServiceError, TokenClaims } from './types.ts';

/** What else is known of a failure. */
export interface TokenExchangeErrorDetails {
  /** `claims` of `interaction_required`, to be passed on to the sign-in. */
  readonly claimsChallenge?: string | undefined;
  /** What the token service said. */
  readonly serviceError?: ServiceError | undefined;
  /** The name of the check that the answer failed. */
  readonly deviation?: string | undefined;
  /** Verified claims of an answer that was refused. */
  readonly claims?: TokenClaims | undefined;
  /** SHA-256 of a token that was refused. */
  readonly hash?: string | undefined;
  /** Scopes that the tool server asked for. */
  readonly scopes?: readonly string[] | undefined;
  /** Milliseconds after which another attempt makes sense. */
  readonly retryAfter?: number | undefined;
  /** What failed below; it holds no token either. */
  readonly cause?: unknown;
}

/** The one error of this library. No message, field or cause of it holds a token, secret or assertion. */
export class TokenExchangeError extends Error {
  /** Always the same. */
  override readonly name = 'TokenExchangeError';
  /** What went wrong. */
  readonly code: TokenExchangeErrorCode;
  /** Who can do something about it. */
  readonly actBy: (typeof ACT_BY)[TokenExchangeErrorCode];
  /** `claims` of `interaction_required`, to be passed on to the sign-in. */
  declare readonly claimsChallenge: string | undefined;
  /** What the token service said (RFC 6749 section 5.2). */
  declare readonly serviceError: ServiceError | undefined;
  /** The name of the check that the answer failed. */
  declare readonly deviation: string | undefined;
  /** Verified claims of an answer that was refused. */
  declare readonly claims: TokenClaims | undefined;
  /** SHA-256 of a token that was refused, base64url. */
  declare readonly hash: string | undefined;
  /** Scopes that the tool server asked for. */
  declare readonly scopes: readonly string[] | undefined;
  /** Milliseconds after which another attempt makes sense. */
  declare readonly retryAfter: number | undefined;

  /**
   * For sources, hooks and caches that refuse in the same words.
   * @param code what went wrong
   * @param message for people; without a secret
   * @param details the other fields
   */
  constructor(code: TokenExchangeErrorCode, message: string, details: TokenExchangeErrorDetails = {}) {
    const { cause, ...known } = details;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.actBy = ACT_BY[code];
    Object.assign(this, known);
  }
}

export function misconfigured(message: string): TokenExchangeError {
  return new TokenExchangeError('invalid_request_configuration', message);
}

export function untrusted(message: string, details: TokenExchangeErrorDetails = {}): TokenExchangeError {
  return new TokenExchangeError('untrusted_response', message, details);
}
