import { CodedError } from '@onbehalf/resources';

export type LoginErrorCode =
  | 'login_failed' // the sign-in cannot be completed; begin again
  | 'login_refused' // the person, or their issuer, said no
  | 'login_unavailable' // the issuer cannot be reached, or refuses our client
  | 'login_unusable'; // its tokens are not accepted here; an administrator must act

/** No message or cause of it holds a token or an assertion. */
export class LoginError extends CodedError<LoginErrorCode> {}
