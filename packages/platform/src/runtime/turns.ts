import { milliseconds, type Usage } from '@onbehalf/resources';
import type { Audit } from '../audit/index.ts';
import { ModelError } from '../models/index.ts';
import { type Registry, type Store, type Stored, StoreError } from '../store/index.ts';
import type { Tools } from '../tools/index.ts';
import { hashesOf, requestOf } from './audited.ts';
import { RuntimeError, TurnFailure, TurnStopped } from './errors.ts';
import type { EventLog } from './event-log.ts';
import { buildHistory } from './history.ts';
import type { AgentExecutor, BoundTool, FinishedTurn, NextToken, TurnInput } from './ports.ts';
import { createToolCalls } from './tool-calls.ts';
import { TurnClock } from './turn-clock.ts';
import { TurnLog } from './turn-log.ts';
import { LEASE_MS, turnStatements } from './turn-rows.ts';
import { TurnSubject } from './turn-subject.ts';

export interface TurnsOptions {
  store: Store;
  registry: Registry;
  audit: Audit;
  tools: Tools;
  log: EventLog;
  now: () => number;
  executors: Partial<Record<Stored<'Agent'>['spec']['type'], AgentExecutor>>;
  systemMessage: (agent: Stored<'Agent'>) => Promise<string>;
  /** What the bindings of an agent come to, as things stand now. */
  toolsOf(agent: Stored<'Agent'>): BoundTool[];
  /** Its model, as the audit names it. */
  modelOf(agent: Stored<'Agent'>): Stored<'ModelConfig'> | undefined;
}

interface LiveTurn {
  id: string;
  session: string;
  agent: Stored<'Agent'>;
  input: TurnInput;
  controller: AbortController;
  done: Promise<void>;
  /** Whose token it exchanges, from its first moment on. */
  subject?: TurnSubject;
  /** It is stored that it waits for the person. */
  waiting: boolean;
  /** Told when it does. */
  onWait: Set<() => void>;
}

const RENEW_MS = 1_500;
const SWEEP_MS = 1_500;
const PRUNE_AFTER_MS = 900_000;
const TITLE_LENGTH = 80;
const DURATION_MS = 3_600_000;
/** How long a turn waits for a person who has to sign in again. */
const WAIT_MS = 24 * 3_600_000;
const NO_USAGE: Usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0, cachedInputTokens: 0 };

/** Starts, holds, stops and ends turns. The holder renews its lease; what nobody holds is `interrupted`. */
export function createTurns(options: TurnsOptions) {
  const { store, registry, audit, log, now } = options;
  const rows = turnStatements(store);
  const live = new Map<string, LiveTurn>();
  let draining = false;

  async function start(input: TurnInput, agent: Stored<'Agent'>): Promise<string> {
    if (draining) throw new RuntimeError('shutting_down', 'the server is stopping: try again in a moment');
    if (agent.spec.enabled === false)
      throw new RuntimeError('agent_disabled', `${agent.metadata.name} is switched off`);
    const executor = options.executors[agent.spec.type];
    if (!executor)
      throw new RuntimeError('agent_unsupported', `agents of type ${agent.spec.type} cannot run in this version`);
    if (input.idempotencyKey !== undefined) {
      const [known] = await rows.byKey(input.session, input.idempotencyKey);
      if (known) return known.id;
    }
    const running = [...live.values()].filter((turn) => turn.agent.metadata.uid === agent.metadata.uid).length;
    if (running >= (agent.spec.maxConcurrentTurns ?? Number.POSITIVE_INFINITY))
      throw new RuntimeError('too_many_turns', `${agent.metadata.name} is busy: try again later`);
    const id = crypto.randomUUID();
    const lastSeq = await claim(id, input, agent);
    const controller = new AbortController();
    const turn: LiveTurn = {
      ...{ id, session: input.session, agent, input, controller, done: Promise.resolve() },
      ...{ waiting: false, onWait: new Set() },
    };
    live.set(id, turn);
    turn.done = run(turn, executor, lastSeq).finally(() => live.delete(id));
    return id;
  }

  /** One commit takes the session, makes the turn and stores its first events. Returns the log's new end. */
  async function claim(id: string, input: TurnInput, agent: Stored<'Agent'>): Promise<number> {
    const verdict = input.authorize.run([identityOf(agent)]);
    if (verdict.effect !== 'allow') throw new RuntimeError('agent_not_found', verdict.reason);
    for (let attempt = 1; ; attempt++) {
      const [session] = await rows.session(input.session);
      if (!session) throw new RuntimeError('session_not_found', 'there is no such session');
      const seq = Number(session.last_seq);
      const at = now();
      try {
        const events = await log.append(
          { session: input.session, turn: id, lastSeq: seq },
          [
            {
              type: 'turn.started',
              data: {
                door: input.door,
                principal: {
                  issuer: input.caller.issuer,
                  subject: input.caller.subject,
                  ...(input.caller.name !== undefined && { name: input.caller.name }),
                },
                agent: `${agent.metadata.namespace ?? 'default'}/${agent.metadata.name}`,
                agentGeneration: agent.metadata.generation,
              },
            },
            {
              type: 'message',
              messageId: crypto.randomUUID(),
              data: { role: 'user', text: input.content, ...(input.source !== undefined && { source: input.source }) },
            },
          ],
          {
            statements: [
              rows.claimSession(input.session, id),
              rows.titleOnce(input.session, input.content.slice(0, TITLE_LENGTH).toWellFormed()),
              rows.insert({
                id,
                session: input.session,
                seq: seq + 1,
                state: 'running',
                code: null,
                holder: store.writer,
                lease_until: at + LEASE_MS,
                fence: 1,
                agent_uid: agent.metadata.uid,
                agent_generation: agent.metadata.generation,
                principal: JSON.stringify({ issuer: input.caller.issuer, subject: input.caller.subject }),
                login_session: input.loginSession ?? null,
                door: input.door,
                idempotency_key: input.idempotencyKey ?? null,
                started_at: at,
                ended_at: null,
                usage: null,
              }),
            ],
            audit: [
              audit.line({
                type: 'decision',
                phase: 'single',
                principal: input.caller.audit,
                door: input.door,
                session: input.session,
                turn: id,
                agent: { ...identityOf(agent), generation: agent.metadata.generation },
                decision: verdict.effect,
                rule: verdict.rule,
                reason: verdict.reason,
                ...(verdict.revision !== undefined && { policyRevision: verdict.revision }),
                ...requestOf(input),
              }),
            ],
          },
        );
        return seq + events.length;
      } catch (error) {
        if (!(error instanceof StoreError && error.code === 'precondition_failed')) throw error;
        if (error.conflict === 'turn_running')
          throw new RuntimeError('turn_running', 'a turn is running in this session: wait for it or stop it');
        if (error.conflict === 'turn_exists' && input.idempotencyKey !== undefined)
          throw new RuntimeError('turn_running', 'this message has just been accepted');
        if (attempt >= 5) throw error;
      }
    }
  }

  async function run(turn: LiveTurn, executor: AgentExecutor, lastSeq: number): Promise<void> {
    const { agent, input, controller } = turn;
    const usage = { ...NO_USAGE };
    const turnLog = new TurnLog(
      log,
      store,
      { id: turn.id, session: turn.session, holder: store.writer, fence: 1, lastSeq },
      (error) => controller.abort(error),
    );
    const { maxTurnDuration } = agent.spec.declarative ?? {};
    const clock = new TurnClock(
      { running: maxTurnDuration === undefined ? DURATION_MS : milliseconds(maxTurnDuration), waiting: WAIT_MS },
      (failure) => controller.abort(failure),
    );
    const subject = new TurnSubject({
      subject: input.subject,
      signal: controller.signal,
      async onWait(wanted) {
        await turnLog.write([{ type: 'auth.required', data: wanted }], {
          statements: [rows.setState(turn.id, 'awaiting_auth')],
        });
        clock.wait();
        // Somebody may have signed in while it was being stored: then it goes on at once.
        if (!subject.waits) return;
        turn.waiting = true;
        for (const tell of turn.onWait) tell();
      },
      async onResume() {
        clock.run();
        await turnLog.write([], {
          statements: [rows.setState(turn.id, 'running')],
          audit: [
            audit.line({
              ...{ type: 'login', phase: 'single', principal: input.caller.audit, agent: identityOf(agent) },
              ...requestOf(input),
              ...{ session: turn.session, turn: turn.id, outcome: 'turn goes on', reason: 'another token was brought' },
            }),
          ],
        });
      },
    });
    turn.subject = subject;
    let end: FinishedTurn;
    try {
      const bound = () => {
        const current = registry.byUid(agent.metadata.uid);
        return options.toolsOf(current?.kind === 'Agent' ? current : agent);
      };
      const history = buildHistory(await log.readAll(turn.session), agent.spec.declarative?.context);
      if (history.droppedSteps > 0) turnLog.emit({ type: 'truncated', data: { droppedSteps: history.droppedSteps } });
      const systemMessage = await options.systemMessage(agent);
      const hashes = hashesOf(audit, systemMessage, options.modelOf(agent));
      const audited = { ...identityOf(agent), generation: agent.metadata.generation, ...hashes };
      let since = performance.now();
      const events = executor.run({
        session: turn.session,
        turn: turn.id,
        agent,
        caller: input.caller,
        systemMessage,
        history: history.messages,
        tools: bound()
          .filter((tool) => tool.offered)
          .map((tool) => ({
            name: tool.name,
            description: tool.found?.description ?? '',
            inputSchema: tool.found?.inputSchema ?? {},
          })),
        signal: controller.signal,
        callTool: createToolCalls({
          audit,
          tools: options.tools,
          log: turnLog,
          turn: turn.id,
          input,
          agent: { ...identityOf(agent), generation: agent.metadata.generation },
          hashes,
          bound,
          // As the person's latest token has it.
          authorize: {
            run: (agents) => turn.input.authorize.run(agents),
            tool: (call) => turn.input.authorize.tool(call),
          },
          subject,
          signal: controller.signal,
        }),
      });
      for await (const event of events) {
        if (event.type === 'usage') {
          for (const key of ['inputTokens', 'outputTokens', 'totalTokens', 'cachedInputTokens'] as const)
            usage[key] += event.data[key];
          const { model, ...counted } = event.data;
          await turnLog.write([event], {
            audit: [
              audit.line({
                type: 'model.call',
                phase: 'single',
                principal: input.caller.audit,
                door: input.door,
                ...requestOf(input),
                session: turn.session,
                turn: turn.id,
                agent: audited,
                latencyMs: Math.round(performance.now() - since),
                outcome: controller.signal.aborted ? 'aborted' : 'ok',
                data: { model, ...counted },
                ...(event.step !== undefined && { step: event.step }),
              }),
            ],
          });
        } else turnLog.emit(event);
        if (event.type === 'step.ended') since = performance.now();
        // After an abort only what closes the step is taken: the text so far, and what it cost.
        if (event.type !== 'message') controller.signal.throwIfAborted();
      }
      end = { state: 'completed', usage };
    } catch (error) {
      end = { ...endOf(controller.signal.aborted ? controller.signal.reason : error), usage };
    } finally {
      clock.stop();
    }
    const ended = {
      type: 'turn.ended' as const,
      data: {
        state: end.state as 'completed',
        ...(end.code !== undefined && { code: end.code }),
        ...(end.message !== undefined && { message: end.message }),
      },
    };
    await turnLog
      .write([ended], { statements: rows.finish({ id: turn.id, session: turn.session, fence: 1 }, end, now()) })
      // What cannot be written now is found without a lease, and interrupted, by the sweep.
      .catch(() => undefined);
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

  async function obey(turn: LiveTurn) {
    const commands = await rows.commands(turn.id);
    if (commands.length === 0) return;
    if (commands.some(({ command }) => command === 'stop')) turn.controller.abort(new TurnStopped('stopped'));
    await store.commit({ statements: [rows.consume(turn.id, now())] });
  }

  const watch = store.watch(store.revision(), (changes) => {
    for (const change of changes) {
      const turn = change.kind === 'TurnCommand' ? live.get(change.key) : undefined;
      if (turn) obey(turn).catch((error: unknown) => turn.controller.abort(error));
    }
  });

  async function interruptAbandoned(before: number): Promise<void> {
    for (const row of await rows.abandoned(before)) {
      if (live.has(row.id)) continue;
      const end: FinishedTurn = { state: 'interrupted', code: 'server_restarted', usage: NO_USAGE };
      await log
        .append(
          { session: row.session, turn: row.id, lastSeq: Number(row.last_seq) },
          [
            {
              type: 'turn.ended',
              data: {
                state: 'interrupted',
                code: 'server_restarted',
                message: 'the server was restarted in this turn',
              },
            },
          ],
          { statements: rows.finish({ id: row.id, session: row.session, fence: Number(row.fence) }, end, now()) },
        )
        // Another replica was quicker.
        .catch((error: unknown) => {
          if (!(error instanceof StoreError && error.code === 'precondition_failed')) throw error;
        });
    }
  }

  async function renew() {
    if (live.size > 0) await store.commit({ statements: [rows.renew(store.writer, now() + LEASE_MS)] });
  }
  const quietly = (work: () => Promise<unknown>) => () => void work().catch(() => undefined);
  const timers = [
    setInterval(quietly(renew), RENEW_MS),
    setInterval(
      quietly(() => interruptAbandoned(now())),
      SWEEP_MS,
    ),
    setInterval(
      quietly(() => store.commit({ statements: [rows.pruneDeltas(now() - PRUNE_AFTER_MS)] })),
      60_000,
    ),
  ];
  for (const timer of timers) timer.unref();

  return {
    start,
    stop,
    /** Waits until the turn has ended here, or at once where it does not run here. */
    ended: async (turn: string) => void (await live.get(turn)?.done),
    /** The same, or until it waits for the person. */
    async settled(id: string): Promise<void> {
      const turn = live.get(id);
      if (turn === undefined || turn.waiting) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      turn.onWait.add(resolve);
      await Promise.race([turn.done, promise]);
      turn.onWait.delete(resolve);
    },
    /** Another token for the turns that wait for one of this principal: of one session, or of all. */
    offer(next: NextToken, only?: { session: string }): boolean {
      const asked = [...live.values()].filter(({ session }) => only === undefined || session === only.session);
      const taken = asked.filter((turn) => turn.subject?.offer(next.subject, only !== undefined) === true);
      for (const turn of taken) {
        turn.waiting = false;
        turn.input = { ...turn.input, authorize: next.authorize };
      }
      return taken.length > 0;
    },
    interruptAbandoned,
    byId: async (id: string) => (await rows.byId(id))[0],
    /** Asks again for every turn under way whether its principal may still run its agent. */
    reconsider() {
      for (const turn of live.values()) {
        const current = registry.byUid(turn.agent.metadata.uid);
        const verdict = turn.input.authorize.run([identityOf(turn.agent)]);
        if (!current) turn.controller.abort(new TurnFailure('agent_removed', 'the agent was removed'));
        else if (verdict.effect !== 'allow')
          turn.controller.abort(
            new TurnFailure(verdict.code ?? 'access_revoked', `no longer allowed: ${verdict.reason}`),
          );
      }
    },
    async drain(ms: number) {
      draining = true;
      // What waits for a person is not waited for.
      const busy = [...live.values()].filter(({ waiting }) => !waiting);
      const all = Promise.allSettled(busy.map((turn) => turn.done));
      await Promise.race([all, new Promise((resolve) => setTimeout(resolve, ms).unref())]);
      for (const turn of live.values())
        turn.controller.abort(new RuntimeError('shutting_down', 'the server is stopping'));
      await Promise.allSettled([...live.values()].map((turn) => turn.done));
    },
    close() {
      for (const timer of timers) clearInterval(timer);
      watch.close();
    },
  };
}

export function identityOf(agent: Stored<'Agent'>) {
  return { uid: agent.metadata.uid, namespace: agent.metadata.namespace ?? 'default', name: agent.metadata.name };
}

/** How a turn ends over an error: its code is for programs, its message for the person. */
function endOf(error: unknown): Omit<FinishedTurn, 'usage'> {
  if (error instanceof TurnStopped) return { state: 'stopped' };
  if (error instanceof TurnFailure || error instanceof ModelError)
    return { state: 'failed', code: error.code, message: error.message };
  if (error instanceof RuntimeError && error.code === 'shutting_down')
    return { state: 'interrupted', code: 'server_restarted', message: 'the server was stopped in this turn' };
  if (error instanceof StoreError || (error instanceof Error && error.name === 'AuditError'))
    return { state: 'failed', code: 'store_unavailable', message: 'the server cannot write at the moment' };
  return { state: 'failed', code: 'internal', message: 'something went wrong in the server' };
}
