import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';

interface Prepared {
  statement: StatementSync;
  returnsRows: boolean;
}

const capacity = 500;

/** Prepared statements of one connection by their SQL. Lists of any length make many texts, so the oldest goes. */
export class StatementCache {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, Prepared>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  rows(sql: string, parameters: readonly unknown[]): Record<string, SQLOutputValue>[] {
    return this.#get(sql).statement.all(...(parameters as SQLInputValue[]));
  }

  /** Affected rows, or, for a statement that returns rows, how many it returned. */
  run(sql: string, parameters: readonly unknown[]): { count: number; id: number } {
    const { statement, returnsRows } = this.#get(sql);
    const values = parameters as SQLInputValue[]; // checked by the binding
    if (returnsRows) return { count: statement.all(...values).length, id: 0 };
    const result = statement.run(...values);
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
    const prepared = { statement, returnsRows: statement.columns().length > 0 };
    if (this.#prepared.size === capacity) {
      const [oldest] = this.#prepared.keys();
      if (oldest !== undefined) this.#prepared.delete(oldest);
    }
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}
