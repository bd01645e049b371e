import type { Action, DecisionResource } from '@onbehalf/access';
import type { Caller, Services } from './services.ts';

/** Whether somebody who was admitted a while ago would be admitted now: login, deny list, role and grants. */
export async function stillAllowed(
  services: Services,
  { principal, cookie }: Pick<Caller, 'principal' | 'cookie'>,
  action: Action,
  resource: DecisionResource,
): Promise<boolean> {
  const { identity, policy } = services;
  const { issuer, subject, credential } = principal;
  const { sid, jti } = credential;
  const denied = identity.principals.denied({
    issuer,
    subject,
    ...(sid !== undefined && { sid }),
    ...(jti !== undefined && { jti }),
  });
  if (denied) return false;
  if (cookie && (await identity.sessions.authenticate(cookie)) === undefined) return false;
  return policy.decide(policy.current(principal), action, resource).effect === 'allow';
}

/** Asks again after each change, and calls `onLost` once it is no longer so. Returns what ends the watch. */
export function watchAccess(services: Services, allowed: () => Promise<boolean>, onLost: () => void): () => void {
  return services.policy.onChange(() => {
    allowed().then((still) => void (still || onLost()), onLost);
  });
}
