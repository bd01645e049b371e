/**
 * Limits: how much of what comes in is taken, from one person, from one address, and in one request. Named budgets, each
 * with a setting, and bounds that are checked before anything else parses. It never judges who somebody is or what they
 * may do, and nothing in it waits.
 */
export type { Budget, Rate } from './budgets.ts';
export { LimitError } from './error.ts';
export { cookieOf, localPath, readBody } from './incoming.ts';
export { addressKey, createLimits, type LimitSettings, type Limits, type LimitUsage, personKey } from './limits.ts';
export { formTooLarge, headTooLarge, jsonTooLarge } from './request-bounds.ts';
export { type Counted, Tally } from './tally.ts';
