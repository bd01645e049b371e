import { sql } from 'kysely';
import type { CommitUnit, Store } from '../store/index.ts';
import { StoreError } from '../store/index.ts';
import { checkpointHash } from './chain.ts';
import { AuditError } from './error.ts';
import type { Signer } from './signer.ts';
import type { Checkpoint, Witness } from './witness.ts';

export interface Head {
  seq: number;
  hash: string;
}

export interface CheckpointBody {
  v: 1;
  seq: number;
  at: string;
  keyId: string;
  /** Hash of the checkpoint before it; `''` for the first. */
  prev: string;
  heads: Record<string, Head>;
}

/** The newest line of each writer, in time that grows with the writers and not with the lines. */
export async function readHeads(store: Store): Promise<Record<string, Head>> {
  const query = sql<{ writer: string; seq: number; hash: string }>`
    with recursive w (writer) as (
      select min(writer) from audit_lines
      union all
      select (select min(l.writer) from audit_lines l where l.writer > w.writer) from w where w.writer is not null
    )
    select a.writer, a.seq, a.hash from w join audit_lines a on a.writer = w.writer
      and a.seq = (select max(l.seq) from audit_lines l where l.writer = w.writer)
    order by a.writer`.compile(store.builder);
  const rows = await store.read(query);
  return Object.fromEntries(rows.map(({ writer, seq, hash }) => [writer, { seq, hash }]));
}

export async function lastCheckpoint(store: Store): Promise<(Checkpoint & { hash: string }) | undefined> {
  const { builder } = store;
  const query = builder.selectFrom('audit_checkpoints').selectAll().orderBy('seq', 'desc').limit(1).compile();
  const [row] = await store.read(query);
  if (row === undefined) return undefined;
  const { seq, body, signature } = row;
  return { seq, body, signature, hash: checkpointHash(body, signature) };
}

/** Signs and stores the next checkpoint. Another replica may have been first: then its checkpoint stands. */
export async function makeCheckpoint(store: Store, signer: Signer, at: string): Promise<Checkpoint | undefined> {
  const last = await lastCheckpoint(store);
  const heads = await readHeads(store);
  if (last !== undefined && JSON.stringify(parseCheckpoint(last.body)?.heads) === JSON.stringify(heads)) return last;
  const seq = (last?.seq ?? 0) + 1;
  const fields: CheckpointBody = { v: 1, seq, at, keyId: signer.keyId, prev: last?.hash ?? '', heads };
  const body = JSON.stringify(fields);
  const signature = signer.sign(Buffer.from(body));
  const row = store.builder.insertInto('audit_checkpoints').values({ seq, at, body, signature }).compile();
  const unit: CommitUnit = { statements: [{ query: row }] };
  try {
    await store.commit(unit);
    return { seq, body, signature };
  } catch (error) {
    if (error instanceof StoreError && error.code === 'precondition_failed') return undefined;
    throw new AuditError('audit_unavailable', 'the checkpoint cannot be stored', error);
  }
}

/**
 * Gives the witness what it has not seen, unless it has seen something else. `known` is what it had last.
 * @returns what it has last now. @throws AuditError
 */
export async function tellWitness(
  store: Store,
  witness: Witness,
  known: Checkpoint | undefined,
): Promise<Checkpoint | undefined> {
  const { builder } = store;
  const from = known?.seq ?? 0;
  const query = builder.selectFrom('audit_checkpoints').selectAll().where('seq', '>=', from).orderBy('seq').compile();
  const rows = await store.read(query);
  if (known !== undefined) {
    const same = rows.shift();
    if (same === undefined || !sameCheckpoint(same, known)) {
      throw new AuditError('witness_contradicts', `the witness holds another checkpoint ${known.seq} than the store`);
    }
  }
  let last = known;
  for (const { seq, body, signature } of rows) {
    last = { seq, body, signature };
    await witness.append(last);
  }
  return last;
}

export const sameCheckpoint = (a: Checkpoint, b: Checkpoint): boolean =>
  a.seq === b.seq && a.body === b.body && a.signature === b.signature;

/** Undefined for what is no checkpoint: a reader of a damaged row must be able to say so. */
export function parseCheckpoint(body: string): CheckpointBody | undefined {
  try {
    const parsed = JSON.parse(body) as Partial<CheckpointBody> | null;
    const { heads } = parsed ?? {};
    return typeof heads === 'object' && heads !== null ? (parsed as CheckpointBody) : undefined;
  } catch {
    return undefined;
  }
}
