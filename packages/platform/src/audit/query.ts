import type { AuditLineRow, Store } from '../store/index.ts';
import { cleanText } from './line.ts';
import type { StoredEntry } from './search.ts';

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
  /** The exact hashed text. */
  body: string;
  entry: StoredEntry;
  cursor: string;
}

const columns = {
  turn: 'turn',
  type: 'type',
  iss: 'iss',
  sub: 'sub',
  agent: 'agent',
  server: 'server',
  session: 'session',
  jti: 'jti',
  requestId: 'request_id',
  record: 'record',
  decision: 'decision',
  ref: 'ref',
} as const;

/** Oldest first, unless asked otherwise. Lines of one writer keep their order; writers are merged by time. */
export async function queryLines(store: Store, filter: AuditFilter): Promise<StoredLine[]> {
  let query = store.builder.selectFrom('audit_lines').selectAll();
  for (const name of Object.keys(columns) as (keyof typeof columns)[]) {
    const value = filter[name];
    if (value !== undefined) query = query.where(columns[name], '=', cleanText(value));
  }
  if (filter.since !== undefined) query = query.where('at', '>=', filter.since);
  if (filter.until !== undefined) query = query.where('at', '<', filter.until);
  const after = cursorOf(filter.after);
  if (after !== undefined) {
    const { at, writer, seq } = after;
    query = query.where((e) => e(e.refTuple('at', 'writer', 'seq'), '>', e.tuple(at, writer, seq)));
  }
  const limit = Math.min(Math.max(1, Math.trunc(filter.limit ?? 100)), 1_000);
  const direction = filter.newestFirst ? 'desc' : 'asc';
  const ordered = query.orderBy('at', direction).orderBy('writer', direction).orderBy('seq', direction).limit(limit);
  return (await store.read(ordered.compile())).map(stored);
}

function stored(row: AuditLineRow): StoredLine {
  const { writer, seq, hash, at, body } = row;
  const cursor = `${at}~${writer}~${seq}`;
  return { writer, seq, hash, at, body, entry: parse(body, row), cursor };
}

// A line that somebody made unreadable is still shown; `verify` says what it is.
function parse(body: string, { at, type, phase }: AuditLineRow): StoredEntry {
  try {
    return JSON.parse(body) as StoredEntry;
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
