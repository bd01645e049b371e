import { parseEvent, type SessionEvent } from '@onbehalf/resources';
import { type AuditBody, type EventRow, prepared, type Statement, type Store } from '../store/index.ts';
import type { EventDraft, Listener } from './ports.ts';

const PAGE = 500;

const inserted = prepared((builder, row: EventRow) => builder.insertInto('events').values(row));
const moved = prepared((builder, to: { session: string; after: number; seq: number; at: number }) =>
  builder
    .updateTable('sessions')
    .set({ last_seq: to.seq, updated_at: to.at })
    .where('id', '=', to.session)
    .where('last_seq', '=', to.after)
    .where('deleted_at', 'is', null),
);

/** The append-only, numbered log of every session: stored before it is told to anyone. */
export class EventLog {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /**
   * Appends in one commit, together with `statements` (preconditions of the turn) and `audit` lines. `lastSeq` is what
   * the caller knows; another writer makes the commit fail with `session_moved`.
   */
  async append(
    at: { session: string; turn: string; lastSeq: number },
    drafts: readonly EventDraft[],
    more: { statements?: readonly Statement[]; audit?: readonly AuditBody[] } = {},
  ): Promise<SessionEvent[]> {
    const time = this.#now();
    const events = drafts.map((draft, index) =>
      checked({
        v: 1,
        session: at.session,
        seq: at.lastSeq + index + 1,
        turn: at.turn,
        at: new Date(time).toISOString(),
        ...draft,
      } as SessionEvent),
    );
    const { builder } = this.#store;
    const to = { session: at.session, after: at.lastSeq, seq: at.lastSeq + events.length, at: time };
    await this.#store.commit({
      statements: [
        { query: moved(builder, to), expect: 1, conflict: 'session_moved' },
        ...events.map((event) => ({ query: inserted(builder, toRow(event)), expect: 1 })),
        ...(more.statements ?? []),
      ],
      ...(more.audit && { audit: more.audit }),
    });
    this.#tell(at.session, events);
    return events;
  }

  async read(session: string, after: number, limit = PAGE): Promise<SessionEvent[]> {
    const rows = await this.#store.read<EventRow>(
      this.#store.builder
        .selectFrom('events')
        .selectAll()
        .where('session', '=', session)
        .where('seq', '>', after)
        .orderBy('seq')
        .limit(limit)
        .compile(),
    );
    return rows.map(toEvent);
  }

  async readAll(session: string, after = 0): Promise<SessionEvent[]> {
    const events: SessionEvent[] = [];
    for (let last = after; ; ) {
      const page = await this.read(session, last);
      events.push(...page);
      const end = page.at(-1);
      if (!end || page.length < PAGE) return events;
      last = end.seq;
    }
  }

  /** The events of one turn, whose first has that number. */
  async ofTurn(session: string, turn: string, firstSeq: number): Promise<SessionEvent[]> {
    return (await this.readAll(session, firstSeq - 1)).filter((event) => event.turn === turn);
  }

  /** Everything after `after`, then whatever comes, each event once and in order, until `signal` aborts. */
  async *follow(session: string, after: number, signal: AbortSignal): AsyncGenerator<SessionEvent> {
    const waiting: SessionEvent[] = [];
    let wake: (() => void) | undefined;
    const listener: Listener = (events) => {
      waiting.push(...events);
      wake?.();
    };
    const abort = () => wake?.();
    this.subscribe(session, listener);
    signal.addEventListener('abort', abort);
    try {
      let last = after;
      for (;;) {
        const page = await this.read(session, last);
        for (const event of page) {
          if (signal.aborted) return;
          last = event.seq;
          yield event;
        }
        if (page.length < PAGE) break;
      }
      while (!signal.aborted) {
        const event = waiting.shift();
        if (event && event.seq > last) {
          last = event.seq;
          yield event;
        } else if (!event) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          wake = undefined;
        }
      }
    } finally {
      this.unsubscribe(session, listener);
      signal.removeEventListener('abort', abort);
    }
  }

  subscribe(session: string, listener: Listener): void {
    const known = this.#listeners.get(session);
    if (known) known.add(listener);
    else this.#listeners.set(session, new Set([listener]));
  }

  unsubscribe(session: string, listener: Listener): void {
    const known = this.#listeners.get(session);
    known?.delete(listener);
    if (known?.size === 0) this.#listeners.delete(session);
  }

  #tell(session: string, events: readonly SessionEvent[]) {
    for (const listener of [...(this.#listeners.get(session) ?? [])]) listener(events);
  }
}

function toRow(event: SessionEvent): EventRow {
  return {
    session: event.session,
    seq: event.seq,
    turn: event.turn,
    step: event.step ?? null,
    at: event.at,
    type: event.type,
    message_id: event.messageId ?? null,
    part_index: event.partIndex ?? null,
    call_id: event.callId ?? null,
    data: JSON.stringify(event.data),
  };
}

export function toEvent(row: EventRow): SessionEvent {
  try {
    return parseEvent({
      v: 1,
      session: row.session,
      seq: Number(row.seq),
      turn: row.turn ?? '',
      ...(row.step !== null && { step: Number(row.step) }),
      at: row.at,
      type: row.type,
      ...(row.message_id !== null && { messageId: row.message_id }),
      ...(row.part_index !== null && { partIndex: Number(row.part_index) }),
      ...(row.call_id !== null && { callId: row.call_id }),
      data: JSON.parse(row.data),
    });
  } catch {
    return unreadable(row);
  }
}

/** Nothing that was ever stored makes a conversation unreadable: what this version does not know is shown as that. */
const unreadable = ({ session, seq, turn, at, type }: EventRow): SessionEvent => ({
  ...{ v: 1, session, seq: Number(seq), turn: turn ?? '', at, type: 'warning' },
  data: { code: 'unreadable_event', message: `an entry of type ${type} cannot be shown by this version` },
});

/** What makes no sense is not stored: there is a warning in its place. */
function checked(event: SessionEvent): SessionEvent {
  try {
    return parseEvent(event);
  } catch {
    const message = `what came as ${event.type} had a form that is not known, and was left out`;
    return { ...event, type: 'warning', data: { code: 'invalid_event', message } } as SessionEvent;
  }
}
