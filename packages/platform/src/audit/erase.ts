import type { Store } from '../store/index.ts';
import { StoreError } from '../store/index.ts';
import type { AuditEntry } from './entry.ts';
import { cleanText, line } from './line.ts';

const BATCH = 500;
const TRIES = 5;

/**
 * Removes what the lines say of a person, with the salts: what stays in the lines can then be tried against nothing.
 * Each commit carries a line of its own that says how many were removed, so that a removal by anybody else is found.
 * @returns how many were removed. @throws StoreError
 */
export async function erasePerson(
  store: Store,
  person: { issuer: string; subject: string },
  entry: Omit<AuditEntry, 'type' | 'phase' | 'data'>,
  now: () => string,
): Promise<number> {
  const { builder } = store;
  const of = builder
    .selectFrom('audit_persons')
    .select(['writer', 'seq', 'n'])
    .where('iss', '=', cleanText(person.issuer))
    .where('sub', '=', cleanText(person.subject));
  let removed = 0;
  for (let tries = 0; ; ) {
    const rows = await store.read(of.limit(BATCH).compile());
    if (rows.length === 0) return removed;
    const statements = rows.map(({ writer, seq, n }) => ({
      query: builder
        .deleteFrom('audit_persons')
        .where('writer', '=', writer)
        .where('seq', '=', seq)
        .where('n', '=', n)
        .compile(),
      expect: 1,
    }));
    try {
      const said = line({ ...entry, type: 'erase', phase: 'single', data: { persons: rows.length } }, now());
      await store.commit({ statements, audit: [said] });
      removed += rows.length;
      tries = 0;
    } catch (error) {
      // Somebody erases the same person beside us.
      const raced = error instanceof StoreError && error.code === 'precondition_failed';
      if (!raced || ++tries === TRIES) throw error;
    }
  }
}
