import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { sqliteBuilder, sqliteTextIn } from './builder.ts';
import { StoreError } from './error.ts';
import { GroupCommit } from './sqlite-commit.ts';
import { storeError } from './sqlite-error.ts';
import { closeWriter, limitSize, lock, openWriter } from './sqlite-open.ts';
import { StatementCache } from './sqlite-statements.ts';
import type { Change, Store } from './unit.ts';
import { ChangeFeed } from './watch.ts';

export interface SqliteStoreOptions {
  /** The database file; its directory is made with mode 0700. */
  path: string;
  /** The audit's hash of a line, from its place and the hash before it (`''` for a writer's first). */
  chain: (writer: string, seq: number, prev: string, body: string) => string;
  now?: () => number;
  /** Units that may wait; one more is `store_busy`. */
  maxQueue?: number;
  /** How long a unit waits, in ms, while a backup or another program has the database locked. */
  maxWait?: number;
  /** Upper bound of the database file in bytes; beyond it a commit is `store_full`. */
  maxBytes?: number;
}

export interface SqliteStore extends Store {
  setMaxBytes(maxBytes: number): void;
}

const batch = 500;
const changesAfter = `select revision, kind, key, op, at from changes where revision > ? order by revision limit ${batch}`;

/** @throws StoreError `store_locked`, `store_newer`, `store_damaged`, `store_foreign`, with a `repair` */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<SqliteStore> {
  const { path } = options;
  const held = lock(path);
  let db: DatabaseSync | undefined;
  try {
    db = openWriter(path, options.maxBytes);
    const reader = new DatabaseSync(path, { readOnly: true, timeout: 1000 });
    return connect(options, held, db, reader);
  } catch (error) {
    db?.close();
    held.close();
    throw error;
  }
}

function connect(options: SqliteStoreOptions, held: DatabaseSync, db: DatabaseSync, reader: DatabaseSync): SqliteStore {
  const { chain, now = Date.now, maxQueue = 10_000, maxWait = 5_000 } = options;
  const reads = new StatementCache(reader);
  const writer = randomUUID();
  const feed = new ChangeFeed((after) => reads.rows(changesAfter, [after]) as unknown as Change[]);
  const newest = reads.rows('select max(revision) as revision from changes', [])[0]?.revision;
  const revision = typeof newest === 'number' ? newest : 0;
  const published = (before: number, changes: readonly Change[]) => feed.publish(before, changes);
  const commits = new GroupCommit({ db, writer, chain, now, revision, maxQueue, maxWait, published });
  let closing: Promise<void> | undefined;

  const shut = async () => {
    await commits.drained();
    feed.close();
    reader.close();
    closeWriter(db);
    held.close();
  };

  return {
    builder: sqliteBuilder(),
    textIn: sqliteTextIn,
    writer,
    async commit(unit) {
      if (closing !== undefined) throw new StoreError('closed', 'the store is closed');
      return commits.add(unit);
    },
    async read<R>(query: { sql: string; parameters: readonly unknown[] }): Promise<R[]> {
      if (closing !== undefined) throw new StoreError('closed', 'the store is closed');
      try {
        return reads.rows(query.sql, query.parameters) as R[];
      } catch (error) {
        throw storeError(error);
      }
    },
    revision: () => commits.revision,
    watch: (from, onChanges) => feed.watch(from, onChanges),
    close() {
      closing ??= shut();
      return closing;
    },
    setMaxBytes: (maxBytes) => limitSize(db, maxBytes),
  };
}
