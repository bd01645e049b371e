import { AccessError, type Action, type DecisionResource } from '@onbehalf/access';
import { TokenExchangeError } from '@onbehalf/token-exchange';
import type { Caller, Services } from '../http/services.ts';

/**
 * Somebody who was admitted a while ago, as their login or their token says it now: a login that was renewed may say
 * another role, other groups. Undefined: it is over.
 */
export async function presentCaller(services: Services, caller: Caller): Promise<Caller | undefined> {
  const { identity, now } = services;
  const { principal, subject, loginSession } = caller;
  const { issuer, credential } = principal;
  try {
    if (loginSession !== undefined) {
      const session = await identity.sessions.byHash(loginSession);
      return session && { ...caller, principal: session.principal, subject: session.subject };
    }
    // What a token's end ends is timed by whoever admitted it.
    const lives = credential.expiresAt === undefined || credential.expiresAt > now();
    if (credential.kind === 'bearer' && subject !== undefined && lives) {
      const { token } = await subject.current();
      return { ...caller, principal: await identity.verifier.verify(token, 'api') };
    }
  } catch (error) {
    if (error instanceof AccessError || error instanceof TokenExchangeError) return undefined;
    throw error;
  }
  const { sid, jti } = credential;
  const named = { ...(sid !== undefined && { sid }), ...(jti !== undefined && { jti }) };
  return identity.principals.denied({ issuer, subject: principal.subject, ...named }) ? undefined : caller;
}

/** Whether they would be admitted now: login, deny list, role and grants. */
export async function stillAllowed(
  services: Services,
  admitted: Caller,
  action: Action,
  resource: DecisionResource,
): Promise<boolean> {
  const { policy } = services;
  const caller = await presentCaller(services, admitted);
  if (caller === undefined) return false;
  return policy.decide(policy.current(caller.principal), action, resource).effect === 'allow';
}

/** Asks again after each change, and calls `onLost` once it is no longer so. Returns what ends the watch. */
export function watchAccess(services: Services, allowed: () => Promise<boolean>, onLost: () => void): () => void {
  return services.policy.onChange(() => {
    // Not before everybody has heard of the change.
    Promise.resolve()
      .then(allowed)
      .then((still) => void (still || onLost()), onLost);
  });
}
