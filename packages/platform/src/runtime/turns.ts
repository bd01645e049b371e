import type { ModelToolCall } from '../models/index.ts';
import { type Store, type Stored, StoreError } from '../store/index.ts';
import { interruptAbandoned } from './abandoned.ts';
import { RuntimeError, TurnFailure, TurnStopped } from './errors.ts';
import { type Claimed, makeTurn } from './new-turn.ts';
import type { AgentExecutor, NextToken, ToolOutcome, TurnBudget, TurnInput } from './ports.ts';
import { Turn, type TurnRoom } from './turn.ts';
import { LEASE_MS, turnStatements } from './turn-rows.ts';

export type TurnsOptions = Omit<TurnRoom, 'rows'> & {
  store: Store;
  executors: Partial<Record<Stored<'Agent'>['spec']['type'], AgentExecutor>>;
  budget?: TurnBudget;
  /** A sweep or a renewal that failed; it is tried again. */
  onProblem?: (error: unknown) => void;
};

const RENEW_MS = 1_500;
const SWEEP_MS = 1_500;
const PRUNE_MS = 60_000;
const PRUNE_AFTER_MS = 900_000;

/** The turns that are held here. Each lease is renewed by itself; what nobody holds is `interrupted`. */
export function createTurns(options: TurnsOptions) {
  const { store, registry, now } = options;
  const rows = turnStatements(store);
  const room = { ...options, rows };
  const live = new Map<string, Turn>();
  let draining = false;

  /** The new turn's id; or of the one that this message made before, which may run no more. */
  async function start(input: TurnInput, agent: Stored<'Agent'>): Promise<string> {
    if (draining) throw new RuntimeError('shutting_down', 'the server is stopping: try again in a moment');
    if (agent.spec.enabled === false)
      throw new RuntimeError('agent_disabled', `${agent.metadata.name} is switched off`);
    const executor = options.executors[agent.spec.type];
    if (!executor)
      throw new RuntimeError('agent_unsupported', `agents of type ${agent.spec.type} cannot run in this version`);
    const claimed: Claimed = await makeTurn(room, input, agent);
    if ('known' in claimed) return claimed.known;
    const turn = new Turn(room, claimed, input, agent, executor);
    live.set(turn.id, turn);
    turn.done.finally(() => live.delete(turn.id)).catch(problem);
    return turn.id;
  }

  /** @see Runtime.callTool */
  async function callTool(id: string, step: number, call: ModelToolCall): Promise<ToolOutcome> {
    const turn = live.get(id);
    if (turn) return turn.callTool(step, call);
    const row = await rows.byId(id);
    if (row?.ended_at === null) throw new RuntimeError('turn_elsewhere', 'this turn is held by another server');
    throw new RuntimeError('turn_ended', 'there is no such turn, or it has ended');
  }

  /** A row that the holder consumes, wherever it runs. */
  async function stop(session: string): Promise<string | undefined> {
    const [row] = await rows.session(session);
    if (!row) throw new RuntimeError('session_not_found', 'there is no such session');
    if (row.turn === null) return undefined;
    await store.commit({
      statements: [rows.command(row.turn, 'stop', new Date(now()).toISOString())],
      changes: [{ kind: 'TurnCommand', key: row.turn, op: 'put' }],
    });
    return row.turn;
  }

  async function obey(turn: Turn): Promise<void> {
    const commands = await rows.commands(turn.id);
    if (commands.length === 0) return;
    if (commands.some(({ command }) => command === 'stop')) turn.abort(new TurnStopped('stopped'));
    const ids = commands.map(({ id }) => id);
    try {
      await store.commit({ statements: [rows.fence(turn.held), rows.consume(ids, now())] });
    } catch (error) {
      // It has ended over the command meanwhile, or is another holder's: so is the command.
      if (!(error instanceof StoreError && error.conflict === 'fence')) throw error;
    }
  }

  const watch = store.watch(store.revision(), (changes) => {
    for (const { kind, key, op } of changes) {
      const turn = kind === 'TurnCommand' ? live.get(key) : undefined;
      if (turn) obey(turn).catch((error: unknown) => turn.abort(error));
      // A conversation that is gone is not gone on with.
      if (kind === 'Session' && op === 'delete')
        for (const one of live.values()) if (one.session === key) one.abort(new TurnStopped('removed'));
    }
  });

  async function renew(): Promise<void> {
    const held = [...live.values()];
    if (held.length === 0) return;
    const done = await store.commit({ statements: held.map((turn) => rows.renew(turn.held, now() + LEASE_MS)) });
    for (const [index, turn] of held.entries())
      if (done.rows[index] === 0) turn.abort(new RuntimeError('turn_lost', 'this turn is held by somebody else'));
  }

  const sweep = (before: number) => interruptAbandoned({ ...room, isHeld: (id) => live.has(id) }, before);
  const problem = (error: unknown) => options.onProblem?.(error);
  const every = (ms: number, work: () => Promise<unknown>) => setInterval(() => work().catch(problem), ms).unref();
  const timers = [
    every(RENEW_MS, renew),
    every(SWEEP_MS, () => sweep(now())),
    every(PRUNE_MS, () => store.commit({ statements: [rows.pruneDeltas(now() - PRUNE_AFTER_MS)] })),
  ];

  return {
    start,
    callTool,
    stop,
    /** Waits until the turn has ended here, or at once where it does not run here. */
    ended: async (turn: string) => await live.get(turn)?.done,
    /** The same, or until it waits for the person. */
    settled: async (turn: string) => await live.get(turn)?.settled(),
    /** Another token for the turns that wait for one of this principal: of one session, or of all. */
    offer(next: NextToken, only?: { session: string }): boolean {
      const asked = [...live.values()].filter(({ session }) => only === undefined || session === only.session);
      return asked.filter((turn) => turn.offer(next, only !== undefined)).length > 0;
    },
    interruptAbandoned: sweep,
    byId: rows.byId,
    runningOf: rows.runningOf,
    /** Asks again for every turn under way whether its principal may still run its agent. */
    reconsider() {
      for (const turn of live.values()) {
        const current = registry.byUid(turn.agent.metadata.uid);
        const verdict = turn.verdict();
        if (!current) turn.abort(new TurnFailure('agent_removed', 'the agent was removed'));
        else if (verdict.effect !== 'allow')
          turn.abort(new TurnFailure(verdict.code ?? 'access_revoked', `no longer allowed: ${verdict.reason}`));
      }
    },
    async drain(ms: number) {
      draining = true;
      // What waits for a person is not waited for.
      const busy = [...live.values()].filter(({ waiting }) => !waiting);
      const all = Promise.allSettled(busy.map((turn) => turn.done));
      await Promise.race([all, new Promise((resolve) => setTimeout(resolve, ms).unref())]);
      const stopping = new RuntimeError('shutting_down', 'the server is stopping');
      await Promise.allSettled([...live.values()].map((turn) => turn.leave(stopping)));
    },
    close() {
      for (const timer of timers) clearInterval(timer);
      watch.close();
    },
  };
}
