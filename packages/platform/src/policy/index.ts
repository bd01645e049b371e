/**
 * Policy: who may, now. It compiles the table of grants from what is stored, says what an agent's bindings come to, which
 * issuers are trusted and for what, and what a revocation ends. Decisions are pure functions of access over an immutable
 * table. It never authenticates anybody, never writes a resource, and never sends anything but a request for an issuer's
 * metadata.
 */
export { authorizeFor, type TurnPolicy } from './authorize.ts';
export { authorizeTarget } from './authorize-target.ts';
export { type BoundTool, missingTools, resolveModel, resolveTools, type WriterMayUse } from './bound-tools.ts';
export { createPolicy, issuersOf } from './policy.ts';
export { followRevocations } from './revocations.ts';
export { createSharedSecrets } from './shared-secrets.ts';
export { type Admitted, type Presence, presentCaller, stillAllowed, watchAccess } from './still-allowed.ts';
export { createTrustedIssuers } from './trusted-issuers.ts';
export type { Policy } from './types.ts';
