/**
 * The store: tables, commit units, the change log. A unit is stored whole or not at all, and is durable when its commit
 * resolves; every cache of the platform follows the change log. It may use nothing of ours but the resource nouns. It
 * never decides, never decrypts, never goes to the network, and lets nothing of the database show through: what it
 * promises is test/store/conformance.ts, for every database.
 */
export { StoreError, type StoreErrorCode } from './error.ts';
export { prepared } from './prepared.ts';
export {
  createRegistry,
  deleteResource,
  insertResource,
  nextVersion,
  type Registry,
  replaceResource,
  type Stored,
} from './registry.ts';
export { namespaceOf, type StoredResource } from './resource-rows.ts';
export { schemaVersion } from './schema.ts';
export { inSlices } from './slices.ts';
export { openSqliteStore, type SqliteStore, type SqliteStoreOptions } from './sqlite.ts';
export { openSqliteReader, type SqliteReader } from './sqlite-reader.ts';
export type * from './tables.ts';
export type {
  AuditBody,
  AuditIndex,
  AuditPerson,
  Change,
  ChangeBody,
  CommitResult,
  CommitUnit,
  Reader,
  Statement,
  Store,
} from './unit.ts';
export { untilRead } from './watch.ts';
