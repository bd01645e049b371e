import type { Generated } from 'kysely';

/**
 * Rows as they are stored, the same on every database: text and 64-bit integers only. A column `at` is ISO 8601 text;
 * every other time is milliseconds since 1970. JSON is text. A flag is 0 or 1. docs/storage.md says how long a row
 * lives, what is hashed and what is sealed.
 */
export interface Tables {
  meta: MetaRow;
  resources: ResourceRow;
  changes: ChangeRow;
  principals: PrincipalRow;
  passwords: PasswordRow;
  deny_list: DenyRow;
  login_links: LoginLinkRow;
  login_sessions: LoginSessionRow;
  oidc_rows: OidcRow;
  clients: ClientRow;
  jtis: JtiRow;
  tickets: TicketRow;
  sessions: SessionRow;
  turns: TurnRow;
  turn_commands: TurnCommandRow;
  events: EventRow;
  audit_lines: AuditLineRow;
  audit_persons: AuditPersonRow;
  audit_records: AuditRecordRow;
  audit_checkpoints: AuditCheckpointRow;
  sealed: SealedRow;
}

export interface MetaRow {
  key: string;
  value: string;
}

export interface ResourceRow {
  uid: string;
  kind: string;
  namespace: string; // '' for cluster-scoped kinds
  name: string;
  generation: number;
  resource_version: number;
  owner_iss: string | null;
  owner_sub: string | null;
  managed_by: string; // api | file | environment | cluster
  source: string | null;
  writer_iss: string | null; // the last writer of the spec
  writer_sub: string | null;
  labels: string; // JSON object
  annotations: string; // JSON object
  spec: string; // JSON; never a secret's value
  status: string; // JSON object
  created_at: number;
  updated_at: number;
}

export interface ChangeRow {
  revision: Generated<number>;
  kind: string;
  key: string;
  op: string; // put | delete
  at: string;
}

export interface PrincipalRow {
  iss: string;
  sub: string;
  kind: string; // person | service | workload
  name: string | null;
  email: string | null;
  role: string | null;
  disabled: number;
  not_before: number; // tokens issued before are refused; 0: none
  created_at: number;
  last_seen: number | null;
}

export interface PasswordRow {
  sub: string;
  hash: string;
  failed: number;
  locked_until: number;
}

export interface DenyRow {
  iss: string;
  claim: string; // sub | sid | jti
  value: string;
  until: number;
}

export interface LoginLinkRow {
  hash: string;
  sub: string;
  expires_at: number;
  used_at: number | null;
}

export interface LoginSessionRow {
  id_hash: string;
  sid: string | null;
  iss: string;
  sub: string;
  sealed: string; // envelope: the login's tokens
  csrf: string; // hash
  created_at: number;
  expires_at: number;
  last_seen: number;
  fence: number; // rises with every refresh
}

export interface OidcRow {
  model: string;
  id_hash: string;
  grant_id: string | null;
  uid: string | null;
  user_code: string | null; // hash
  payload: string; // envelope, or JSON without credentials
  expires_at: number | null;
  consumed_at: number | null;
}

export interface ClientRow {
  id: string;
  spec: string; // JSON
  secret_ref: string | null; // uid of the client's sealed secret
  created_at: number;
}

export interface JtiRow {
  issuer: string;
  jti: string;
  expires_at: number;
}

export interface TicketRow {
  hash: string;
  payload: string; // JSON; no credential
  expires_at: number;
  used_at: number | null;
}

export interface SessionRow {
  id: string;
  agent_uid: string;
  agent_namespace: string;
  agent_name: string;
  owner_iss: string;
  owner_sub: string;
  title: string | null;
  door: string;
  created_at: number;
  updated_at: number;
  last_seq: number;
  turn: string | null; // the running turn
  deleted_at: number | null;
}

export interface TurnRow {
  id: string;
  session: string;
  seq: number;
  state: string;
  code: string | null;
  holder: string | null;
  lease_until: number | null;
  fence: number;
  agent_uid: string;
  agent_generation: number;
  principal: string; // JSON; no credential
  login_session: string | null; // id_hash
  door: string;
  idempotency_key: string | null;
  started_at: number;
  ended_at: number | null;
  usage: string | null; // JSON
}

export interface TurnCommandRow {
  id: Generated<number>;
  turn: string;
  command: string;
  data: string | null; // JSON; a token in it is sealed
  at: string;
  consumed_at: number | null;
}

export interface EventRow {
  session: string;
  seq: number;
  turn: string | null;
  step: number | null;
  at: string;
  type: string;
  message_id: string | null;
  part_index: number | null;
  call_id: string | null;
  data: string; // JSON
}

export interface AuditLineRow {
  writer: string;
  seq: number;
  prev: string;
  hash: string;
  body: string; // the exact hashed text
  at: string;
  type: string;
  phase: string;
  agent: string | null;
  server: string | null;
  session: string | null;
  turn: string | null;
  call: string | null;
  jti: string | null;
  request_id: string | null;
  decision: string | null;
  ref: string | null;
  token_jti: string | null; // of the token that was issued or sent
}

/** What a line says of one person, beside it: the line itself holds commitments only. */
export interface AuditPersonRow {
  writer: string;
  seq: number;
  n: number; // which of the line's persons
  at: string; // of the line
  acting: number; // 1: the line's principal
  iss: string; // '' for nobody in particular
  sub: string;
  salt: string;
  fields: string; // JSON: pointer into the line, value
}

export interface AuditRecordRow {
  writer: string;
  seq: number;
  record: string;
}

export interface AuditCheckpointRow {
  seq: number;
  at: string;
  body: string; // the exact signed text
  signature: string;
}

export interface SealedRow {
  kind: string;
  uid: string;
  field: string;
  version: number;
  key_id: string; // of the key that wraps the data key
  envelope: string;
  fingerprint: string; // keyed
  created_at: number;
}
