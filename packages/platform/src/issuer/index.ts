/**
 * The embedded issuer: an OpenID provider for local people with its pages, and the token service. It uses oidc-provider
 * for the flows of OpenID Connect, jose for signatures, the vault for everything that is sealed, and asks main whether a
 * person may run an agent. It never sends a token anywhere, never stores one in the clear, and never mints one for a
 * person who has not signed in.
 */
export { IssuerError, type IssuerErrorCode } from './error.ts';
export { createIssuer } from './issuer.ts';
export { PageError, readForm, requireSameOrigin } from './pages/browser.ts';
export { choicePage, confirmHeaders, confirmPage, errorPage, pageHeaders } from './pages/pages.ts';
export type * from './types.ts';
