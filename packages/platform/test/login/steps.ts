import assert from 'node:assert/strict';
import type { CompletedSignIn, LoginSessions } from '../../src/login/index.ts';

/** Name and value of the first of these `Set-Cookie` lines. */
export const pairOf = (lines: readonly string[]): string => lines[0]?.split(';', 1)[0] ?? '';

export function locationOf(done: CompletedSignIn): string {
  assert.ok('location' in done, 'no page asks for anything');
  return done.location;
}

/** The command line's sign-in after the callback: the page asks, and the person says yes or no. */
export async function confirmNative(sessions: LoginSessions, done: CompletedSignIn, agreed = true) {
  assert.ok('confirm' in done, 'no code is handed on without a page');
  return sessions.decideNative(done.confirm.state, agreed, pairOf(done.setCookie));
}
