import {
  DummyDriver,
  type Expression,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from 'kysely';
import type { Tables } from './tables.ts';

/** Compiles for SQLite and cannot execute: a statement runs only inside a unit, or as a read. */
export const sqliteBuilder = (): Kysely<Tables> =>
  new Kysely<Tables>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new SqliteIntrospector(db),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });

/** A text member of a JSON column. */
export const sqliteTextIn = (column: string, member: string): Expression<string | null> =>
  sql`json_extract(${sql.ref(column)}, ${`$.${member}`})`;
