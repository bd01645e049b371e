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

/** What the page names that asks a person whether the command line is theirs. */
export interface NativeConfirmation {
  subject: string;
  /** What their issuer calls them. */
  name: string | undefined;
  /** Name of the TrustedIssuer, and the issuer itself. */
  issuer: string;
  at: string;
  /** What `decideNative` is asked with. */
  state: string;
  /** RFC 7636 section 4.2. */
  challenge: string;
  redirectUri: string;
}

export type CompletedSignIn = CompletedFacts & ({ location: string } | { confirm: NativeConfirmation });

interface CompletedFacts {
  setCookie: string[];
  /** Name of the TrustedIssuer. None where the command line was sent a refusal. */
  issuer?: string;
  subjectToken?: SubjectTokenFacts;
}

export interface BegunAnswer {
  location: string;
  setCookie: string[];
}

/** The console's logins: tokens stay here, the browser holds a cookie that means nothing elsewhere. */
export interface LoginSessions {
  readonly cookieName: string;
  /** The issuers at which somebody can sign in; the embedded one (`onbehalf`) only where it has people. */
  issuers(): readonly { name: string; issuer: string }[];
  /**
   * An authorization request at the issuer of that name, by default the embedded one. `returnTo` is a path of ours,
   * `/ui/` by default; `cookies` is the request's Cookie header, always. @throws LoginError `login_unavailable`
   */
  begin(returnTo?: string, issuer?: string, cookies?: string): Promise<BegunAnswer>;
  /** The same for the command line, by its query (RFC 6749 section 4.1.1) with the name of the issuer in `issuer`. */
  beginNative(query: URLSearchParams, cookies?: string): Promise<BegunAnswer>;
  /**
   * `cookies`: the request's Cookie header. @throws LoginError `login_failed`, `login_refused`,
   * `login_unavailable`, `login_unusable`
   */
  callback(url: string, cookies: string | undefined): Promise<CompletedSignIn>;
  /**
   * What the person said on the page that `callback` asked for: where the browser goes now, with a code for the command
   * line or with a refusal. @throws LoginError `login_failed`
   */
  decideNative(
    state: string,
    agreed: boolean,
    cookies: string | undefined,
  ): Promise<{ setCookie: string[]; location: string }>;
  authenticate(cookie: SecretValue): Promise<LoginSession | undefined>;
  /** A login by what others hold of it: the hash of its id. */
  byHash(idHash: string): Promise<LoginSession | undefined>;
  /** Ends this login only. */
  logout(cookie: SecretValue): Promise<{ setCookie: string[] }>;
}
