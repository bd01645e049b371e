import { prepared, type Statement, type Store, StoreError } from '../store/index.ts';

/** An assertion that was accepted, to be remembered until it ends (RFC 7523 section 3, point 7). */
export interface UsedAssertion {
  issuer: string;
  jti: string;
  /** Milliseconds since the epoch. */
  expiresAt: number;
  /** What a second use is answered with. */
  error: 'invalid_client' | 'invalid_request' | 'invalid_grant';
}

const conflictOf = (error: UsedAssertion['error']) => `replayed ${error}`;

type Row = { issuer: string; jti: string; expires_at: number };

const inserted = prepared((builder, row: Row) => builder.insertInto('jtis').values(row));
const insertedOnce = prepared((builder, row: Row) =>
  builder
    .insertInto('jtis')
    .values(row)
    .onConflict((conflict) => conflict.doNothing()),
);

const rowOf = ({ issuer, jti, expiresAt }: UsedAssertion): Row => ({ issuer, jti, expires_at: expiresAt });

/** Part of the unit that accepts: what is given for assertions and their use are stored together or not at all. */
export function useOnce(store: Pick<Store, 'builder'>, used: readonly UsedAssertion[]): Statement[] {
  return used.map((assertion) => ({
    query: inserted(store.builder, rowOf(assertion)),
    expect: 1,
    conflict: conflictOf(assertion.error),
  }));
}

/** For a refusal: what was presented is spent as well. */
export function spend(store: Pick<Store, 'builder'>, used: readonly UsedAssertion[]): Statement[] {
  return used.map((assertion) => ({
    query: insertedOnce(store.builder, rowOf(assertion)),
  }));
}

/** Whether a commit failed because one of its assertions was used before: what that is answered with. */
export function replayOf(error: unknown): UsedAssertion['error'] | undefined {
  if (!(error instanceof StoreError)) return undefined;
  const codes = ['invalid_client', 'invalid_request', 'invalid_grant'] as const;
  return codes.find((known) => error.conflict === conflictOf(known));
}
