/**
 * The only way out of the server. Every request to a tool server, identity provider, token service, model or BYO agent
 * goes through one `Egress`: it connects to an address that it has just checked and to no other, refuses redirects,
 * credentials in URLs and plain http outside the listed networks, and bounds time, bytes and line length.
 *
 * It uses undici and Node's own modules and nothing of ours. It never follows a redirect, never retries with other
 * credentials, and its errors carry no part of an answer.
 */

export type { Resolve } from './connector.ts';
export type { Egress, EgressOptions } from './egress.ts';
export { createEgress } from './egress.ts';
export type { EgressErrorCode } from './errors.ts';
export { EgressError } from './errors.ts';
export type { Limits } from './limits.ts';
export { DEFAULT_LIMITS } from './limits.ts';
export type { EgressInit, EgressRequest, EgressResponse, TlsSettings } from './message.ts';
