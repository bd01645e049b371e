import { CodedError } from '@onbehalf/resources';

export type IssuerErrorCode =
  | 'user_not_found' // there is nobody whom a login link could sign in
  | 'client_exists'
  | 'invalid_client' // id, grants or keys cannot be used
  | 'not_ours'; // a request to another server through the in-process fetch

/** No message or cause of it holds a token, password or assertion. */
export class IssuerError extends CodedError<IssuerErrorCode> {}
