/**
 * The embedded issuer: sign-in, the token service, the console's login sessions, and the subjects and actors of
 * exchanges. It uses oidc-provider for the flows of OpenID Connect, jose for signatures, the vault for everything that
 * is sealed, and asks main whether a person may run an agent. It never sends a token anywhere, never stores one in the
 * clear, and never mints one for a person who has not signed in.
 */
export { IdentityError, type IdentityErrorCode } from '../people/error.ts';
export { deniedBy } from '../people/principals.ts';
export { createIdentity } from './issuer.ts';
export { choicePage, pageHeaders } from './pages/pages.ts';
export type * from './types.ts';
