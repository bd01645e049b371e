import type { SessionEvent, SessionView, TurnResult, TurnState } from '@onbehalf/resources';
import type { ModelToolCall } from '../models/index.ts';
import type { Stored } from '../store/index.ts';
import { RuntimeError } from './errors.ts';
import { EventLog } from './event-log.ts';
import type { NextToken, PersonRef, ToolOutcome, TurnInput } from './ports.ts';
import { summarizeTurn } from './result.ts';
import { Sessions } from './sessions.ts';
import { createTurns, type TurnsOptions } from './turns.ts';

export type RuntimeOptions = Omit<TurnsOptions, 'log'> & {
  /** No other process shares the store: turns that a former process left are interrupted at once. */
  soleHolder: boolean;
};

export interface Runtime {
  sessions: Sessions;
  /** Starts a turn and returns its id. The turn goes on when the caller leaves. */
  start(input: TurnInput, agent: Stored<'Agent'>): Promise<string>;
  /**
   * The one way to a tool: own loop, tool broker and sub-agents come in by it. Refused with `turn_ended`, `turn_waiting`
   * (for its person), or `turn_elsewhere` (another server holds it); whatever else goes wrong is a tool error.
   */
  callTool(turn: string, step: number, call: ModelToolCall): Promise<ToolOutcome>;
  /** Stops the running turn, if there is one; its id. */
  stop(session: string): Promise<string | undefined>;
  /** The number of the turn's first event. */
  firstSeq(turn: string): Promise<number>;
  /** Waits for the end of a turn, or until it waits for the person, and returns what it came to. */
  finished(session: string, turn: string): Promise<TurnResult>;
  /** How many turns of this person run: what the budget `turns running` counts. */
  runningOf(person: PersonRef): Promise<number>;
  /** Waits for the end of a turn. */
  ended(turn: string): Promise<void>;
  /**
   * Another token of somebody whose turns wait for one (`awaiting_auth`). With a session it was brought for the turn
   * there; without, it is that of a new login. False: none waits for it.
   */
  offer(next: NextToken, only?: { session: string }): boolean;
  events(session: SessionView, after: number, limit?: number): Promise<SessionEvent[]>;
  /** The whole log. */
  history(session: string): Promise<SessionEvent[]>;
  follow(session: SessionView, after: number, signal: AbortSignal): AsyncIterable<SessionEvent>;
  clear(session: string): Promise<void>;
  /** Tells the owner something in the session itself; not while a turn writes there. */
  note(session: string, code: string, message: string): Promise<void>;
  reconsider(): void;
  drain(ms: number): Promise<void>;
  close(): void;
}

export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  const log = new EventLog(options.store, options.now);
  const sessions = new Sessions(options.store, options.now);
  const turns = createTurns({ ...options, log });
  await turns.interruptAbandoned(options.soleHolder ? Number.MAX_SAFE_INTEGER : options.now());

  const within = (session: SessionView, after: number) => {
    if (after > session.lastSeq)
      throw new RuntimeError(
        'after_beyond_end',
        `this session ends at ${session.lastSeq}: ask for events after at most that`,
      );
  };

  async function finished(session: string, turn: string): Promise<TurnResult> {
    await turns.settled(turn);
    const row = await turns.byId(turn);
    if (!row || row.session !== session) throw new RuntimeError('session_not_found', 'there is no such turn');
    if (row.state === 'running') {
      // Another replica holds it: follow the log to its end.
      const controller = new AbortController();
      for await (const event of log.follow(session, Number(row.seq) - 1, controller.signal))
        if (event.turn === turn && event.type === 'turn.ended') break;
    }
    const told = summarizeTurn(session, turn, await log.ofTurn(session, turn, Number(row.seq)));
    return told.state === 'running' ? { ...told, state: row.state as TurnState } : told;
  }

  return {
    sessions,
    start: turns.start,
    callTool: turns.callTool,
    stop: turns.stop,
    ended: turns.ended,
    runningOf: turns.runningOf,
    offer: turns.offer,
    finished,
    async firstSeq(turn) {
      const row = await turns.byId(turn);
      if (!row) throw new RuntimeError('session_not_found', 'there is no such turn');
      return Number(row.seq);
    },
    async events(session, after, limit) {
      within(session, after);
      return log.read(session.id, after, limit);
    },
    history: (session) => log.readAll(session),
    follow(session, after, signal) {
      within(session, after);
      return log.follow(session.id, after, signal);
    },
    async clear(id) {
      const session = await sessions.get(id);
      if (session.turn) throw new RuntimeError('turn_running', 'a turn is running in this session: stop it first');
      await log.append({ session: id, turn: '', lastSeq: session.lastSeq }, [{ type: 'cleared', data: {} }]);
    },
    async note(id, code, message) {
      const session = await sessions.get(id);
      if (session.turn) return;
      // Told once, not at every page that is read.
      const [last] = await log.read(id, session.lastSeq - 1, 1);
      if (last?.type === 'warning' && last.data.code === code) return;
      await log.append({ session: id, turn: '', lastSeq: session.lastSeq }, [
        { type: 'warning', data: { code, message } },
      ]);
    },
    reconsider: turns.reconsider,
    drain: turns.drain,
    close: turns.close,
  };
}
