import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from './error.ts';
import { inSlices } from './slices.ts';
import { concernsUnitOnly, isBusy, storeError } from './sqlite-error.ts';
import { StatementCache } from './sqlite-statements.ts';
import type { AuditBody, Change, CommitResult, CommitUnit } from './unit.ts';

export interface GroupCommitOptions {
  db: DatabaseSync;
  writer: string;
  chain: (writer: string, seq: number, prev: string, body: string) => string;
  now: () => number;
  revision: number;
  maxQueue: number;
  /** How long a unit waits for a database that somebody else has locked, in ms. */
  maxWait: number;
  published: (before: number, changes: readonly Change[]) => void;
}

interface Pending {
  unit: CommitUnit;
  since: number;
  resolve: (result: CommitResult) => void;
  reject: (error: StoreError) => void;
}

/** What a unit moves and a rollback moves back. */
interface Head {
  revision: number;
  seq: number;
  prev: string;
}

const retryAfter = 20;
/** Rows of a unit that is written in slices, so that who does not write waits no longer than a slice. */
const LARGE = 300;
/** How long the first unit waits at most while every turn of the event loop brings more. */
const GATHER_MS = 3;

/**
 * Units that come together, one after another in one durable transaction: one fsync for many writers. Each is in a
 * savepoint, so that one whose precondition failed takes nothing else with it.
 */
export class GroupCommit {
  readonly #o: GroupCommitOptions;
  readonly #statements: StatementCache;
  #queue: Pending[] = [];
  #head: Head;
  #scheduled = false;
  /** A large unit is being written: the others wait for its end. */
  #slicing = false;
  #idle: (() => void)[] = [];

  constructor(options: GroupCommitOptions) {
    this.#o = options;
    this.#statements = new StatementCache(options.db);
    this.#head = { revision: options.revision, seq: 0, prev: '' };
  }

  get revision(): number {
    return this.#head.revision;
  }

  add(unit: CommitUnit): Promise<CommitResult> {
    if (this.#queue.length >= this.#o.maxQueue) {
      return Promise.reject(new StoreError('store_busy', 'too many writes are waiting'));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ unit, since: performance.now(), resolve, reject });
      this.#schedule(0);
    });
  }

  /** Resolves when nothing is waiting any more. */
  drained(): Promise<void> {
    return this.#queue.length === 0 && !this.#slicing
      ? Promise.resolve()
      : new Promise((resolve) => this.#idle.push(resolve));
  }

  #schedule(delay: number): void {
    if (this.#scheduled || this.#slicing) return;
    this.#scheduled = true;
    const flush = () => {
      this.#scheduled = false;
      this.#flush();
    };
    if (delay === 0) this.#gather(flush, 0);
    else setTimeout(flush, delay);
  }

  /** Until a turn of the event loop brought nothing more: one that is alone waits for an empty turn, a few µs. */
  #gather(flush: () => void, known: number): void {
    setImmediate(() => {
      const { length, 0: first } = this.#queue;
      const waited = performance.now() - (first?.since ?? 0);
      if (length > known && waited < GATHER_MS) this.#gather(flush, length);
      else flush();
    });
  }

  #flush(): void {
    try {
      this.#o.db.exec('begin immediate');
    } catch (error) {
      if (isBusy(error)) this.#wait(error);
      else this.#fail(this.#take(), storeError(error));
      return;
    }
    const group = this.#take();
    const [first] = group;
    if (first && isLarge(first.unit)) {
      this.#slicing = true;
      this.#inSlices(first)
        .catch((error: unknown) => this.#fail([first], storeError(error)))
        .finally(() => {
          this.#slicing = false;
          if (this.#queue.length > 0) this.#schedule(0);
          this.#settled();
        });
      return;
    }
    const before = { ...this.#head };
    const changes: Change[] = [];
    const settle: (() => void)[] = [];
    try {
      for (const pending of group) settle.push(this.#apply(pending, changes));
      this.#o.db.exec('commit');
    } catch (error) {
      this.#head = before;
      if (this.#o.db.isTransaction) this.#o.db.exec('rollback');
      this.#fail(group, storeError(error));
      return;
    }
    this.#o.published(before.revision, changes);
    for (const done of settle) done();
    this.#settled();
  }

  /** A large unit alone; else all that wait up to the first large one. */
  #take(): Pending[] {
    const large = this.#queue.findIndex(({ unit }) => isLarge(unit));
    const group = this.#queue.splice(0, large === -1 ? this.#queue.length : Math.max(1, large));
    if (this.#queue.length > 0) queueMicrotask(() => this.#schedule(0));
    return group;
  }

  /** One large unit in a transaction that stays open while others get their turn. Readers see nothing of it before its end. */
  async #inSlices(pending: Pending): Promise<void> {
    const { db } = this.#o;
    const before = { ...this.#head };
    const changes: Change[] = [];
    try {
      const steps = this.#steps(pending.unit, changes);
      const breathe = inSlices();
      let step = steps.next();
      while (!step.done) {
        await breathe();
        step = steps.next();
      }
      db.exec('commit');
      this.#o.published(before.revision, changes);
      pending.resolve(step.value);
    } catch (error) {
      this.#head = before;
      if (db.isTransaction) db.exec('rollback');
      pending.reject(storeError(error));
    }
  }

  #fail(group: readonly Pending[], error: StoreError): void {
    for (const pending of group) pending.reject(error);
    this.#settled();
  }

  #settled(): void {
    if (this.#queue.length > 0 || this.#slicing) return;
    for (const done of this.#idle.splice(0)) done();
  }

  #wait(cause: unknown): void {
    const limit = performance.now() - this.#o.maxWait;
    const late = this.#queue.filter((pending) => pending.since <= limit);
    this.#queue = this.#queue.filter((pending) => pending.since > limit);
    this.#fail(late, storeError(cause));
    if (this.#queue.length > 0) this.#schedule(retryAfter);
  }

  /** Returns what to do once the transaction is durable. @throws StoreError when the transaction cannot go on */
  #apply(pending: Pending, changes: Change[]): () => void {
    const before = { ...this.#head };
    const kept = changes.length;
    const { db } = this.#o;
    this.#statements.run('savepoint unit', []);
    try {
      const result = this.#run(pending.unit, changes);
      this.#statements.run('release unit', []);
      return () => pending.resolve(result);
    } catch (thrown) {
      const error = storeError(thrown);
      if (!concernsUnitOnly(error) || !db.isTransaction) throw error;
      this.#statements.run('rollback to unit', []);
      this.#statements.run('release unit', []);
      this.#head = before;
      changes.length = kept;
      return () => pending.reject(error);
    }
  }

  #run(unit: CommitUnit, changes: Change[]): CommitResult {
    const steps = this.#steps(unit, changes);
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
    }
  }

  *#steps(unit: CommitUnit, changes: Change[]): Generator<undefined, CommitResult> {
    const rows: number[] = [];
    for (const { query, expect, conflict } of unit.statements) {
      const count = this.#execute(query.sql, query.parameters, conflict);
      if (expect !== undefined && count !== expect) {
        throw new StoreError('precondition_failed', `${count} rows where ${expect} were expected`, { conflict });
      }
      rows.push(count);
      yield;
    }
    const at = new Date(this.#o.now()).toISOString();
    for (const { kind, key, op } of unit.changes ?? []) {
      const { id } = this.#statements.run(insertChange, [kind, key, op, at]);
      this.#head.revision = id;
      changes.push({ revision: id, kind, key, op, at });
      yield;
    }
    const audit: { writer: string; seq: number }[] = [];
    for (const line of unit.audit ?? []) {
      audit.push(this.#append(line));
      yield;
    }
    return { revision: this.#head.revision, rows, audit };
  }

  #execute(sql: string, parameters: readonly unknown[], conflict: string | undefined): number {
    try {
      return this.#statements.run(sql, parameters).count;
    } catch (error) {
      throw storeError(error, conflict);
    }
  }

  #append({ body, index: i, persons = [], records = [] }: AuditBody): { writer: string; seq: number } {
    const { writer, chain } = this.#o;
    const { prev } = this.#head;
    const seq = this.#head.seq + 1;
    const hash = chain(writer, seq, prev, body);
    const fields = [i.at, i.type, i.phase, i.agent, i.server, i.session, i.turn, i.call, i.jti, i.requestId];
    const more = [i.decision, i.ref, i.tokenJti];
    this.#statements.run(insertLine, [writer, seq, prev, hash, body, ...[...fields, ...more].map((f) => f ?? null)]);
    for (const [n, { acting, iss, sub, salt, fields: values }] of persons.entries())
      this.#statements.run(insertPerson, [
        ...[writer, seq, n, i.at, acting ? 1 : 0, iss, sub, salt],
        JSON.stringify(values),
      ]);
    for (const record of new Set(records)) this.#statements.run(insertRecord, [writer, seq, record]);
    this.#head.seq = seq;
    this.#head.prev = hash;
    return { writer, seq };
  }
}

const isLarge = ({ statements, changes = [], audit = [] }: CommitUnit) =>
  statements.length + changes.length + audit.length > LARGE;

const insertChange = 'insert into changes (kind, key, op, at) values (?, ?, ?, ?)';
const insertLine = `insert into audit_lines (writer, seq, prev, hash, body, at, type, phase, agent, server, session, turn,
  call, jti, request_id, decision, ref, token_jti) values (${'?'.padEnd(52, ', ?')})`;
const insertPerson = `insert into audit_persons (writer, seq, n, at, acting, iss, sub, salt, fields)
  values (${'?'.padEnd(25, ', ?')})`;
const insertRecord = 'insert into audit_records (writer, seq, record) values (?, ?, ?)';
