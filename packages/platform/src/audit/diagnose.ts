import type { AuditLineRow, Reader } from '../store/index.ts';
import { chainHash } from './chain.ts';
import type { Tampered } from './findings.ts';

/**
 * Says what was done to the first line that does not fit. Only words for a reader: that something was done is certain
 * before this is asked. `expected` is the number that should follow, `prev` the hash of the line before it.
 */
export async function diagnose(
  store: Reader,
  row: AuditLineRow,
  expected: number,
  prev: string,
): Promise<Tampered['reason']> {
  if (row.seq !== expected) return 'deleted';
  const { builder } = store;
  const lines = builder.selectFrom('audit_lines').selectAll().where('writer', '=', row.writer);
  // The same line stands earlier: it was put in a second time.
  const earlier = lines
    .where('seq', '<', expected)
    .where((e) => e.or([e('hash', '=', row.hash), e('prev', '=', row.prev)]));
  if ((await store.read(earlier.limit(1).compile())).length > 0) return 'duplicated';
  // The line that belongs here stands later, whole; or only the texts were exchanged.
  const rightful = lines.where('seq', '>', expected).where('prev', '=', prev);
  if ((await store.read(rightful.limit(1).compile())).length > 0) return 'swapped';
  // The line fits a later number: those between were taken out and the rest numbered anew.
  if (row.prev !== prev) {
    for (let number = expected + 1; number <= expected + 1_000; number++) {
      if (chainHash(row.writer, number, row.prev, row.body) === row.hash) return 'deleted';
    }
  }
  let after = expected;
  while (true) {
    const batch = await store.read(lines.where('seq', '>', after).orderBy('seq').limit(1_000).compile());
    for (const other of batch) {
      const hash = chainHash(row.writer, expected, prev, other.body);
      if (hash === row.hash || hash === other.hash) return 'swapped';
    }
    const last = batch.at(-1);
    if (last === undefined) return 'edited';
    after = last.seq;
  }
}
