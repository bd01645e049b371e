/**
 * The audit: one append function, a hash chain per process, signed checkpoints, and the questions that can be asked of
 * them. An intent is durable before what it announces; when it cannot be written, the caller refuses. What a line says
 * of a person stands beside it, so that it can be erased. It may use the store and secret values; the signing key and
 * the keyed hash are handed in. It never holds a token, never changes a line, and decides nothing.
 */
export { type Audit, type AuditOptions, createAudit, type Half } from './audit.ts';
export { chainHash } from './chain.ts';
export type { AuditEntry, AuditPrincipal, AuditTarget, AuditType, Json } from './entry.ts';
export { AuditError, type AuditErrorCode } from './error.ts';
export { pickFields, recordsOf } from './fields.ts';
export type { Proof, Tampered, Verified } from './findings.ts';
export { cleanText } from './line.ts';
export type { AuditFilter, StoredLine } from './query.ts';
export { quoted } from './quoted.ts';
export type { StoredEntry } from './search.ts';
export type { Signer } from './signer.ts';
export { verify } from './verify.ts';
export { type Accepted, type Checkpoint, fileWitness, type Witness, type WitnessEntry } from './witness.ts';
