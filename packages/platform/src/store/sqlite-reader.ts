import { existsSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { sqliteBuilder, sqliteTextIn } from './builder.ts';
import { StoreError } from './error.ts';
import { schemaVersion } from './schema.ts';
import { storeError } from './sqlite-error.ts';
import { lock } from './sqlite-open.ts';
import { StatementCache } from './sqlite-statements.ts';
import type { Reader } from './unit.ts';

export interface SqliteReader extends Reader {
  close(): void;
}

/**
 * The database of a stopped server, to be judged: no connection that could write is opened, and nothing is migrated.
 * @throws StoreError `store_locked`, `store_older`, `store_foreign`
 */
export function openSqliteReader(path: string): SqliteReader {
  const held = existsSync(`${path}.lock`) ? lock(path) : undefined;
  try {
    const db = new DatabaseSync(locationOf(path), { readOnly: true, timeout: 1_000 });
    refuseOther(db, path);
    const reads = new StatementCache(db);
    return {
      builder: sqliteBuilder(),
      textIn: sqliteTextIn,
      async read<R>(query: { sql: string; parameters: readonly unknown[] }): Promise<R[]> {
        try {
          return reads.rows(query.sql, query.parameters) as R[];
        } catch (error) {
          throw storeError(error);
        }
      },
      close() {
        db.close();
        held?.close();
      },
    };
  } catch (error) {
    held?.close();
    throw storeError(error);
  }
}

/**
 * Without a log the file is all there is, and `immutable` keeps SQLite from making one beside it. After a kill the log
 * has the newest lines, and is read where it stands.
 */
function locationOf(path: string): URL {
  const url = pathToFileURL(path);
  if ((statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) === 0) url.searchParams.set('immutable', '1');
  return url;
}

function refuseOther(db: DatabaseSync, path: string): void {
  try {
    const found = Number(db.prepare("select value from meta where key = 'version'").get()?.value ?? 0);
    const least = Number(db.prepare("select value from meta where key = 'min_reader'").get()?.value ?? 0);
    if (found >= schemaVersion && least <= schemaVersion) return;
    const [code, age, repair] =
      found < schemaVersion
        ? (['store_older', 'an older', 'start this version on it once, or read it with that one'] as const)
        : (['store_newer', 'a newer', 'read it with that version'] as const);
    throw new StoreError(code, `${path} was written by ${age} version`, { repair });
  } catch (error) {
    db.close();
    if (error instanceof StoreError) throw error;
    throw new StoreError('store_foreign', `${path} holds nothing of ours`, {
      cause: error,
      repair: 'name the data directory of a server',
    });
  }
}
