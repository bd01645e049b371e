import type { AuditBody, Statement, Store } from '../store/index.ts';
import { StoreError } from '../store/index.ts';
import { RuntimeError } from './errors.ts';
import type { EventLog } from './event-log.ts';
import type { EventDraft } from './ports.ts';

const COALESCE_MS = 30;
const COALESCE_BYTES = 1_024;

/** The events of one running turn, in the order in which they were given, each write fenced. */
export class TurnLog {
  readonly #log: EventLog;
  readonly #store: Store;
  readonly #turn: { id: string; session: string; holder: string; fence: number };
  readonly #onLost: (error: Error) => void;
  #lastSeq: number;
  #delta: Extract<EventDraft, { type: 'delta' }> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(
    log: EventLog,
    store: Store,
    turn: { id: string; session: string; holder: string; fence: number; lastSeq: number },
    onLost: (error: Error) => void,
  ) {
    this.#log = log;
    this.#store = store;
    this.#turn = turn;
    this.#lastSeq = turn.lastSeq;
    this.#onLost = onLost;
  }

  /** Text as it is generated is gathered for 30 ms or 1 KiB; everything else is written at once, after it. */
  emit(draft: EventDraft): void {
    if (draft.type !== 'delta') {
      this.write([draft]).catch(this.#onLost);
      return;
    }
    if (this.#delta && (this.#delta.messageId !== draft.messageId || this.#delta.data.text.length > COALESCE_BYTES))
      this.#flushDelta();
    this.#delta = this.#delta ? { ...this.#delta, data: { text: this.#delta.data.text + draft.data.text } } : draft;
    this.#timer ??= setTimeout(() => this.#flushDelta(), COALESCE_MS);
  }

  /** Durable when it resolves. Rejects when the turn is no longer held here. */
  write(
    drafts: readonly EventDraft[],
    more: { statements?: readonly Statement[]; audit?: readonly AuditBody[] } = {},
  ): Promise<void> {
    const delta = this.#takeDelta();
    const all = delta ? [delta, ...drafts] : drafts;
    const done = this.#queue.then(() => this.#commit(all, more));
    this.#queue = done.catch(() => undefined);
    return done;
  }

  async #commit(
    drafts: readonly EventDraft[],
    more: { statements?: readonly Statement[]; audit?: readonly AuditBody[] },
  ) {
    if (drafts.length === 0 && !more.statements && !more.audit) return;
    try {
      await this.#log.append({ session: this.#turn.session, turn: this.#turn.id, lastSeq: this.#lastSeq }, drafts, {
        ...more,
        statements: [this.#fence(), ...(more.statements ?? [])],
      });
      this.#lastSeq += drafts.length;
    } catch (cause) {
      if (cause instanceof StoreError && cause.code === 'precondition_failed')
        throw new RuntimeError('turn_lost', 'this turn is held by somebody else, or its session is gone', { cause });
      throw cause;
    }
  }

  #fence(): Statement {
    const held = this.#store.builder
      .selectFrom('turns')
      .select('id')
      .where('id', '=', this.#turn.id)
      .where('holder', '=', this.#turn.holder)
      .where('fence', '=', this.#turn.fence);
    return { query: held.compile(), expect: 1, conflict: 'fence' };
  }

  #flushDelta(): void {
    this.write([]).catch(this.#onLost);
  }

  #takeDelta() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const delta = this.#delta;
    this.#delta = undefined;
    return delta;
  }
}
