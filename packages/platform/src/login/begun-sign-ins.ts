import { SecretValue } from '@onbehalf/secret-value';
import { cookieOf } from '../limits/index.ts';
import { hashOf } from '../people/index.ts';
import type { Vault } from '../vault/index.ts';
import type { NativeRequest } from './native-logins.ts';
import type { BegunSignIn } from './source.ts';

/** Sign-ins that one browser has under way; the oldest gives way. Their cookies go with every request. */
const MOST = 5;
const place = { kind: 'SignIn', uid: 'console', field: 'state' };

export interface SignIn extends BegunSignIn {
  /** Name of the issuer. */
  source: string;
  returnTo: string;
  /** The command line waits for it, and no cookie is set. */
  native?: NativeRequest;
  /** Of a login that awaits its person's word: what `NativeLogins.hold` gave. */
  held?: string;
  expiresAt: number;
}

/** What a browser has begun: sealed, in a cookie of its own for each `state`, so that its tabs do not disturb each other. */
export function begunSignIns(o: {
  vault: Vault;
  /** What the names of the cookies begin with. */
  name: string;
  cookie(name: string, value: string, seconds: number): string;
  now: () => number;
}) {
  const { vault, now, cookie } = o;
  const nameOf = (state: string) => `${o.name}_${hashOf(state).slice(0, 12)}`;

  function open(sealed: string | undefined): SignIn | undefined {
    if (sealed === undefined) return undefined;
    try {
      const signIn = JSON.parse(vault.openInline(place, sealed).reveal()) as SignIn;
      return signIn.expiresAt > now() ? signIn : undefined;
    } catch {
      return undefined;
    }
  }

  /** Of those that are there, the names of as many as must go for one more. What cannot be opened goes first. */
  function surplus(cookies: string | undefined): string[] {
    const pairs = (cookies ?? '').split(';').map((pair) => pair.trim().split('=', 2));
    return pairs
      .flatMap(([name = '', value]) =>
        name.startsWith(`${o.name}_`) ? [{ name, expiresAt: open(value)?.expiresAt ?? 0 }] : [],
      )
      .sort((a, b) => b.expiresAt - a.expiresAt)
      .slice(MOST - 1)
      .map(({ name }) => name);
  }

  const keep = (signIn: SignIn) =>
    cookie(
      nameOf(signIn.state),
      vault.sealInline(place, SecretValue.of(JSON.stringify(signIn))),
      Math.ceil((signIn.expiresAt - now()) / 1000),
    );

  return {
    /** `Set-Cookie` lines of one more, beside those of the request's Cookie header. */
    begin: (signIn: SignIn, cookies: string | undefined): string[] => [
      keep(signIn),
      ...surplus(cookies).map((name) => cookie(name, '', 0)),
    ],
    keep,
    find: (state: string | null, cookies: string | undefined): SignIn | undefined =>
      state === null ? undefined : open(cookieOf(cookies, nameOf(state))),
    end: (state: string): string => cookie(nameOf(state), '', 0),
  };
}
