import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';

interface Prepared {
  statement: StatementSync;
  /** Of the columns; none where no rows are returned. */
  names: readonly string[];
}

const capacity = 500;

/** Prepared statements of one connection by their SQL. Lists of any length make many texts, so the oldest goes. */
export class StatementCache {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, Prepared>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** Plain objects, as every other database returns them: made of lists, for a fourth of what the binding's own cost. */
  rows(sql: string, parameters: readonly unknown[]): Record<string, SQLOutputValue>[] {
    const { statement, names } = this.#get(sql);
    return lists(statement, parameters).map((values) => {
      const row: Record<string, SQLOutputValue> = {};
      for (let index = 0; index < names.length; index++) row[names[index] as string] = values[index] ?? null;
      return row;
    });
  }

  /** Affected rows, or, for a statement that returns rows, how many it returned. */
  run(sql: string, parameters: readonly unknown[]): { count: number; id: number } {
    const { statement, names } = this.#get(sql);
    if (names.length > 0) return { count: lists(statement, parameters).length, id: 0 };
    const result = statement.run(...(parameters as SQLInputValue[]));
    return { count: Number(result.changes), id: Number(result.lastInsertRowid) };
  }

  #get(sql: string): Prepared {
    const known = this.#prepared.get(sql);
    if (known !== undefined) {
      // Only a full cache needs to know what was used last.
      if (this.#prepared.size === capacity) {
        this.#prepared.delete(sql);
        this.#prepared.set(sql, known);
      }
      return known;
    }
    const statement = this.#db.prepare(sql);
    const prepared = { statement, names: statement.columns().map(({ name }) => name) };
    statement.setReturnArrays(true);
    if (this.#prepared.size === capacity) {
      const [oldest] = this.#prepared.keys();
      if (oldest !== undefined) this.#prepared.delete(oldest);
    }
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}

/** Parameters are checked by the binding, whose types do not know that rows were asked for as lists. */
const lists = (statement: StatementSync, parameters: readonly unknown[]) =>
  statement.all(...(parameters as SQLInputValue[])) as unknown as SQLOutputValue[][];
