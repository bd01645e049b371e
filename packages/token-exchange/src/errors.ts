import type { ServiceError, TokenClaims } from './types.ts';

/** Each code, and who can do something about it. */
export const ACT_BY = {
  /** The token service does not know the audience or resource, or does not allow it here. */
  invalid_target: 'administrator',
  invalid_scope: 'administrator',
  /** Client authentication failed. */
  invalid_client: 'administrator',
  /** The client may not do this. */
  unauthorized_client: 'administrator',
  /** This side is set up in a way that cannot be sent. */
  invalid_request_configuration: 'administrator',
  /** A hook refused, so the token was not handed out. */
  withheld: 'administrator',
  /** The tool server refuses a token that was made for it. */
  target_unauthorized: 'administrator',
  /** The tool server asks for scopes beyond what is declared for it. */
  insufficient_scope: 'administrator',
  /** The subject token is expired, revoked or not accepted. */
  subject_rejected: 'user',
  /** The user has to be asked something first; see `claimsChallenge`. */
  interaction_required: 'user',
  /** There is no token of a person to exchange. */
  user_token_required: 'user',
  /** The session, login, agent or target ended while the request was under way. */
  revoked: 'user',
  sts_unavailable: 'tokenService',
  sts_timeout: 'tokenService',
  /** The answer says something else than what was asked. */
  untrusted_response: 'tokenService',
} as const;

export type TokenExchangeErrorCode = keyof typeof ACT_BY;

export interface TokenExchangeErrorDetails {
  readonly claimsChallenge?: string | undefined;
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
  readonly cause?: unknown;
}

/** The one error of this library. No message, field or cause of it holds a token, secret or assertion. */
export class TokenExchangeError extends Error {
  override readonly name = 'TokenExchangeError';
  readonly code: TokenExchangeErrorCode;
  readonly actBy: (typeof ACT_BY)[TokenExchangeErrorCode];
  readonly claimsChallenge: string | undefined;
  readonly serviceError: ServiceError | undefined;
  readonly deviation: string | undefined;
  readonly claims: TokenClaims | undefined;
  readonly hash: string | undefined;
  readonly scopes: readonly string[] | undefined;
  readonly retryAfter: number | undefined;

  constructor(code: TokenExchangeErrorCode, message: string, details: TokenExchangeErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.actBy = ACT_BY[code];
    this.claimsChallenge = details.claimsChallenge;
    this.serviceError = details.serviceError;
    this.deviation = details.deviation;
    this.claims = details.claims;
    this.hash = details.hash;
    this.scopes = details.scopes;
    this.retryAfter = details.retryAfter;
  }
}

export function misconfigured(message: string): TokenExchangeError {
  return new TokenExchangeError('invalid_request_configuration', message);
}

export function untrusted(message: string, details: TokenExchangeErrorDetails = {}): TokenExchangeError {
  return new TokenExchangeError('untrusted_response', message, details);
}
