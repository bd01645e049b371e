import { CodedError } from '@onbehalf/resources';

/** What a store can answer instead of a result. Callers branch on the code, never on the message. */
export type StoreErrorCode =
  | 'precondition_failed' // a row count or a uniqueness was not as the unit expected; nothing of the unit is stored
  | 'statement_invalid' // the statement itself is wrong: syntax, unknown column, a value that cannot be bound
  | 'store_busy' // queue full, or the database locked by somebody else for too long
  | 'store_full' // no space left; everything rolled back, the next commit may succeed
  | 'store_failed' // the disk answered with an error; everything rolled back
  | 'store_damaged'
  | 'store_newer'
  | 'store_older' // to be read as it is, and not ours to migrate
  | 'store_foreign' // a database that is not ours
  | 'store_locked' // another process has this data directory
  | 'store_readonly'
  | 'closed';

export interface StoreErrorOptions {
  cause?: unknown;
  /** The code that the failing statement carries, such as `turn_running`. */
  conflict?: string | undefined;
  /** One line for the operator: what to do. */
  repair?: string;
}

export class StoreError extends CodedError<StoreErrorCode> {
  readonly conflict?: string;
  readonly repair?: string;

  constructor(code: StoreErrorCode, message: string, options: StoreErrorOptions = {}) {
    super(code, message, options);
    if (options.conflict !== undefined) this.conflict = options.conflict;
    if (options.repair !== undefined) this.repair = options.repair;
  }
}
