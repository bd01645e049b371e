import {
  AccessError,
  type Action,
  type DecisionContext,
  type DecisionResource,
  type Principal,
  type Verifier,
} from '@onbehalf/access';
import type { SubjectSource } from '@onbehalf/token-exchange';
import type { Principals } from '../people/index.ts';
import type { Policy } from './types.ts';

/** Somebody who was admitted a while ago. */
export interface Admitted {
  principal: Principal;
  subject: SubjectSource | undefined;
  /** The hash of a login's id. */
  loginSession?: string;
}

/** Where it is looked up whether a login or a token still stands. */
export interface Presence {
  session(idHash: string): Promise<Pick<Admitted, 'principal' | 'subject'> | undefined>;
  verifier: Pick<Verifier, 'verify'>;
  principals: Pick<Principals, 'denied'>;
  now: () => number;
}

/**
 * As their login or their token says it now: a login that was renewed may say another role, other groups. Undefined: it
 * is over.
 */
export async function presentCaller<A extends Admitted>(presence: Presence, caller: A): Promise<A | undefined> {
  const { principal, subject, loginSession } = caller;
  const { issuer, credential } = principal;
  try {
    if (loginSession !== undefined) {
      const session = await presence.session(loginSession);
      return session && { ...caller, principal: session.principal, subject: session.subject };
    }
    // What a token's end ends is timed by whoever admitted it.
    const lives = credential.expiresAt === undefined || credential.expiresAt > presence.now();
    if (credential.kind === 'bearer' && subject !== undefined && lives) {
      const { token } = await subject.current();
      return { ...caller, principal: await presence.verifier.verify(token, 'api') };
    }
  } catch (error) {
    const over = (error as { code?: unknown }).code === 'user_token_required';
    if (error instanceof AccessError || over) return undefined;
    throw error;
  }
  const { sid, jti } = credential;
  const named = { ...(sid !== undefined && { sid }), ...(jti !== undefined && { jti }) };
  return presence.principals.denied({ issuer, subject: principal.subject, ...named }) ? undefined : caller;
}

/** Whether they would be admitted now: login, deny list, role and grants. */
export async function stillAllowed(
  presence: Presence,
  policy: Pick<Policy, 'current' | 'decide'>,
  admitted: Admitted,
  action: Action,
  resource: DecisionResource,
  context: Partial<DecisionContext> = {},
): Promise<boolean> {
  const caller = await presentCaller(presence, admitted);
  if (caller === undefined) return false;
  return policy.decide(policy.current(caller.principal), action, resource, context).effect === 'allow';
}

/**
 * Asks at once, for something may have changed since the admission, and again after each change; calls `onLost` once, when
 * it is no longer so. Returns what ends the watch.
 */
export function watchAccess(
  policy: Pick<Policy, 'onChange'>,
  allowed: () => Promise<boolean>,
  onLost: () => void,
): () => void {
  let over = false;
  const lose = () => {
    if (over) return;
    over = true;
    onLost();
  };
  const ask = () => {
    // Not before everybody has heard of the change.
    Promise.resolve()
      .then(allowed)
      .then((still) => {
        if (!still) lose();
      }, lose);
  };
  const stop = policy.onChange(ask);
  ask();
  return () => {
    over = true;
    stop();
  };
}
