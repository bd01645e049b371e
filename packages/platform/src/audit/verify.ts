import { sql } from 'kysely';
import type { AuditLineRow, Reader, Tables } from '../store/index.ts';
import { chainHash, checkpointHash } from './chain.ts';
import { parseCheckpoint, sameCheckpoint } from './checkpoint.ts';
import { diagnose } from './diagnose.ts';
import type { Proof, Tampered, Verified, WitnessReport } from './findings.ts';
import { compareBeside } from './search.ts';
import type { Signer } from './signer.ts';
import { type Checkpoint, inForce, type Witness } from './witness.ts';

/** What a line must hash to, by writer and number, as checkpoints say. */
export type Anchors = Map<string, Map<number, string>>;

interface Count {
  entries: number;
  /** Persons that lines name and that are not there. */
  missing: number;
  /** Persons that erasures have removed, as their lines say. */
  erased: number;
}

/** Reads every line once, in batches, beside the traffic. Writes nothing, and signs nothing. */
export async function verify(
  store: Reader,
  signer: Pick<Signer, 'verify'>,
  witness?: Witness,
): Promise<Verified | Tampered> {
  const read = await readWitness(witness, signer);
  const query = store.builder.selectFrom('audit_checkpoints').selectAll().orderBy('seq').compile();
  const stored = await store.read(query);
  // A line that is gone says more than the checkpoint that misses it: so anchors first, then the lists compared.
  const anchors = anchorsOf([...stored, ...read.checkpoints]);
  const writers = await writersOf(store);
  for (const [writer, heads] of anchors) {
    if (!writers.has(writer) && heads.size > 0) return { ok: false, writer, seq: 1, reason: 'missing writer' };
  }
  const total: Count = { entries: 0, missing: 0, erased: 0 };
  for (const writer of writers) {
    const result = await verifyWriter(store, writer, anchors.get(writer) ?? new Map());
    if ('ok' in result) return result;
    for (const name of ['entries', 'missing', 'erased'] as const) total[name] += result[name];
  }
  const bad = badCheckpoint(stored, signer) ?? contradiction(stored, read.checkpoints);
  if (bad !== undefined) return { ok: false, writer: 'checkpoint', seq: bad, reason: 'checkpoint' };
  const unexplained = total.missing - total.erased;
  if (unexplained > 0) return { ok: false, writer: 'persons', seq: unexplained, reason: 'removed without an erasure' };
  return {
    ok: true,
    entries: total.entries,
    writers: writers.size,
    checkpoints: stored.length,
    erased: total.missing,
    proofs: proofsOf(stored, read),
    witness: read.report,
  };
}

interface ReadWitness {
  checkpoints: readonly Checkpoint[];
  against: string;
  report: WitnessReport;
}

async function readWitness(witness: Witness | undefined, signer: Pick<Signer, 'verify'>): Promise<ReadWitness> {
  if (witness === undefined) return { checkpoints: [], against: '', report: { state: 'none', accepted: [] } };
  const { place } = witness;
  try {
    const { checkpoints, accepted } = inForce(await witness.read(), signer);
    const owner = await witness.owner?.();
    const against = `whoever cannot write ${place}${owner === undefined ? '' : `, so not against ${owner}, who owns it`}`;
    return { checkpoints, against, report: { state: checkpoints.length === 0 ? 'empty' : 'agrees', place, accepted } };
  } catch {
    return { checkpoints: [], against: '', report: { state: 'unreachable', place, accepted: [] } };
  }
}

/**
 * A checkpoint's signature says that what stood there when it was made has not been changed since. It does not say that
 * nothing stood after it: whoever writes the database can cut the newest lines together with their checkpoints, without
 * any key. Only a witness misses those.
 */
function proofsOf(stored: readonly (Checkpoint & { at: string })[], { checkpoints, against }: ReadWitness): Proof[] {
  const witnessed = checkpoints.map(
    ({ seq, body }) => stored.find((s) => s.seq === seq)?.at ?? parseCheckpoint(body)?.at,
  );
  const seen = { since: witnessed[0] ?? null, until: witnessed.at(-1) ?? null, against };
  const signed = { since: stored[0]?.at ?? null, until: stored.at(-1)?.at ?? null };
  return [
    { claim: 'unchanged', ...signed, against: stored.length === 0 ? 'nobody' : 'whoever lacks the signing key' },
    ...(witnessed.length > 0 ? [{ claim: 'unchanged' as const, ...seen }] : []),
    witnessed.length > 0
      ? { claim: 'complete', ...seen }
      : { claim: 'complete', since: null, until: null, against: 'nobody' },
  ];
}

async function writersOf(store: Reader): Promise<Set<string>> {
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
  store: Reader,
  writer: string,
  anchors: ReadonlyMap<number, string>,
): Promise<Count | Tampered> {
  let last = 0;
  for (const seq of anchors.keys()) last = Math.max(last, seq);
  const count: Count = { entries: 0, missing: 0, erased: 0 };
  let seq = 0;
  let prev = '';
  let proven = 0;
  while (true) {
    const batch = await linesAfter(store, writer, seq);
    const beside = await besideOf(store, writer, batch);
    for (const row of batch) {
      const expected = seq + 1;
      const hash = chainHash(writer, expected, prev, row.body);
      if (row.seq !== expected || row.prev !== prev || row.hash !== hash) {
        return { ok: false, writer, seq: expected, reason: await diagnose(store, row, expected, prev) };
      }
      const { same, erased, entry } = compareBeside(row, beside(expected));
      if (!same) return { ok: false, writer, seq: expected, reason: 'edited' };
      const anchor = anchors.get(expected);
      if (anchor !== undefined && anchor !== hash) {
        return { ok: false, writer, seq: proven + 1, upTo: expected, reason: 'edited' };
      }
      if (anchor !== undefined) proven = expected;
      count.missing += erased;
      if (entry?.type === 'erase') count.erased += Number(entry.data?.persons) || 0;
      seq = expected;
      prev = hash;
    }
    if (batch.length === 0) break;
  }
  count.entries = seq;
  return seq < last ? { ok: false, writer, seq: seq + 1, reason: 'truncated' } : count;
}

const linesAfter = (store: Reader, writer: string, seq: number): Promise<AuditLineRow[]> => {
  const lines = store.builder.selectFrom('audit_lines').selectAll().where('writer', '=', writer);
  return store.read(lines.where('seq', '>', seq).orderBy('seq').limit(1_000).compile());
};

async function besideOf(store: Reader, writer: string, batch: readonly AuditLineRow[]) {
  const [from, to] = [batch[0]?.seq ?? 0, batch.at(-1)?.seq ?? 0];
  const within = <T extends 'audit_persons' | 'audit_records'>(table: T) =>
    sql<Tables[T]>`select * from ${sql.table(table)} where writer = ${writer} and seq >= ${from} and seq <= ${to}`;
  const persons = await store.read(within('audit_persons').compile(store.builder));
  const records = await store.read(within('audit_records').compile(store.builder));
  const personsOf = Map.groupBy(persons, ({ seq }) => seq);
  const recordsOf = Map.groupBy(records, ({ seq }) => seq);
  return (seq: number) => ({
    persons: personsOf.get(seq) ?? [],
    records: (recordsOf.get(seq) ?? []).map(({ record }) => record),
  });
}

function badCheckpoint(checkpoints: readonly Checkpoint[], signer: Pick<Signer, 'verify'>): number | undefined {
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
