import type { Profile } from './profile.ts';
import { rfc8693 } from './rfc8693.ts';

/**
 * Auth0, custom token exchange: standard, with at most five actors. A `resource` works only where the tenant allows
 * it, and a requested token type may be refused, so both are sent only when they are configured.
 */
export const auth0: Profile = {
  ...rfc8693,
  name: 'auth0',
  maxActors: 5,
  workloadSubject: (client, assertedSubject) => assertedSubject ?? `${client}@clients`,
};
