import { createHmac, randomBytes } from 'node:crypto';
import { AccessError, type Principal } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import type { SubjectSource } from '@onbehalf/token-exchange';
import { cookieOf, localPath } from '../limits/index.ts';
import { hashOf } from '../people/index.ts';
import type { Vault } from '../vault/index.ts';
import { LoginError } from './error.ts';
import { type Logins, newLogin } from './logins.ts';
import { type NativeLogins, type NativeRequest, nativeRequest, refusedNative } from './native-logins.ts';
import { claimsOf, type LoginTokens } from './session-rows.ts';
import type { BegunSignIn } from './source.ts';
import type { LoginSources } from './sources.ts';
import { ACCESS_TOKEN } from './subjects.ts';
import type { LoginSession, LoginSessions } from './types.ts';

const SIGN_IN_LIFE = 600_000;

export interface SessionsOptions {
  cookiePrefix: string;
  secureCookies: boolean;
  vault: Vault;
  logins: Logins;
  native: NativeLogins;
  sources: LoginSources;
  /** What a subject that has run out is refused with, in the words of whoever exchanges it. */
  over(why: string): Error;
  now: () => number;
}

interface SignIn extends BegunSignIn {
  /** Name of the issuer. */
  source: string;
  returnTo: string;
  /** The command line waits for it, and no cookie is set. */
  native?: NativeRequest;
  expiresAt: number;
}

/** Backend for frontend: the browser has a cookie, the tokens stay here. */
export function createLoginSessions(o: SessionsOptions): LoginSessions {
  const { logins, native, sources, vault, now } = o;
  const { rows, line, verified, end } = logins;
  const host = o.secureCookies ? '__Host-' : '';
  const cookieName = `${host}${o.cookiePrefix}`;
  const signInCookie = `${host}${o.cookiePrefix}_begin`;
  const csrfKey = vault.derive('csrf');
  const signInPlace = { kind: 'SignIn', uid: 'console', field: 'state' };

  const cookie = (name: string, value: string, seconds?: number) =>
    [
      `${name}=${value}`,
      ...['Path=/', 'HttpOnly', 'SameSite=Lax'],
      ...(o.secureCookies ? ['Secure'] : []),
      ...(seconds === undefined ? [] : [`Max-Age=${seconds}`]),
    ].join('; ');
  const csrfOf = (idHash: string) => createHmac('sha256', csrfKey).update(idHash).digest('base64url');
  function subjectOf(principal: Principal, idHash: string): SubjectSource {
    return {
      principal: { issuer: principal.issuer, subject: principal.subject },
      refreshable: true,
      loginSession: idHash,
      async current(signal) {
        signal?.throwIfAborted();
        const found = await verified(idHash).catch(noLogin);
        if (found === undefined) throw o.over('the sign-in has ended');
        const { accessToken, expiresAt } = found.login.tokens;
        return { token: SecretValue.of(accessToken), tokenType: ACCESS_TOKEN, expiresAt };
      },
    };
  }

  async function byHash(idHash: string): Promise<LoginSession | undefined> {
    // Who is known but may not enter is told so; everything else is no login.
    const found = await verified(idHash).catch((error: unknown) => {
      if (error instanceof AccessError && error.status === 403) throw error;
      return noLogin(error);
    });
    if (found === undefined) return undefined;
    const principal: Principal = {
      ...found.principal,
      credential: { ...found.principal.credential, kind: 'session' },
    };
    return { principal, subject: subjectOf(principal, idHash), csrf: csrfOf(idHash), idHash };
  }

  async function start(to: Pick<SignIn, 'returnTo' | 'native'>, issuer: string | undefined) {
    const source = sources.named(issuer);
    if (source === undefined) throw new LoginError('login_failed', 'nobody signs in at an issuer of that name');
    const random = () => randomBytes(32).toString('base64url');
    const begun: BegunSignIn = { state: random(), nonce: random(), verifier: random() };
    const signIn: SignIn = { ...begun, ...to, source: source.name, expiresAt: now() + SIGN_IN_LIFE };
    const location = await source.authorize(begun);
    const sealed = vault.sealInline(signInPlace, SecretValue.of(JSON.stringify(signIn)));
    return { location, setCookie: cookie(signInCookie, sealed, SIGN_IN_LIFE / 1000) };
  }

  return {
    cookieName,
    issuers: sources.list,
    begin: (returnTo, issuer) => start({ returnTo: localPath(returnTo) }, issuer),
    beginNative: async (query) => start({ returnTo: '/ui/', native: nativeRequest(query) }, query.get('issuer') ?? ''),
    async callback(address, cookies) {
      const failed = (why: string) => new LoginError('login_failed', why);
      const sealed = cookieOf(cookies, signInCookie);
      if (sealed === undefined) throw failed('this sign-in was not begun in this browser');
      const signIn = openSignIn(sealed);
      const source = signIn && sources.named(signIn.source);
      const url = new URL(address, 'http://callback.invalid');
      if (signIn === undefined || signIn.expiresAt <= now() || source?.callback !== url.pathname)
        throw failed('the answer is not to this sign-in');
      const begun = cookie(signInCookie, '', 0);
      const about = (tokens: LoginTokens) => ({
        issuer: source.name,
        subjectToken: { audience: audienceOf(tokens), lifetime: tokens.expiresAt - now() },
      });
      if (signIn.native !== undefined) {
        const { native: request } = signIn;
        const signedIn = await source.redeem(url, signIn).catch((error: unknown) => refusedNative(request, error));
        if (typeof signedIn === 'string') return { setCookie: [begun], location: signedIn };
        if (signedIn.tokens.opaque !== undefined) {
          await source.end(signedIn.tokens);
          const why = `${source.name} answers with opaque access tokens, which the command line cannot use here`;
          return { setCookie: [begun], location: refusedNative(request, new LoginError('login_unusable', why)) };
        }
        const location = await native.issue(signedIn, request);
        return { setCookie: [begun], location, ...about(signedIn.tokens) };
      }
      const signedIn = await source.redeem(url, signIn);
      // A new id at each login: one that was there before is worth nothing.
      const previous = cookieOf(cookies, cookieName);
      const before = previous === undefined ? undefined : await rows.find(hashOf(previous));
      if (before !== undefined) await rows.remove(before, line(before, 'signed out', 'signed in again'));
      const id = randomBytes(32).toString('base64url');
      const login = newLogin(hashOf(id), signedIn, now());
      await rows.insert(login, hashOf(csrfOf(login.idHash)), line(login, 'console session'));
      return { setCookie: [cookie(cookieName, id), begun], location: signIn.returnTo, ...about(signedIn.tokens) };
    },
    authenticate: (value) => byHash(hashOf(value.reveal())),
    async logout(value) {
      const login = await rows.find(hashOf(value.reveal()));
      if (login !== undefined) await end(login, 'asked for');
      return { setCookie: [cookie(cookieName, '', 0)] };
    },
    byHash,
  };

  function openSignIn(sealed: string): SignIn | undefined {
    try {
      return JSON.parse(vault.openInline(signInPlace, sealed).reveal()) as SignIn;
    } catch {
      return undefined;
    }
  }
}

/** A token that is not accepted is no login; what else went wrong is not known to be its end. */
function noLogin(error: unknown): undefined {
  if (!(error instanceof AccessError)) throw error;
}

/** Of a token that was verified before. Undefined: it is opaque. */
function audienceOf({ accessToken, opaque }: LoginTokens): readonly string[] | undefined {
  return opaque === undefined ? [claimsOf<{ aud?: string | string[] }>(accessToken).aud ?? []].flat() : undefined;
}
