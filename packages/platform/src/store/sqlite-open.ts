import { closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from './error.ts';
import { type Dialect, ddl, metaTable, migrations, schemaVersion } from './schema.ts';
import { isBusy, storeError } from './sqlite-error.ts';

const dialect: Dialect = { int: 'integer', serial: 'integer primary key autoincrement', end: ') strict' };

// A check reads the whole file, so a large one is checked only when the last process did not close it.
const checkAlways = 32 * 1024 * 1024;

/**
 * Holds the data directory for one process. The lock is the kernel's, on a second database file, so a process that was
 * killed leaves none behind. @throws StoreError `store_locked`
 */
export function lock(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  createPrivate(`${path}.lock`);
  const file = new DatabaseSync(`${path}.lock`, { timeout: 0 });
  try {
    file.exec('pragma locking_mode = exclusive; begin exclusive');
    return file;
  } catch (error) {
    file.close();
    if (!isBusy(error)) throw storeError(error);
    throw new StoreError('store_locked', `another process uses ${path}`, {
      cause: error,
      repair: 'stop the other process, or use another data directory',
    });
  }
}

/** The writing connection, checked and migrated. A store that is refused has not been touched. @throws StoreError */
export function openWriter(path: string, maxBytes: number | undefined): DatabaseSync {
  createPrivate(path);
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    refuseUnreadable(db, path);
    db.exec('pragma journal_mode = wal; pragma synchronous = full; pragma secure_delete = fast');
    if (maxBytes !== undefined) limitSize(db, maxBytes);
    migrate(db);
    setMeta(db, 'open', '1');
    return db;
  } catch (error) {
    db.close();
    throw storeError(error);
  }
}

export function closeWriter(db: DatabaseSync): void {
  try {
    setMeta(db, 'open', '0');
  } catch {
    // A full disk: the next start checks the file, which is all that the mark saves.
  }
  db.close();
}

export function limitSize(db: DatabaseSync, maxBytes: number): void {
  const pageSize = Number(db.prepare('pragma page_size').get()?.page_size);
  db.exec(`pragma max_page_count = ${Math.max(1, Math.floor(maxBytes / pageSize))}`);
}

function createPrivate(path: string): void {
  closeSync(openSync(path, 'a', 0o600)); // SQLite gives its -wal and -shm files the same mode
}

function refuseUnreadable(db: DatabaseSync, path: string): void {
  try {
    const tables = db.prepare("select name from sqlite_schema where type = 'table'").all();
    if (tables.length === 0) return;
    if (!tables.some((table) => table.name === 'meta')) {
      throw new StoreError('store_foreign', `${path} is a database of another program`, {
        repair: 'choose another data directory',
      });
    }
    const minReader = Number(meta(db, 'min_reader'));
    if (minReader > schemaVersion) {
      throw new StoreError(
        'store_newer',
        `${path} was written by a newer version (it needs schema ${minReader}, this is ${schemaVersion})`,
        { repair: 'install that version again, or restore the backup made before the upgrade' },
      );
    }
    if (meta(db, 'open') === '0' && statSync(path).size > checkAlways) return;
    const [finding] = db.prepare('pragma quick_check(1)').all();
    if (finding?.quick_check !== 'ok') throw damaged(path, finding?.quick_check);
  } catch (error) {
    const known = storeError(error);
    throw known.code === 'store_damaged' ? damaged(path, error) : known;
  }
}

const damaged = (path: string, cause: unknown) =>
  new StoreError('store_damaged', `${path} is damaged`, {
    cause,
    repair: 'keep a copy of the file, then restore a backup, or recover with: sqlite3 FILE .recover',
  });

function migrate(db: DatabaseSync): void {
  db.exec('begin immediate');
  try {
    db.exec(ddl(metaTable, dialect).replace('create table', 'create table if not exists'));
    const from = Number(meta(db, 'version') ?? 0);
    for (const migration of migrations) {
      if (migration.version <= from) continue;
      for (const statement of migration.statements) db.exec(ddl(statement, dialect));
      setMeta(db, 'version', String(migration.version));
      setMeta(db, 'min_reader', String(migration.minReader));
    }
    db.exec('commit');
  } catch (error) {
    if (db.isTransaction) db.exec('rollback');
    throw error;
  }
}

function meta(db: DatabaseSync, key: string): string | undefined {
  const value = db.prepare('select value from meta where key = ?').get(key)?.value;
  return typeof value === 'string' ? value : undefined;
}

function setMeta(db: DatabaseSync, key: string, value: string): void {
  db.prepare('insert into meta values (?, ?) on conflict (key) do update set value = excluded.value').run(key, value);
}
