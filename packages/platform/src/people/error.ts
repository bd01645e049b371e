export type IdentityErrorCode =
  | 'user_exists'
  | 'user_not_found'
  | 'invalid_user' // subject, password or role cannot be used
  | 'role_not_local' // roles of another issuer's people come with their tokens
  | 'client_exists'
  | 'invalid_client' // id, grants or keys cannot be used
  | 'login_failed' // the sign-in cannot be completed; begin again
  | 'login_refused' // the person, or their issuer, said no
  | 'login_unavailable' // the issuer cannot be reached, or refuses our client
  | 'login_unusable' // its tokens are not accepted here; an administrator must act
  | 'not_ours'; // a request to another server through the in-process fetch

/** No message or cause of it holds a token, password or assertion. */
export class IdentityError extends Error {
  override readonly name = 'IdentityError';
  readonly code: IdentityErrorCode;

  constructor(code: IdentityErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
  }
}
