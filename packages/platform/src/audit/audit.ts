import { randomUUID } from 'node:crypto';
import type { SecretValue } from '@onbehalf/secret-value';
import type { AuditBody, Store } from '../store/index.ts';
import { acceptStore } from './accept.ts';
import { lastCheckpoint, makeCheckpoint, tellWitness } from './checkpoint.ts';
import type { AuditEntry, AuditPrincipal } from './entry.ts';
import { erasePerson } from './erase.ts';
import { AuditError } from './error.ts';
import type { Tampered, Verified } from './findings.ts';
import { line } from './line.ts';
import { type AuditFilter, queryLines, type StoredLine } from './query.ts';
import type { Signer } from './signer.ts';
import { verify } from './verify.ts';
import { type Accepted, type Checkpoint, inForce, type Witness } from './witness.ts';

export interface AuditOptions {
  store: Store;
  signer: Signer;
  /** Keyed hash of a value, and which key it was. */
  keyedHash: (value: string) => { key: string; hash: string };
  now?: () => number;
  witness?: Witness;
  /** Milliseconds between checkpoints, 60 s by default; 0 for none but the first and the last. */
  checkpointEvery?: number;
}

/** What `intent` and `outcome` set themselves is left out of the entry. */
export type Half = Omit<AuditEntry, 'phase' | 'ref'>;

export interface Audit {
  /** A line to go inside a commit unit, so that it and the change are stored together or not at all. */
  line(entry: AuditEntry): AuditBody;
  /** @throws AuditError `audit_unavailable`; the line is then counted, and the count written when that is possible */
  append(entry: AuditEntry): Promise<{ writer: string; seq: number }>;
  /** Durable before what it announces. @throws AuditError `audit_unavailable`: then it must not happen */
  intent(entry: Half): Promise<string>;
  /** @throws AuditError */
  outcome(ref: string, entry: Half): Promise<void>;
  /** `key:hash`; tells two tokens apart and gives neither away. */
  tokenHash(secret: SecretValue): string;
  query(filter: AuditFilter): Promise<StoredLine[]>;
  /** All that belongs to one turn, in order. */
  trace(turn: string): Promise<StoredLine[]>;
  verify(options?: { witness?: Witness }): Promise<Verified | Tampered>;
  /**
   * Removes what the lines say of a person; the chain still verifies. The erasure's own line does not name them.
   * @returns of how many lines. @throws AuditError
   */
  erase(person: { issuer: string; subject: string }, by: AuditPrincipal): Promise<number>;
  /**
   * After a restore: what the witness has beyond this store counts no more, and it follows this store from now on.
   * @throws AuditError `witness_unreachable`, or `witness_agrees` where there is nothing to accept
   */
  acceptWitness(by: AuditPrincipal, reason: string): Promise<Accepted>;
  /** Signs the heads, and tells the witness. @throws AuditError */
  checkpoint(): Promise<void>;
  /** What the last checkpoint learnt about the witness. */
  readonly witness: 'none' | 'agrees' | 'contradicts' | 'unreachable';
  close(): Promise<void>;
}

/** Writes this process' first line and a checkpoint. @throws AuditError `audit_unavailable` */
export async function createAudit(options: AuditOptions): Promise<Audit> {
  const { store, signer, keyedHash, now = Date.now, witness, checkpointEvery = 60_000 } = options;
  const iso = () => new Date(now()).toISOString();
  const missed = { count: 0, since: '' };
  const state: { witness: Audit['witness']; told: Checkpoint | undefined; asked: boolean } = {
    witness: witness === undefined ? 'none' : 'agrees',
    told: undefined,
    asked: false,
  };

  const make = (entry: AuditEntry) => line(entry, iso());

  const write = async (entry: AuditEntry) => {
    const { count, since } = missed;
    missed.count = 0; // taken by this line, so that a second one under way does not report them again
    const gap = count === 0 ? [] : [make({ type: 'gap', phase: 'single', data: { missed: count, since } })];
    try {
      const { audit } = await store.commit({ statements: [], audit: [...gap, make(entry)] });
      const place = audit.at(-1);
      if (place === undefined) throw new TypeError('the store gave no place in the chain');
      return place;
    } catch (error) {
      if (count > 0 && (missed.count === 0 || since < missed.since)) missed.since = since;
      missed.count += count;
      throw new AuditError('audit_unavailable', 'the audit cannot be written', error);
    }
  };

  /** For what has happened, or happens anyway: if it cannot be written, that much is remembered. */
  const writeOrCount = async (entry: AuditEntry) => {
    try {
      return await write(entry);
    } catch (error) {
      if (missed.count === 0) missed.since = iso();
      missed.count += 1;
      throw error;
    }
  };

  const tell = async () => {
    if (witness === undefined) return;
    try {
      if (!state.asked) state.told = inForce(await witness.read(), signer).checkpoints.at(-1);
      state.asked = true;
      state.told = await tellWitness(store, witness, state.told);
      state.witness = 'agrees';
    } catch (error) {
      const contradicts = error instanceof AuditError && error.code === 'witness_contradicts';
      state.witness = contradicts ? 'contradicts' : 'unreachable';
      throw error;
    }
  };

  const checkpoint = async () => {
    await makeCheckpoint(store, signer, iso());
    await tell();
  };

  const last = await lastCheckpoint(store);
  const named = last === undefined ? null : { seq: last.seq, hash: last.hash };
  await write({ type: 'start', phase: 'single', data: { checkpoint: named, signer: signer.keyId } });
  // A witness that contradicts is for the operator to look at: `witness` says so, and no line is lost meanwhile.
  const quietly = () => checkpoint().catch(() => undefined);
  await quietly();
  const timer = checkpointEvery > 0 ? setInterval(quietly, checkpointEvery).unref() : undefined;

  return {
    line: make,
    append: writeOrCount,
    async intent(entry) {
      const ref = randomUUID();
      await write({ ...entry, phase: 'intent', ref });
      return ref;
    },
    async outcome(ref, entry) {
      await writeOrCount({ ...entry, phase: 'outcome', ref });
    },
    tokenHash(secret) {
      const { key, hash } = keyedHash(secret.reveal());
      return `${key}:${hash}`;
    },
    query: (filter) => queryLines(store, filter),
    async trace(turn) {
      const lines: StoredLine[] = [];
      while (true) {
        const after = lines.at(-1)?.cursor;
        const batch = await queryLines(store, { turn, limit: 1_000, ...(after === undefined ? {} : { after }) });
        if (batch.length === 0) return lines;
        lines.push(...batch);
      }
    },
    verify: (verifyOptions = {}) => verify(store, signer, verifyOptions.witness ?? witness),
    async erase(person, by) {
      const self = by.issuer === person.issuer && by.subject === person.subject;
      try {
        return await erasePerson(store, person, self ? {} : { principal: by }, iso);
      } catch (error) {
        throw new AuditError('audit_unavailable', 'the erasure cannot be written', error);
      }
    },
    async acceptWitness(by, reason) {
      if (witness === undefined) throw new AuditError('witness_unreachable', 'this server has no audit witness');
      const accepted = await acceptStore({ store, signer, witness }, { at: iso(), by, reason });
      await write({
        type: 'change',
        phase: 'single',
        principal: by,
        target: { kind: 'AuditWitness', name: witness.place },
        outcome: 'restored store accepted',
        reason,
        data: { from: accepted.from },
      });
      state.asked = false;
      await checkpoint();
      return accepted;
    },
    checkpoint,
    get witness() {
      return state.witness;
    },
    async close() {
      clearInterval(timer);
      await quietly();
    },
  };
}
