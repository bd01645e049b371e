import type { AuditBody, Statement } from '../store/index.ts';
import { StoreError } from '../store/index.ts';
import { RuntimeError } from './errors.ts';
import type { EventLog } from './event-log.ts';
import type { EventDraft } from './ports.ts';
import type { Held, TurnStatements } from './turn-rows.ts';

const COALESCE_MS = 30;
const COALESCE_BYTES = 1_024;
const MOVED_TRIES = 3;

/** What goes with events into one commit. */
export interface Beside {
  statements?: readonly Statement[];
  audit?: readonly AuditBody[];
}

export interface TurnLogOptions {
  log: EventLog;
  rows: TurnStatements;
  turn: Held & { session: string };
  /** The number of the session's newest event. */
  lastSeq: number;
  /** Something that was only told could not be written. */
  onFailed(error: unknown): void;
}

/** The events of one running turn, in the order in which they were given. Every write carries the turn's fence. */
export class TurnLog {
  readonly #options: TurnLogOptions;
  #lastSeq: number;
  #delta: Extract<EventDraft, { type: 'delta' }> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  /** What was told and could not be written: it goes with the end. */
  readonly #kept: { drafts: EventDraft[]; audit: AuditBody[] } = { drafts: [], audit: [] };

  constructor(options: TurnLogOptions) {
    this.#options = options;
    this.#lastSeq = options.lastSeq;
  }

  /** What could not be written so far, and goes with the end. */
  get kept(): readonly EventDraft[] {
    return this.#kept.drafts;
  }

  /**
   * Something that happened, and stays true whether it can be written now or not: never rejects. Text as it is generated
   * is gathered for 30 ms or 1 KiB; everything else is written at once, after it.
   */
  async emit(draft: EventDraft, audit: readonly AuditBody[] = []): Promise<void> {
    if (draft.type !== 'delta') return this.#tell([...this.#takeDelta(), draft], audit);
    if (this.#delta && (this.#delta.messageId !== draft.messageId || this.#delta.data.text.length > COALESCE_BYTES))
      this.#flushDelta();
    this.#delta = this.#delta ? { ...this.#delta, data: { text: this.#delta.data.text + draft.data.text } } : draft;
    this.#timer ??= setTimeout(() => this.#flushDelta(), COALESCE_MS);
  }

  /** Durable when it resolves. Rejects with `turn_lost` when the turn is no longer held here. */
  write(drafts: readonly EventDraft[], beside: Beside = {}): Promise<void> {
    const delta = this.#takeDelta();
    return this.#queued([...delta, ...drafts], beside).catch((error: unknown) => {
      this.#kept.drafts.push(...delta);
      throw error;
    });
  }

  /** The last write, with all that could not be written before. May be tried again. */
  async end(drafts: readonly EventDraft[], beside: Beside): Promise<void> {
    await this.settled();
    const { drafts: kept, audit } = this.#kept;
    await this.#queued([...kept, ...drafts], { ...beside, audit: [...audit, ...(beside.audit ?? [])] });
  }

  /** Resolves when everything that was given has been written, or kept. */
  async settled(): Promise<void> {
    this.#flushDelta();
    await this.#queue;
  }

  #tell(drafts: readonly EventDraft[], audit: readonly AuditBody[] = []): Promise<void> {
    return this.#queued(drafts, { audit }).catch((error: unknown) => {
      this.#kept.drafts.push(...drafts);
      this.#kept.audit.push(...audit);
      this.#options.onFailed(error);
    });
  }

  #queued(drafts: readonly EventDraft[], beside: Beside): Promise<void> {
    const done = this.#queue.then(() => this.#commit(drafts, beside));
    this.#queue = done.catch(() => undefined);
    return done;
  }

  async #commit(drafts: readonly EventDraft[], beside: Beside) {
    const { log, rows, turn } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        await log.append({ session: turn.session, turn: turn.id, lastSeq: this.#lastSeq }, drafts, {
          ...beside,
          statements: [rows.fence(turn), ...(beside.statements ?? [])],
        });
        this.#lastSeq += drafts.length;
        return;
      } catch (cause) {
        if (!(cause instanceof StoreError && cause.code === 'precondition_failed')) throw cause;
        // Somebody told the session something meanwhile; whether the turn is still held is asked by the fence.
        const [session] = cause.conflict === 'session_moved' ? await rows.session(turn.session) : [];
        if (session === undefined || attempt === MOVED_TRIES)
          throw new RuntimeError('turn_lost', 'this turn is held by somebody else, or its session is gone', { cause });
        this.#lastSeq = Number(session.last_seq);
      }
    }
  }

  #flushDelta(): void {
    const delta = this.#takeDelta();
    if (delta.length > 0) this.#tell(delta).catch(this.#options.onFailed);
  }

  #takeDelta(): EventDraft[] {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const delta = this.#delta;
    this.#delta = undefined;
    return delta ? [delta] : [];
  }
}
