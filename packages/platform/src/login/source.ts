import type { Principal } from '@onbehalf/access';
import type { PrincipalName } from '../people/index.ts';
import type { LoginTokens, UnjudgedAnswer } from './session-rows.ts';

/** What is kept, sealed in a cookie, from the request to its answer. */
export interface BegunSignIn {
  state: string;
  /** OpenID Connect Core 1.0 section 3.1.2.1. */
  nonce: string;
  /** RFC 7636 section 4.1. */
  verifier: string;
}

/** The next tokens and whom they name, or why there are none. */
export type Renewed =
  | { tokens: LoginTokens; who: PrincipalName }
  /** A definite no of the issuer (RFC 6749 section 5.2, `invalid_grant`), or there is nothing to ask with. */
  | { failed: 'refused' }
  /** An answer whose two tokens speak of two people. */
  | { failed: 'two_people'; refreshToken?: string }
  /** Nothing for now. With an answer the refresh token before it is spent: what is in the answer takes its place. */
  | { failed: 'unavailable'; unjudged?: UnjudgedAnswer; refreshToken?: string };

export interface SignedIn {
  tokens: LoginTokens;
  who: PrincipalName;
  sid: string | undefined;
}

/** Where people sign in to the console: the embedded issuer, or another one that is trusted with it. */
export interface LoginSource {
  /** Of the TrustedIssuer. */
  readonly name: string;
  readonly issuer: string;
  /** The path that the browser comes back to. One for each issuer, so that none can answer for another (RFC 9700 section 4.4.2.2). */
  readonly callback: string;
  /** The address of the authorization request. @throws LoginError `login_unavailable` */
  authorize(begun: BegunSignIn): Promise<string>;
  /** @throws LoginError `login_failed`, `login_refused`, `login_unavailable`, `login_unusable` */
  redeem(answer: URL, begun: BegunSignIn): Promise<SignedIn>;
  renew(tokens: LoginTokens): Promise<Renewed>;
  /** Who they stand for at this moment. @throws AccessError */
  verify(tokens: LoginTokens): Promise<Principal>;
  /** Tells the issuer that this login is over. Never throws. */
  end(tokens: LoginTokens): Promise<void>;
}
