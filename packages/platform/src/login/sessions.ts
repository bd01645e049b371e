import { createHmac, randomBytes } from 'node:crypto';
import { AccessError, type Principal } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import type { SubjectSource } from '@onbehalf/token-exchange';
import { decodeJwt } from 'jose';
import { cookieOf, localPath } from '../limits/index.ts';
import { hashOf } from '../people/index.ts';
import type { Vault } from '../vault/index.ts';
import { begunSignIns, type SignIn } from './begun-sign-ins.ts';
import { LoginError } from './error.ts';
import { type Logins, newLogin } from './logins.ts';
import { CONFIRM_LIFE, type NativeLogins, type NativeRequest, nativeRequest, refusedNative } from './native-logins.ts';
import type { LoginTokens } from './session-rows.ts';
import type { BegunSignIn, LoginSource } from './source.ts';
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

/** Backend for frontend: the browser has a cookie, the tokens stay here. */
export function createLoginSessions(o: SessionsOptions): LoginSessions {
  const { logins, native, sources, vault, now } = o;
  const { rows, line, verified, end } = logins;
  const host = o.secureCookies ? '__Host-' : '';
  const cookieName = `${host}${o.cookiePrefix}`;
  const csrfKey = vault.derive('csrf');

  const cookie = (name: string, value: string, seconds?: number) =>
    [
      `${name}=${value}`,
      ...['Path=/', 'HttpOnly', 'SameSite=Lax'],
      ...(o.secureCookies ? ['Secure'] : []),
      ...(seconds === undefined ? [] : [`Max-Age=${seconds}`]),
    ].join('; ');
  const begun = begunSignIns({ vault, now, cookie, name: `${host}${o.cookiePrefix}_begin` });
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

  async function start(to: Pick<SignIn, 'returnTo' | 'native'>, issuer: string | undefined, cookies?: string) {
    const source = sources.named(issuer);
    if (source === undefined) throw failed('nobody signs in at an issuer of that name');
    const random = () => randomBytes(32).toString('base64url');
    const sent: BegunSignIn = { state: random(), nonce: random(), verifier: random() };
    const signIn: SignIn = { ...sent, ...to, source: source.name, expiresAt: now() + SIGN_IN_LIFE };
    return { location: await source.authorize(sent), setCookie: begun.begin(signIn, cookies) };
  }

  /** Its tokens wait here for the word of the person whom they name: the page names them. */
  async function completeNative(signIn: SignIn, request: NativeRequest, source: LoginSource, url: URL) {
    const setCookie = [begun.end(signIn.state)];
    const signedIn = await source.redeem(url, signIn).catch((error: unknown) => refusedNative(request, error));
    if (typeof signedIn === 'string') return { setCookie, location: signedIn };
    if (signedIn.tokens.opaque !== undefined) {
      await source.end(signedIn.tokens);
      const why = `${source.name} answers with opaque access tokens, which the command line cannot use here`;
      return { setCookie, location: refusedNative(request, new LoginError('login_unusable', why)) };
    }
    const held = await native.hold(signedIn, request);
    return {
      setCookie: [begun.keep({ ...signIn, held, expiresAt: now() + CONFIRM_LIFE })],
      confirm: {
        ...{ subject: signedIn.who.subject, name: nameIn(signedIn.tokens), issuer: source.name, at: source.issuer },
        ...{ state: signIn.state, challenge: request.challenge, redirectUri: request.redirectUri },
      },
      ...about(source, signedIn.tokens),
    };
  }

  const about = (source: LoginSource, tokens: LoginTokens) => ({
    issuer: source.name,
    subjectToken: { audience: audienceOf(tokens), lifetime: tokens.expiresAt - now() },
  });

  return {
    cookieName,
    issuers: sources.list,
    begin: (returnTo, issuer, cookies) => start({ returnTo: localPath(returnTo) }, issuer, cookies),
    beginNative: async (query, cookies) =>
      start({ returnTo: '/ui/', native: nativeRequest(query) }, query.get('issuer') ?? '', cookies),
    async callback(address, cookies) {
      const url = new URL(address, 'http://callback.invalid');
      const signIn = begun.find(url.searchParams.get('state'), cookies);
      const source = signIn && sources.named(signIn.source);
      const previous = cookieOf(cookies, cookieName);
      if (signIn === undefined) {
        // A tab that was left open, of somebody who has signed in since: there is nothing to do.
        if (previous !== undefined && (await byHash(hashOf(previous))) !== undefined)
          return { setCookie: [], location: '/ui/' };
        throw failed('this sign-in was not begun in this browser, or has expired: the answer is not to this sign-in');
      }
      if (signIn.held !== undefined || source?.callback !== url.pathname)
        throw failed('the answer is not to this sign-in');
      if (signIn.native !== undefined) return completeNative(signIn, signIn.native, source, url);
      const signedIn = await source.redeem(url, signIn);
      // A new id at each login: one that was there before is worth nothing.
      const before = previous === undefined ? undefined : await rows.find(hashOf(previous));
      if (before !== undefined) await rows.remove(before, line(before, 'signed out', 'signed in again'));
      const id = randomBytes(32).toString('base64url');
      const login = newLogin(hashOf(id), signedIn, now());
      await rows.insert(login, hashOf(csrfOf(login.idHash)), line(login, 'console session'));
      const setCookie = [cookie(cookieName, id), begun.end(signIn.state)];
      return { setCookie, location: signIn.returnTo, ...about(source, signedIn.tokens) };
    },
    async decideNative(state, agreed, cookies) {
      const signIn = begun.find(state, cookies);
      if (signIn?.native === undefined || signIn.held === undefined)
        throw failed('this sign-in was not begun in this browser, or has expired');
      const location = await (agreed ? native.release(signIn.held) : native.refuse(signIn.held));
      return { setCookie: [begun.end(state)], location };
    },
    authenticate: (value) => byHash(hashOf(value.reveal())),
    async logout(value) {
      const login = await rows.find(hashOf(value.reveal()));
      if (login !== undefined) await end(login, 'asked for');
      return { setCookie: [cookie(cookieName, '', 0)] };
    },
    byHash,
  };
}

const failed = (why: string) => new LoginError('login_failed', why);

/** A token that is not accepted is no login; what else went wrong is not known to be its end. */
function noLogin(error: unknown): undefined {
  if (!(error instanceof AccessError)) throw error;
}

/** Of a token that was verified before. Undefined: it is opaque. */
function audienceOf({ accessToken, opaque }: LoginTokens): readonly string[] | undefined {
  return opaque === undefined ? [decodeJwt<{ aud?: string | string[] }>(accessToken).aud ?? []].flat() : undefined;
}

/** What the issuer calls them, of tokens that were verified before. */
function nameIn({ idToken }: LoginTokens): string | undefined {
  const { name } = idToken === undefined ? {} : decodeJwt<{ name?: unknown }>(idToken);
  return typeof name === 'string' ? name.slice(0, 200) : undefined;
}
