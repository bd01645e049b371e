/**
 * Login: sign-in of the console and of the command line at the embedded issuer or at another one that is trusted with it,
 * what people are signed in with, and the subjects of exchanges that come from it. Tokens are sealed here and renewed in
 * time; a browser holds a cookie that means nothing elsewhere. It never decides what somebody may do, and never hands a
 * token to anything but the issuer that gave it, the verifier, and who asks for a subject.
 */
export { LoginError, type LoginErrorCode } from './error.ts';
export { createLogin, type EmbeddedIssuer, type Login, type LoginOptions } from './login.ts';
export { type ClientPorts, loginIssuerOf } from './login-issuers.ts';
export type * from './types.ts';
