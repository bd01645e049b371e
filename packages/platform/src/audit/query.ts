import { sql } from 'kysely';
import type { AuditLineRow, AuditPersonRow, Reader } from '../store/index.ts';
import { cleanText } from './line.ts';
import { type PersonalFields, restore } from './persons.ts';
import { fieldsOf, type StoredEntry } from './search.ts';

export interface AuditFilter {
  turn?: string;
  type?: string;
  iss?: string;
  sub?: string;
  /** `namespace/name` */
  agent?: string;
  /** `namespace/name` */
  server?: string;
  session?: string;
  /** Of the token that the person came with, or of one that was issued, exchanged or sent. */
  jti?: string;
  requestId?: string;
  record?: string;
  decision?: string;
  ref?: string;
  /** ISO 8601, inclusive. */
  since?: string;
  /** ISO 8601, exclusive. */
  until?: string;
  /** At most 1,000; 100 by default. */
  limit?: number;
  newestFirst?: boolean;
  /** `cursor` of the last line that was seen. */
  after?: string;
}

export interface StoredLine {
  writer: string;
  seq: number;
  hash: string;
  at: string;
  /** The exact hashed text; what is personal is not in it. */
  body: string;
  entry: StoredEntry;
  cursor: string;
}

const columns = {
  turn: 'turn',
  type: 'type',
  agent: 'agent',
  server: 'server',
  session: 'session',
  requestId: 'request_id',
  decision: 'decision',
  ref: 'ref',
} as const;

/** Oldest first, unless asked otherwise. Lines of one writer keep their order; writers are merged by time. */
export async function queryLines(store: Reader, filter: AuditFilter): Promise<StoredLine[]> {
  let query = store.builder.selectFrom('audit_lines').selectAll('audit_lines');
  for (const name of Object.keys(columns) as (keyof typeof columns)[]) {
    const value = filter[name];
    if (value !== undefined) query = query.where(`audit_lines.${columns[name]}`, '=', cleanText(value));
  }
  const { iss, sub, jti, record } = filter;
  if (iss !== undefined || sub !== undefined) {
    query = query.innerJoin('audit_persons as p', (join) =>
      join.onRef('p.writer', '=', 'audit_lines.writer').onRef('p.seq', '=', 'audit_lines.seq').on('p.acting', '=', 1),
    ) as unknown as typeof query;
    const of = (column: 'p.iss' | 'p.sub', value: string) => {
      query = query.where(sql.ref<string>(column), '=', cleanText(value));
    };
    if (iss !== undefined) of('p.iss', iss);
    if (sub !== undefined) of('p.sub', sub);
  }
  if (record !== undefined)
    query = query.where((e) =>
      e.exists(
        e
          .selectFrom('audit_records as r')
          .select('r.record')
          .whereRef('r.writer', '=', 'audit_lines.writer')
          .whereRef('r.seq', '=', 'audit_lines.seq')
          .where('r.record', '=', cleanText(record)),
      ),
    );
  if (jti !== undefined)
    query = query.where((e) => e.or([e('audit_lines.jti', '=', cleanText(jti)), e('token_jti', '=', cleanText(jti))]));
  if (filter.since !== undefined) query = query.where('audit_lines.at', '>=', filter.since);
  if (filter.until !== undefined) query = query.where('audit_lines.at', '<', filter.until);
  const after = cursorOf(filter.after);
  if (after !== undefined) {
    const { at, writer, seq } = after;
    const beyond = filter.newestFirst ? '<' : '>';
    query = query.where((e) =>
      e(e.refTuple('audit_lines.at', 'audit_lines.writer', 'audit_lines.seq'), beyond, e.tuple(at, writer, seq)),
    );
  }
  const limit = Math.min(Math.max(1, Math.trunc(filter.limit ?? 100)), 1_000);
  const direction = filter.newestFirst ? 'desc' : 'asc';
  const ordered = query.orderBy('audit_lines.at', direction).orderBy('audit_lines.writer', direction);
  const rows = await store.read(ordered.orderBy('audit_lines.seq', direction).limit(limit).compile());
  const persons = await personsOf(store, rows);
  return rows.map((row) => stored(row, persons.get(placeOf(row)) ?? []));
}

const placeOf = ({ writer, seq }: { writer: string; seq: number }) => `${writer}~${seq}`;

/** What stands beside these lines, by their place. */
async function personsOf(store: Reader, rows: readonly AuditLineRow[]): Promise<Map<string, AuditPersonRow[]>> {
  const found = new Map<string, AuditPersonRow[]>();
  if (rows.length === 0) return found;
  const numbers = Map.groupBy(rows, ({ writer }) => writer);
  for (const [writer, lines] of numbers) {
    const persons = store.builder.selectFrom('audit_persons').selectAll().where('writer', '=', writer);
    const wanted = persons.where(
      'seq',
      'in',
      lines.map(({ seq }) => seq),
    );
    for (const person of await store.read(wanted.compile())) {
      const place = placeOf(person);
      found.set(place, [...(found.get(place) ?? []), person]);
    }
  }
  return found;
}

function stored(row: AuditLineRow, persons: readonly AuditPersonRow[]): StoredLine {
  const { writer, seq, hash, at, body } = row;
  const cursor = `${at}~${writer}~${seq}`;
  return { writer, seq, hash, at, body, entry: parse(row, persons), cursor };
}

// A line that somebody made unreadable is still shown; `verify` says what it is.
function parse({ body, at, type, phase }: AuditLineRow, persons: readonly AuditPersonRow[]): StoredEntry {
  try {
    const { personal = [], ...committed } = JSON.parse(body) as { personal?: PersonalFields };
    const known = new Map(persons.map((person) => [person.n, fieldsOf(person)]));
    return restore(committed, personal, known) as unknown as StoredEntry;
  } catch {
    return { at, type, phase, reason: 'unreadable' } as StoredEntry;
  }
}

function cursorOf(text: string | undefined): { at: string; writer: string; seq: number } | undefined {
  const [at, writer, seq] = text?.split('~') ?? [];
  const number = Number(seq);
  return at !== undefined && writer !== undefined && Number.isSafeInteger(number)
    ? { at, writer, seq: number }
    : undefined;
}
