import assert from 'node:assert/strict';
import { SecretValue } from '@onbehalf/secret-value';
import type { CompletedSignIn, LoginSessions } from '../../src/login/index.ts';
import type { IdentityFixture } from '../issuer/fixture.ts';
import type { OtherIssuer } from './other-issuer.ts';

/** Name and value of the first of these `Set-Cookie` lines. */
export const pairOf = (lines: readonly string[]): string => lines[0]?.split(';', 1)[0] ?? '';

export function locationOf(done: CompletedSignIn): string {
  assert.ok('location' in done, 'no page asks for anything');
  return done.location;
}

/** Somebody signs in at an issuer, with a browser. What comes back is their cookie. */
export async function signIn(f: IdentityFixture, at: OtherIssuer, sub: string, sid?: string): Promise<SecretValue> {
  const { sessions } = f.identity;
  const begun = await sessions.begin('/ui/', at.login.name);
  const done = await sessions.callback(at.consent(begun.location, sub, sid), pairOf(begun.setCookie));
  return SecretValue.of(pairOf(done.setCookie).split('=')[1] ?? '');
}

/** The command line's sign-in after the callback: the page asks, and the person says yes or no. */
export async function confirmNative(sessions: LoginSessions, done: CompletedSignIn, agreed = true) {
  assert.ok('confirm' in done, 'no code is handed on without a page');
  return sessions.decideNative(done.confirm.state, agreed, pairOf(done.setCookie));
}
