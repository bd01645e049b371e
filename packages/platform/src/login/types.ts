import type { Principal } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import type { SubjectSource } from '@onbehalf/token-exchange';

/** Our client at an issuer, and what its sign-in asks for. */
export interface LoginIssuer {
  /** Of the TrustedIssuer. */
  name: string;
  issuer: string;
  clientId: string;
  /**
   * Adds our client's authentication to a request of `endpoint`: fields of the form, or headers. The credential is
   * opened for this use. @throws VaultError
   */
  authenticate(endpoint: string, form: URLSearchParams, headers: Headers, signal: AbortSignal): Promise<void>;
  scopes: readonly string[];
  resource: readonly string[];
  audience: readonly string[];
}

export interface LoginSession {
  principal: Principal;
  subject: SubjectSource;
  /** What unsafe requests must repeat in `x-onbehalf-csrf`. */
  csrf: string;
  idHash: string;
}

/** What decides whether a login's access token can be a subject at a token service (RFC 8693 section 2.1). */
export interface SubjectTokenFacts {
  /** `aud`; undefined of an opaque one, which only its issuer can read. */
  audience: readonly string[] | undefined;
  /** Milliseconds, from when it was issued. */
  lifetime: number;
}

export interface CompletedSignIn {
  setCookie: string[];
  location: string;
  /** Name of the TrustedIssuer. None where the command line was sent a refusal. */
  issuer?: string;
  subjectToken?: SubjectTokenFacts;
}

/** The console's logins: tokens stay here, the browser holds a cookie that means nothing elsewhere. */
export interface LoginSessions {
  readonly cookieName: string;
  /** The issuers at which somebody can sign in; the embedded one (`onbehalf`) only where it has people. */
  issuers(): readonly { name: string; issuer: string }[];
  /**
   * An authorization request at the issuer of that name, by default the embedded one. `returnTo` is a path of ours,
   * `/ui/` by default. @throws LoginError `login_unavailable`
   */
  begin(returnTo?: string, issuer?: string): Promise<{ location: string; setCookie: string }>;
  /** The same for the command line, by its query (RFC 6749 section 4.1.1) with the name of the issuer in `issuer`. */
  beginNative(query: URLSearchParams): Promise<{ location: string; setCookie: string }>;
  /**
   * `cookies`: the request's Cookie header. @throws LoginError `login_failed`, `login_refused`,
   * `login_unavailable`, `login_unusable`
   */
  callback(url: string, cookies: string | undefined): Promise<CompletedSignIn>;
  authenticate(cookie: SecretValue): Promise<LoginSession | undefined>;
  /** A login by what others hold of it: the hash of its id. */
  byHash(idHash: string): Promise<LoginSession | undefined>;
  /** Ends this login only. */
  logout(cookie: SecretValue): Promise<{ setCookie: string[] }>;
}
