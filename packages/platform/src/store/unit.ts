import type { CompiledQuery, Expression, Kysely } from 'kysely';
import type { Tables } from './tables.ts';

/** One statement of a unit. `expect` and `conflict` make it a precondition. */
export interface Statement {
  query: CompiledQuery<unknown>;
  /** Rows that must be affected (or, for a select, found), exactly; otherwise the whole unit fails. */
  expect?: number;
  /** The code that the failure carries, so that a caller can tell two preconditions apart. */
  conflict?: string;
}

/** What the change log says about one key. Readers look the value up; the log never carries it. */
export interface ChangeBody {
  kind: string;
  key: string;
  op: 'put' | 'delete';
}

export interface Change extends ChangeBody {
  revision: number;
  /** ISO 8601, UTC. */
  at: string;
}

/** A line of the audit before it has a place in the chain. */
export interface AuditBody {
  /** The exact text that is hashed and stored. */
  body: string;
  /** Copies of fields of the body, for queries. They are not hashed; a reader trusts the body. */
  index: AuditIndex;
  /** What the body commits to, and can be removed from beside it. */
  persons?: readonly AuditPerson[];
  /** Copies too: the records that the line is about. */
  records?: readonly string[];
}

/** What a line says of one person. */
export interface AuditPerson {
  acting: boolean;
  iss: string;
  sub: string;
  salt: string;
  /** JSON pointer into the line → value. */
  fields: Readonly<Record<string, unknown>>;
}

export interface AuditIndex {
  at: string;
  type: string;
  phase: string;
  agent?: string;
  server?: string;
  session?: string;
  turn?: string;
  call?: string;
  jti?: string;
  requestId?: string;
  decision?: string;
  /** Joins an intent and its outcome. */
  ref?: string;
  tokenJti?: string;
}

/** All of it is stored, or nothing. There are no interactive transactions. */
export interface CommitUnit {
  statements: readonly Statement[];
  changes?: readonly ChangeBody[];
  audit?: readonly AuditBody[];
}

export interface CommitResult {
  /** The newest change of this unit; without changes, the newest of the store. */
  revision: number;
  /** Affected rows, per statement. */
  rows: readonly number[];
  /** Where the unit's audit lines stand in the chain. */
  audit: readonly { writer: string; seq: number }[];
}

/** What reads only. */
export interface Reader {
  /** Builds and compiles queries; executing one through it is an error. */
  readonly builder: Kysely<Tables>;
  /** Sees every unit whose commit has resolved. Refuses to write. @throws StoreError */
  read<R>(query: CompiledQuery<R>): Promise<R[]>;
  /** A text member of a JSON column, for a condition. */
  textIn(column: string, member: string): Expression<string | null>;
}

export interface Store extends Reader {
  /** Names this process in the audit chain: new at every start. */
  readonly writer: string;
  /** Durable when it resolves. Watchers of this process have seen its changes by then. @throws StoreError */
  commit(unit: CommitUnit): Promise<CommitResult>;
  /** The newest revision of the change log; 0 when there is none. */
  revision(): number;
  /** Every change after `from`, in order, each once. `onChanges` must not throw: a cache that stopped following would go on to allow. */
  watch(from: number, onChanges: (changes: readonly Change[]) => void): { close(): void };
  /** Finishes what is queued. */
  close(): Promise<void>;
}
