import { createHmac, randomBytes } from 'node:crypto';
import { AccessError, type Principal } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { type SubjectSource, TokenExchangeError } from '@onbehalf/token-exchange';
import type { Audit } from '../../audit/index.ts';
import { type Store, StoreError } from '../../store/index.ts';
import type { Vault } from '../../vault/index.ts';
import { IdentityError } from '../error.ts';
import { hashOf } from '../issuer/adapter.ts';
import { ACCESS_TOKEN } from '../token-service/subject.ts';
import type { LoginSession, LoginSessions } from '../types.ts';
import { cookieOf, localPath } from './browser.ts';
import { type Login, loginRows, REFRESHED_ELSEWHERE } from './session-rows.ts';
import type { BegunSignIn } from './source.ts';
import type { LoginSources } from './sources.ts';

const SIGN_IN_LIFE = 600_000;
/** A login that is not used for this long is over. */
const IDLE = 7 * 24 * 3_600_000;

export interface SessionsOptions {
  cookiePrefix: string;
  secureCookies: boolean;
  store: Store;
  vault: Vault;
  audit: Audit;
  sources: LoginSources;
  now: () => number;
}

export interface SessionsRoom extends LoginSessions {
  /** A login by what others hold of it: the hash of its id. */
  byHash(idHash: string): Promise<LoginSession | undefined>;
}

interface SignIn extends BegunSignIn {
  /** Name of the issuer. */
  source: string;
  returnTo: string;
  expiresAt: number;
}

/** Backend for frontend: the browser has a cookie, the tokens stay here. */
export function createLoginSessions(o: SessionsOptions): SessionsRoom {
  const { sources, vault, audit, now } = o;
  const rows = loginRows(o);
  const renewing = new Map<string, Promise<Login | undefined>>();
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
  const line = (
    { issuer: iss, subject, sid }: Pick<Login, 'issuer' | 'subject' | 'sid'>,
    outcome: string,
    reason?: string,
  ) =>
    audit.line({
      type: 'login',
      phase: 'single',
      principal: { issuer: iss, subject, ...(sid !== undefined && { sid }) },
      outcome,
      ...(reason !== undefined && { reason }),
    });

  async function end(login: Login, reason: string): Promise<void> {
    await rows.remove(login, line(login, 'signed out', reason));
    await sources.of(login.issuer)?.end(login.tokens);
  }

  /** One request for each login, however many ask at once. The new refresh token is stored before anything uses it. */
  function renewed(login: Login): Promise<Login | undefined> {
    const known = renewing.get(login.idHash);
    if (known !== undefined) return known;
    const work = renew(login.idHash).finally(() => renewing.delete(login.idHash));
    renewing.set(login.idHash, work);
    return work;
  }

  async function renew(idHash: string): Promise<Login | undefined> {
    // Read again under the lock: whoever was here before may have renewed it.
    const login = await rows.find(idHash);
    if (login === undefined || login.tokens.renewAt > now()) return login;
    const answer = (await sources.of(login.issuer)?.renew(login.tokens)) ?? { failed: 'unavailable' };
    if ('failed' in answer) {
      if (answer.failed === 'unavailable') return login;
      // One that was never to be renewed is used to its end.
      if (login.tokens.refreshToken === undefined && login.tokens.expiresAt > now()) return login;
      await end(login, 'refused by the issuer');
      return undefined;
    }
    const { issuer, subject } = answer.who;
    if (issuer !== login.issuer || subject !== login.subject) {
      await end({ ...login, tokens: answer.tokens }, 'another subject in the refreshed token');
      return undefined;
    }
    const expiresAt = now() + IDLE;
    try {
      await rows.replace(login, answer.tokens, expiresAt);
    } catch (error) {
      if (error instanceof StoreError && error.conflict === REFRESHED_ELSEWHERE) return rows.find(idHash);
      throw error;
    }
    return { ...login, tokens: answer.tokens, expiresAt, fence: login.fence + 1 };
  }

  async function fresh(idHash: string): Promise<Login | undefined> {
    const login = await rows.find(idHash);
    return login !== undefined && login.tokens.renewAt <= now() ? renewed(login) : login;
  }

  function subjectOf(principal: Principal, idHash: string): SubjectSource {
    return {
      principal: { issuer: principal.issuer, subject: principal.subject },
      refreshable: true,
      loginSession: idHash,
      async current(signal) {
        signal?.throwIfAborted();
        const login = await fresh(idHash);
        if (login === undefined || login.tokens.expiresAt <= now())
          throw new TokenExchangeError('user_token_required', 'the sign-in has ended');
        const { accessToken, expiresAt } = login.tokens;
        return { token: SecretValue.of(accessToken), tokenType: ACCESS_TOKEN, expiresAt };
      },
    };
  }

  async function byHash(idHash: string): Promise<LoginSession | undefined> {
    const login = await fresh(idHash);
    const source = login && sources.of(login.issuer);
    if (login === undefined || source === undefined || login.tokens.expiresAt <= now()) return undefined;
    try {
      const verified = await source.verify(login.tokens);
      if (verified.issuer !== login.issuer || verified.subject !== login.subject) return undefined;
      const principal: Principal = { ...verified, credential: { ...verified.credential, kind: 'session' } };
      return { principal, subject: subjectOf(principal, idHash), csrf: csrfOf(idHash), idHash };
    } catch (error) {
      // Who is known but may not enter is told so; everything else is no login.
      if (error instanceof AccessError && error.status === 403) throw error;
      return undefined;
    }
  }

  return {
    cookieName,
    issuers: sources.list,
    async begin(returnTo, issuer) {
      const source = sources.named(issuer);
      if (source === undefined) throw new IdentityError('login_failed', 'nobody signs in at an issuer of that name');
      const random = () => randomBytes(32).toString('base64url');
      const begun: BegunSignIn = { state: random(), nonce: random(), verifier: random() };
      const signIn: SignIn = {
        ...begun,
        source: source.name,
        returnTo: localPath(returnTo),
        expiresAt: now() + SIGN_IN_LIFE,
      };
      const location = await source.authorize(begun);
      const sealed = vault.sealInline(signInPlace, SecretValue.of(JSON.stringify(signIn)));
      return { location, setCookie: cookie(signInCookie, sealed, SIGN_IN_LIFE / 1000) };
    },
    async callback(address, cookies) {
      const failed = (why: string) => new IdentityError('login_failed', why);
      const sealed = cookieOf(cookies, signInCookie);
      if (sealed === undefined) throw failed('this sign-in was not begun in this browser');
      const signIn = openSignIn(sealed);
      const source = signIn && sources.named(signIn.source);
      const url = new URL(address, 'http://callback.invalid');
      if (signIn === undefined || signIn.expiresAt <= now() || source?.callback !== url.pathname)
        throw failed('the answer is not to this sign-in');
      const { tokens, who, sid } = await source.redeem(url, signIn);
      // A new id at each login: one that was there before is worth nothing.
      const previous = cookieOf(cookies, cookieName);
      const before = previous === undefined ? undefined : await rows.find(hashOf(previous));
      if (before !== undefined) await rows.remove(before, line(before, 'signed out', 'signed in again'));
      const id = randomBytes(32).toString('base64url');
      const { issuer, subject } = who;
      const login = { idHash: hashOf(id), sid, issuer, subject, tokens, expiresAt: now() + IDLE };
      await rows.insert(login, hashOf(csrfOf(login.idHash)), line(login, 'console session'));
      return {
        setCookie: [cookie(cookieName, id), cookie(signInCookie, '', 0)],
        location: signIn.returnTo,
        issuer: source.name,
        subjectToken: { audience: audienceOf(tokens.accessToken), lifetime: tokens.expiresAt - now() },
      };
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

/** Of a token that was verified before. Undefined: it is opaque. */
function audienceOf(token: string): readonly string[] | undefined {
  const payload = token.split('.')[1];
  if (payload === undefined) return undefined;
  const { aud } = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as { aud?: string | string[] };
  return [aud ?? []].flat();
}
