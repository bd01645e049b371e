/**
 * Turns "this user's token, through this agent" into "a token for this one target": the client of a token service
 * (RFC 8693, RFC 8707), its cache, and a `fetch` that attaches the result. It uses WebCrypto and `fetch` alone, which
 * are handed in, and runs in every runtime. It never sends a user's token to anything but the configured token
 * service, never hands out an answer that it has not looked into, and never falls back to another credential.
 * @module
 */

export { SecretValue } from '@onbehalf/secret-value';
export { Breaker } from './breaker.ts';
export { type CacheEntry, createTokenCache, matchesFilter, type Tags, type TokenCache } from './cache.ts';
export { type Challenge, parseChallenges } from './challenge.ts';
export { authenticateClient, privateKeyJwt } from './client-auth.ts';
export { type ConfigurationProblem, configurationProblems, delegationOf, targetProblem } from './configuration.ts';
export type { ExchangeCrypto, JwsKeys, VerifiedJws } from './crypto.ts';
export { ACT_BY, type TokenExchangeErrorCode } from './error-codes.ts';
export { TokenExchangeError } from './errors.ts';
export { createTokenExchange, type TokenExchangeOptions } from './exchange.ts';
export { combineHooks } from './hooks.ts';
export { createIdentityFetch, type IdentityFetchOptions } from './identity-fetch.ts';
export { isWithin } from './outgoing.ts';
export type * from './plain.ts';
export type * from './types.ts';
