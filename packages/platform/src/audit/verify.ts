import type { AuditLineRow, Store } from '../store/index.ts';
import { chainHash, checkpointHash } from './chain.ts';
import { parseCheckpoint, type Signer, sameCheckpoint } from './checkpoint.ts';
import { diagnose } from './diagnose.ts';
import { sameIndex } from './search.ts';
import type { Checkpoint } from './witness.ts';

export interface Verified {
  ok: true;
  entries: number;
  writers: number;
  checkpoints: number;
  /** ISO 8601: what was stored before cannot be rewritten unseen since then; null without a checkpoint. */
  tamperEvidentSince: string | null;
  /** ISO 8601 of the last checkpoint: lines after it can still be cut off unseen. */
  tamperEvidentUntil: string | null;
  /** Who would be found out. */
  against: 'whoever lacks the signing key' | 'whoever cannot write the witness' | 'nobody';
}

export interface Tampered {
  ok: false;
  /** The writer, or `checkpoint` for the list of checkpoints itself. */
  writer: string;
  /** The first bad number. */
  seq: number;
  /** Where the first bad number can only be bounded (the chain was computed anew): the last it can be. */
  upTo?: number;
  reason: 'edited' | 'deleted' | 'swapped' | 'duplicated' | 'truncated' | 'missing writer' | 'checkpoint';
}

/** What a line must hash to, by writer and number, as checkpoints say. */
export type Anchors = Map<string, Map<number, string>>;

/** Reads every line once, in batches, beside the traffic. */
export async function verify(
  store: Store,
  signer: Signer,
  witnessed?: readonly Checkpoint[],
): Promise<Verified | Tampered> {
  const query = store.builder.selectFrom('audit_checkpoints').selectAll().orderBy('seq').compile();
  const stored = await store.read(query);
  // A line that is gone says more than the checkpoint that misses it: so anchors first, then the lists compared.
  const anchors = anchorsOf([...stored, ...(witnessed ?? [])]);
  const writers = await writersOf(store);
  for (const [writer, heads] of anchors) {
    if (!writers.has(writer) && heads.size > 0) return { ok: false, writer, seq: 1, reason: 'missing writer' };
  }
  let entries = 0;
  for (const writer of writers) {
    const result = await verifyWriter(store, writer, anchors.get(writer) ?? new Map());
    if (typeof result !== 'number') return result;
    entries += result;
  }
  const bad = badCheckpoint(stored, signer) ?? contradiction(stored, witnessed);
  if (bad !== undefined) return { ok: false, writer: 'checkpoint', seq: bad, reason: 'checkpoint' };
  const evident = stored.length > 0;
  const against = witnessed === undefined ? 'whoever lacks the signing key' : 'whoever cannot write the witness';
  return {
    ok: true,
    entries,
    writers: writers.size,
    checkpoints: stored.length,
    tamperEvidentSince: stored[0]?.at ?? null,
    tamperEvidentUntil: stored.at(-1)?.at ?? null,
    against: evident ? against : 'nobody',
  };
}

async function writersOf(store: Store): Promise<Set<string>> {
  const query = store.builder.selectFrom('audit_lines').select('writer').distinct().orderBy('writer').compile();
  return new Set((await store.read(query)).map(({ writer }) => writer));
}

function anchorsOf(checkpoints: readonly Checkpoint[]): Anchors {
  const anchors: Anchors = new Map();
  for (const { body } of checkpoints) {
    for (const [writer, head] of Object.entries(parseCheckpoint(body)?.heads ?? {})) {
      const heads = anchors.get(writer) ?? new Map<number, string>();
      const known = heads.get(head.seq);
      // Two checkpoints that disagree: no line can satisfy both.
      heads.set(head.seq, known === undefined || known === head.hash ? head.hash : '');
      anchors.set(writer, heads);
    }
  }
  return anchors;
}

async function verifyWriter(
  store: Store,
  writer: string,
  anchors: ReadonlyMap<number, string>,
): Promise<number | Tampered> {
  let last = 0;
  for (const seq of anchors.keys()) last = Math.max(last, seq);
  let seq = 0;
  let prev = '';
  let proven = 0;
  while (true) {
    const batch = await linesAfter(store, writer, seq);
    for (const row of batch) {
      const expected = seq + 1;
      const hash = chainHash(writer, expected, prev, row.body);
      if (row.seq !== expected || row.prev !== prev || row.hash !== hash) {
        return { ok: false, writer, seq: expected, reason: await diagnose(store, row, expected, prev) };
      }
      if (!sameIndex(row)) return { ok: false, writer, seq: expected, reason: 'edited' };
      const anchor = anchors.get(expected);
      if (anchor !== undefined && anchor !== hash) {
        return { ok: false, writer, seq: proven + 1, upTo: expected, reason: 'edited' };
      }
      if (anchor !== undefined) proven = expected;
      seq = expected;
      prev = hash;
    }
    if (batch.length === 0) break;
  }
  return seq < last ? { ok: false, writer, seq: seq + 1, reason: 'truncated' } : seq;
}

const linesAfter = (store: Store, writer: string, seq: number): Promise<AuditLineRow[]> => {
  const lines = store.builder.selectFrom('audit_lines').selectAll().where('writer', '=', writer);
  return store.read(lines.where('seq', '>', seq).orderBy('seq').limit(1_000).compile());
};

function badCheckpoint(checkpoints: readonly Checkpoint[], signer: Signer): number | undefined {
  let prev = '';
  for (const [n, { seq, body, signature }] of checkpoints.entries()) {
    const parsed = parseCheckpoint(body);
    const genuine = signer.verify(Buffer.from(body), signature);
    if (seq !== n + 1 || parsed?.seq !== seq || parsed.prev !== prev || !genuine) return n + 1;
    prev = checkpointHash(body, signature);
  }
  return undefined;
}

/** The first checkpoint that the witness has otherwise than the store. */
function contradiction(stored: readonly Checkpoint[], witnessed: readonly Checkpoint[] = []): number | undefined {
  const bySeq = new Map(stored.map((checkpoint) => [checkpoint.seq, checkpoint]));
  for (const known of witnessed) {
    const found = bySeq.get(known.seq);
    if (found === undefined || !sameCheckpoint(found, known)) return known.seq;
  }
  return undefined;
}
