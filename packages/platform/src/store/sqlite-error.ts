import { StoreError, type StoreErrorCode } from './error.ts';

/** Primary result codes of SQLite (https://sqlite.org/rescode.html); the extended code is `primary | n << 8`. */
const codes: Readonly<Record<number, StoreErrorCode>> = {
  5: 'store_busy', // BUSY
  6: 'store_busy', // LOCKED
  7: 'store_failed', // NOMEM
  8: 'store_readonly', // READONLY
  10: 'store_failed', // IOERR
  11: 'store_damaged', // CORRUPT
  13: 'store_full', // FULL
  14: 'store_failed', // CANTOPEN
  26: 'store_damaged', // NOTADB
};

// UNIQUE, PRIMARYKEY and CHECK: what the database says a precondition is. NOT NULL and a wrong type are our mistakes.
const uniqueness = new Set([19 | (8 << 8), 19 | (6 << 8), 19 | (1 << 8)]);

export const errcode = (error: unknown): number =>
  error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : 0;

export const isBusy = (error: unknown): boolean => codes[errcode(error) & 0xff] === 'store_busy';

/** Every error that leaves the store is a StoreError; SQLite's own is its cause. */
export function storeError(error: unknown, conflict?: string): StoreError {
  if (error instanceof StoreError) return error;
  const code = errcode(error);
  if (uniqueness.has(code)) {
    return new StoreError('precondition_failed', 'a row with this key exists', { cause: error, conflict });
  }
  const mapped = codes[code & 0xff] ?? 'statement_invalid';
  return new StoreError(mapped, messages[mapped] ?? 'the store failed', { cause: error });
}

const messages: Partial<Record<StoreErrorCode, string>> = {
  statement_invalid: 'the statement cannot be executed',
  store_busy: 'the database is locked by another program',
  store_full: 'no space left for the store',
  store_readonly: 'the store cannot be written',
  store_damaged: 'the store is damaged',
};

/** Errors of one statement. Whatever else happens concerns the whole transaction. */
export const concernsUnitOnly = (error: StoreError): boolean =>
  error.code === 'precondition_failed' || error.code === 'statement_invalid';
