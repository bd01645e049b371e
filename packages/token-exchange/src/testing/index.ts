/**
 * A token service for tests: real HTTP on loopback, real keys, and any misbehaviour on request. It may use Node's
 * built-ins, which the library itself does not. It is never part of a server: it answers whoever asks it as told.
 * @module
 */
export type { Anomaly, Issue, IssueAnomaly, RefusalAnomaly, ReplyAnomaly } from './anomalies.ts';
export { type CacheCase, type MakeCache, tokenCacheConformance } from './cache-conformance.ts';
export type { FakeClient } from './client-check.ts';
export { type Dialect, dialects } from './dialects.ts';
export {
  type FakeOptions,
  type FakePerson,
  type FakeTokenService,
  type RecordedRequest,
  startFakeTokenService,
} from './fake-token-service.ts';
export { type Keys, makeKeys } from './keys.ts';
