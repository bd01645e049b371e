import { CodedError } from '@onbehalf/resources';

export type PeopleErrorCode =
  | 'user_exists'
  | 'user_not_found'
  | 'invalid_user' // subject, password or role cannot be used
  | 'role_not_local'; // roles of another issuer's people come with their tokens

export class PeopleError extends CodedError<PeopleErrorCode> {}
