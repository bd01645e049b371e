/** Each code, and who can do something about it. */
export const ACT_BY = {
  /** The token service does not know the audience or resource, or does not allow it here. */
  invalid_target: 'administrator',
  /** The token service does not know a scope, or does not grant it. */
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
  /** The token service failed, could not be reached, or asks for a pause; the retries are used up. */
  sts_unavailable: 'tokenService',
  /** The token service did not answer in time. */
  sts_timeout: 'tokenService',
  /** The answer says something else than what was asked. */
  untrusted_response: 'tokenService',
} as const;

/** Stable; the message is for people. */
export type TokenExchangeErrorCode = keyof typeof ACT_BY;
