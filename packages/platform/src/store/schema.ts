/**
 * The schema, once for every database. `{int}` is its 64-bit integer, `{serial}` its growing primary key, `{end}` what
 * closes a table. Migrations only add: a release reads and writes what the one before it wrote, and the reverse, until
 * `minReader` rises.
 */
export interface Dialect {
  int: string;
  serial: string;
  end: string;
}

export interface Migration {
  version: number;
  /** The oldest schema version whose code may still open the store after this migration. */
  minReader: number;
  statements: readonly string[];
}

export const migrations: readonly Migration[] = [
  {
    version: 1,
    minReader: 1,
    statements: [
      `create table resources (uid text primary key, kind text not null, namespace text not null, name text not null,
        generation {int} not null, resource_version {int} not null, owner_iss text, owner_sub text,
        managed_by text not null, source text, writer_iss text, writer_sub text, labels text not null,
        annotations text not null, spec text not null, status text not null, created_at {int} not null,
        updated_at {int} not null, unique (kind, namespace, name){end}`,
      `create table changes (revision {serial}, kind text not null, key text not null, op text not null,
        at text not null{end}`,
      `create table principals (iss text not null, sub text not null, kind text not null, name text, email text,
        role text, disabled {int} not null, not_before {int} not null, created_at {int} not null, last_seen {int},
        primary key (iss, sub){end}`,
      `create table passwords (sub text primary key, hash text not null, failed {int} not null,
        locked_until {int} not null{end}`,
      `create table deny_list (iss text not null, claim text not null, value text not null, until {int} not null,
        primary key (iss, claim, value){end}`,
      `create table login_links (hash text primary key, sub text not null, expires_at {int} not null, used_at {int}{end}`,
      `create table login_sessions (id_hash text primary key, sid text, iss text not null, sub text not null,
        sealed text not null, csrf text not null, created_at {int} not null, expires_at {int} not null,
        last_seen {int} not null, fence {int} not null{end}`,
      `create index login_sessions_sub on login_sessions (iss, sub)`,
      `create index login_sessions_sid on login_sessions (iss, sid)`,
      `create table oidc_rows (model text not null, id_hash text not null, grant_id text, uid text, user_code text,
        payload text not null, expires_at {int}, consumed_at {int}, primary key (model, id_hash){end}`,
      `create index oidc_rows_grant on oidc_rows (grant_id)`,
      `create index oidc_rows_uid on oidc_rows (model, uid)`,
      `create index oidc_rows_user_code on oidc_rows (model, user_code)`,
      `create index oidc_rows_expires on oidc_rows (expires_at)`,
      `create table clients (id text primary key, spec text not null, secret_ref text, created_at {int} not null{end}`,
      `create table jtis (issuer text not null, jti text not null, expires_at {int} not null,
        primary key (issuer, jti){end}`,
      `create index jtis_expires on jtis (expires_at)`,
      `create table tickets (hash text primary key, payload text not null, expires_at {int} not null, used_at {int}{end}`,
      `create table sessions (id text primary key, agent_uid text not null, agent_namespace text not null,
        agent_name text not null, owner_iss text not null, owner_sub text not null, title text, door text not null,
        created_at {int} not null, updated_at {int} not null, last_seq {int} not null, turn text, deleted_at {int}{end}`,
      `create index sessions_owner on sessions (owner_iss, owner_sub, updated_at)`,
      `create index sessions_agent on sessions (agent_uid, updated_at)`,
      `create table turns (id text primary key, session text not null, seq {int} not null, state text not null,
        code text, holder text, lease_until {int}, fence {int} not null, agent_uid text not null,
        agent_generation {int} not null, principal text not null, login_session text, door text not null,
        idempotency_key text, started_at {int} not null, ended_at {int}, usage text,
        unique (session, idempotency_key){end}`,
      `create index turns_session on turns (session, seq)`,
      `create index turns_live on turns (state, lease_until)`,
      `create index turns_login on turns (login_session)`,
      `create table turn_commands (id {serial}, turn text not null, command text not null, data text, at text not null,
        consumed_at {int}{end}`,
      `create index turn_commands_turn on turn_commands (turn, id)`,
      `create table events (session text not null, seq {int} not null, turn text, step {int}, at text not null,
        type text not null, message_id text, part_index {int}, call_id text, data text not null,
        primary key (session, seq){end}`,
      `create index events_turn on events (turn, seq)`,
      `create table audit_lines (writer text not null, seq {int} not null, prev text not null, hash text not null,
        body text not null, at text not null, type text not null, phase text not null, iss text, sub text, agent text,
        server text, session text, turn text, call text, jti text, request_id text, record text, decision text,
        ref text, primary key (writer, seq){end}`,
      `create index audit_lines_at on audit_lines (at)`,
      `create index audit_lines_turn on audit_lines (turn)`,
      `create index audit_lines_session on audit_lines (session)`,
      `create index audit_lines_sub on audit_lines (iss, sub, at)`,
      `create index audit_lines_ref on audit_lines (ref)`,
      `create index audit_lines_jti on audit_lines (jti)`,
      `create index audit_lines_request on audit_lines (request_id)`,
      `create index audit_lines_record on audit_lines (record)`,
      `create table audit_checkpoints (seq {int} primary key, at text not null, body text not null,
        signature text not null{end}`,
      `create table sealed (kind text not null, uid text not null, field text not null, version {int} not null,
        key_id text not null, envelope text not null, fingerprint text not null, created_at {int} not null,
        primary key (kind, uid, field, version){end}`,
      `create index sealed_key on sealed (key_id)`,
    ],
  },
  {
    // The audit keeps what it says of people beside its lines: code of before would take such a line for an edited one.
    version: 2,
    minReader: 2,
    statements: [
      'drop index audit_lines_sub',
      'drop index audit_lines_record',
      'alter table audit_lines drop column iss',
      'alter table audit_lines drop column sub',
      'alter table audit_lines drop column record',
      'alter table audit_lines add column token_jti text',
      `create index audit_lines_token on audit_lines (token_jti) where token_jti is not null`,
      `create table audit_persons (writer text not null, seq {int} not null, n {int} not null, at text not null,
        acting {int} not null, iss text not null, sub text not null, salt text not null, fields text not null,
        primary key (writer, seq, n){end}`,
      `create index audit_persons_sub on audit_persons (sub, iss, at, writer, seq)`,
      `create table audit_records (writer text not null, seq {int} not null, record text not null,
        primary key (writer, seq, record){end}`,
      `create index audit_records_record on audit_records (record)`,
      `create index events_exchange on events (at) where type = 'exchange'`,
    ],
  },
];

/** The version that this code writes, and the oldest `minReader` rule it knows. */
export const schemaVersion = migrations.reduce((newest, migration) => Math.max(newest, migration.version), 0);

export const metaTable = 'create table meta (key text primary key, value text not null{end}';

export const ddl = (text: string, dialect: Dialect): string =>
  text.replaceAll('{int}', dialect.int).replaceAll('{serial}', dialect.serial).replaceAll('{end}', dialect.end);
