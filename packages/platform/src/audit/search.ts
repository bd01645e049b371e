import type { AuditIndex, AuditLineRow, AuditPersonRow } from '../store/index.ts';
import type { AuditEntry } from './entry.ts';
import { valueAt } from './fields.ts';
import { fits, ofLine, type PersonalFields } from './persons.ts';

/** An entry as a reader gets it: what is personal is put back, or `[erased]`. */
export type StoredEntry = AuditEntry & { at: string };

/** An entry as it stands in the body: commitments where `personal` points. */
type CommittedEntry = StoredEntry & { personal?: PersonalFields };

/** What a line is searched by. It follows from the body, so that `verify` can tell when somebody hid a line. */
export function indexOf(entry: StoredEntry): AuditIndex {
  const { at, type, phase, principal, agent, tool, target } = entry;
  const values = {
    agent: agent === undefined ? undefined : `${agent.namespace}/${agent.name}`,
    server: tool?.server ?? target?.server,
    session: entry.session,
    turn: entry.turn,
    call: entry.call,
    jti: principal?.jti,
    requestId: entry.requestId,
    decision: entry.decision ?? (type === 'decision' ? entry.outcome : undefined),
    ref: entry.ref,
    tokenJti: entry.token?.jti,
  };
  const present = Object.entries(values).filter(([, value]) => value !== undefined);
  return { at, type, phase, ...Object.fromEntries(present) };
}

const columns: Readonly<Record<keyof AuditIndex, keyof AuditLineRow>> = {
  at: 'at',
  type: 'type',
  phase: 'phase',
  agent: 'agent',
  server: 'server',
  session: 'session',
  turn: 'turn',
  call: 'call',
  jti: 'jti',
  requestId: 'request_id',
  decision: 'decision',
  ref: 'ref',
  tokenJti: 'token_jti',
};

/** What stands beside a line. */
export interface Beside {
  persons: readonly AuditPersonRow[];
  records: readonly string[];
}

/**
 * Whether what stands beside a line is what the body says: else the line would be hidden from whoever searches, or
 * speak of somebody else. Persons may be missing, for they can be erased: `erased` counts them.
 */
export function compareBeside(
  row: AuditLineRow,
  beside: Beside,
): { same: boolean; erased: number; entry?: CommittedEntry } {
  let entry: CommittedEntry;
  let index: AuditIndex;
  try {
    entry = JSON.parse(row.body) as CommittedEntry;
    index = indexOf(entry);
  } catch {
    return { same: false, erased: 0 };
  }
  const columnsFit = (Object.keys(columns) as (keyof AuditIndex)[]).every(
    (name) => row[columns[name]] === (index[name] ?? null),
  );
  const records = [...new Set(entry.records ?? [])].sort();
  const recordsFit = JSON.stringify(records) === JSON.stringify([...beside.records].sort());
  const personal = entry.personal ?? [];
  const personsFit = beside.persons.every((person) => personFits(entry, personal, person));
  return {
    same: columnsFit && recordsFit && personsFit,
    erased: personal.length - beside.persons.length,
    entry,
  };
}

/** The columns by which a person is found say what the committed fields say. */
function personFits(entry: CommittedEntry, personal: PersonalFields, person: AuditPersonRow): boolean {
  const { n, at, acting, iss, sub, salt } = person;
  const fields = fieldsOf(person);
  const committed = entry as unknown as Record<string, unknown>;
  const pointers = personal[n] ?? [];
  if (!fits(committed, pointers, salt, fields) || at !== entry.at || pointers.length === 0) return false;
  if ((acting === 1) !== pointers.some(ofLine)) return false;
  const names = pointers.filter((pointer) => pointer.endsWith('/subject'));
  const named = names.every(
    (pointer) => fields[pointer] === sub && valueAt(committed, pointer.replace(/subject$/, 'issuer')) === iss,
  );
  if (names.length > 0 || acting === 0) return named && names.length > 0;
  return iss === (entry.principal?.issuer ?? '') && sub === '';
}

/** JSON of a row's fields; nothing for what somebody made unreadable. */
export function fieldsOf({ fields }: Pick<AuditPersonRow, 'fields'>): Record<string, unknown> {
  try {
    const parsed = JSON.parse(fields) as unknown;
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
