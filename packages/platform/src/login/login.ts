import type { IssuerConfig, Principal, Verifier } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import type { SubjectSource } from '@onbehalf/token-exchange';
import type { Audit } from '../audit/index.ts';
import type { Egress } from '../egress/index.ts';
import type { Principals } from '../people/index.ts';
import type { Store } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';
import { BACKCHANNEL, createBackchannelLogout } from './backchannel-logout.ts';
import { createLogins } from './logins.ts';
import { createNativeLogins } from './native-logins.ts';
import { ownLogin } from './own-login.ts';
import { createLoginSessions } from './sessions.ts';
import { loginSources } from './sources.ts';
import { subjectOfBearer, subjectOfLegacy } from './subjects.ts';
import type { LoginIssuer, LoginSessions } from './types.ts';

/** What sign-in here asks of the embedded issuer. */
export interface EmbeddedIssuer {
  readonly issuer: string;
  /** For its own access tokens. */
  readonly verifier: Verifier;
  readonly fetch: typeof globalThis.fetch;
  endLogin(refreshToken: SecretValue): Promise<void>;
  signSubject(claims: Record<string, unknown>): Promise<SecretValue>;
}

export interface LoginOptions {
  embedded: EmbeddedIssuer;
  /** For every door: tokens of the embedded issuer and of the trusted ones. */
  verifier: Verifier;
  cookiePrefix: string;
  /** Default: whether the embedded issuer is on https. */
  secureCookies?: boolean;
  store: Store;
  vault: Vault;
  audit: Audit;
  egress: Egress;
  principals: Pick<Principals, 'has'>;
  trustedIssuers: () => readonly IssuerConfig[];
  /** Those of them at which people sign in. One that has changed is a new object. */
  loginIssuers: () => readonly LoginIssuer[];
  /** What a subject that has run out is refused with, in the words of whoever exchanges it. */
  over(why: string): Error;
  now?: () => number;
}

export interface Login {
  readonly sessions: LoginSessions;
  /** The token that was presented, until it ends; then `current` rejects. */
  subjectOfBearer(principal: Principal, token: SecretValue): SubjectSource;
  /** A token minted for the token service alone; undefined unless the issuer's `mintSubject` is on. */
  subjectOfLegacy(principal: Principal): SubjectSource | undefined;
  /** The endpoints of the command line and of back-channel logout: a form in, JSON out. */
  endpoint(
    path: string,
  ): ((form: ReadonlyMap<string, string>) => Promise<{ status: number; body: object }>) | undefined;
}

export function createLogin(o: LoginOptions): Login {
  const { embedded, verifier, now = Date.now } = o;
  const { issuer } = embedded;
  const secureCookies = o.secureCookies ?? new URL(issuer).protocol === 'https:';
  const shared = { ...o, issuer, now, secureCookies };
  const sources = loginSources({
    ...{ publicUrl: issuer, egress: o.egress, now, verifier },
    own: ownLogin({ ...embedded, now }),
    hasPeople: () => o.principals.has(issuer),
    others: o.loginIssuers,
  });
  const logins = createLogins({ ...shared, sources });
  const native = createNativeLogins({ ...shared, logins });
  const backchannelLogout = createBackchannelLogout(shared);
  const signsIn = (name: string) =>
    o.trustedIssuers().find((known) => known.name === name && known.loginClientId !== undefined);
  const verify = (token: SecretValue) => verifier.verify(token, 'api');
  return {
    sessions: createLoginSessions({ ...shared, sources, logins, native }),
    subjectOfBearer: (principal, token) => subjectOfBearer(principal, token, { ...shared, verify }),
    subjectOfLegacy: (principal) =>
      subjectOfLegacy(principal, { ...shared, trusted: o.trustedIssuers, signSubject: embedded.signSubject }),
    endpoint(path) {
      if (path === '/login/cli/token') return (form) => native.respond('token', form);
      if (path === '/login/cli/revoke') return (form) => native.respond('revoke', form);
      const from = signsIn(BACKCHANNEL.exec(path)?.[1] ?? '');
      return from && ((form) => backchannelLogout(from, form));
    },
  };
}
