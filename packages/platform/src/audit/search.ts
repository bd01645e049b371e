import type { AuditIndex, AuditLineRow } from '../store/index.ts';
import type { AuditEntry } from './entry.ts';

/** An entry as it stands in the body. */
export type StoredEntry = AuditEntry & { at: string };

/** What a line is searched by. It follows from the body, so that `verify` can tell when somebody hid a line. */
export function indexOf(entry: StoredEntry): AuditIndex {
  const { at, type, phase, principal, agent, tool, target } = entry;
  const values = {
    iss: principal?.issuer,
    sub: principal?.subject,
    agent: agent === undefined ? undefined : `${agent.namespace}/${agent.name}`,
    server: tool?.server ?? target?.server,
    session: entry.session,
    turn: entry.turn,
    call: entry.call,
    jti: principal?.jti,
    requestId: entry.requestId,
    record: entry.record,
    decision: entry.decision ?? (type === 'decision' ? entry.outcome : undefined),
    ref: entry.ref,
  };
  const present = Object.entries(values).filter(([, value]) => value !== undefined);
  return { at, type, phase, ...Object.fromEntries(present) };
}

const columns: Readonly<Record<keyof AuditIndex, keyof AuditLineRow>> = {
  at: 'at',
  type: 'type',
  phase: 'phase',
  iss: 'iss',
  sub: 'sub',
  agent: 'agent',
  server: 'server',
  session: 'session',
  turn: 'turn',
  call: 'call',
  jti: 'jti',
  requestId: 'request_id',
  record: 'record',
  decision: 'decision',
  ref: 'ref',
};

/** False when a column does not say what the body says: the line would be hidden from whoever searches. */
export function sameIndex(row: AuditLineRow): boolean {
  let index: AuditIndex;
  try {
    index = indexOf(JSON.parse(row.body) as StoredEntry);
  } catch {
    return false;
  }
  return (Object.keys(columns) as (keyof AuditIndex)[]).every((name) => row[columns[name]] === (index[name] ?? null));
}
