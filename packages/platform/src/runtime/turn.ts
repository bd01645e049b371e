import { setTimeout as delay } from 'node:timers/promises';
import { identityOf, missingText, type Usage } from '@onbehalf/resources';
import type { Audit } from '../audit/index.ts';
import type { ModelToolCall } from '../models/index.ts';
import { type Registry, type Store, type Stored, StoreError } from '../store/index.ts';
import type { Tools } from '../tools/index.ts';
import { type AgentHashes, hashesOf, requestOf } from './audited.ts';
import { RuntimeError } from './errors.ts';
import type { EventLog } from './event-log.ts';
import type {
  AgentExecutor,
  EventDraft,
  FinishedTurn,
  NextToken,
  ToolOutcome,
  ToolPolicy,
  TurnInput,
} from './ports.ts';
import { createToolCalls } from './tool-calls.ts';
import { TurnClock } from './turn-clock.ts';
import { completedBy, endedEvent, endOf } from './turn-end.ts';
import { TurnLog } from './turn-log.ts';
import type { Held, TurnStatements } from './turn-rows.ts';
import { type AuthWanted, TurnSubject } from './turn-subject.ts';
import { unclosed } from './unclosed.ts';
import { addUsage, NO_USAGE } from './usage.ts';

const DURATION_MS = 3_600_000;
/** How long a turn waits for a person who has to sign in again. */
const WAIT_MS = 24 * 3_600_000;
/** How soon an end that could not be written is tried again. */
const END_RETRY_MS = 1_000;

/** What a turn uses of its surroundings. */
export interface TurnRoom {
  store: Store;
  registry: Registry;
  audit: Audit;
  tools: Tools;
  toolPolicy: ToolPolicy;
  /** The agent's model, as the audit names it. */
  modelOf(agent: Stored<'Agent'>): Stored<'ModelConfig'> | undefined;
  log: EventLog;
  rows: TurnStatements;
  now: () => number;
}

/** One turn that is held here, from the commit that made it to the one that ends it. */
export class Turn {
  readonly session: string;
  readonly agent: Stored<'Agent'>;
  readonly held: Held;
  /** Resolves when the end has been written, or was given up. */
  readonly done: Promise<void>;
  readonly #room: TurnRoom;
  readonly #executor: AgentExecutor;
  readonly #controller = new AbortController();
  readonly #leaving = new AbortController();
  readonly #log: TurnLog;
  readonly #clock: TurnClock;
  readonly #subject: TurnSubject;
  readonly #call: (step: number, call: ModelToolCall) => Promise<ToolOutcome>;
  readonly #calls = new Set<Promise<unknown>>();
  readonly #usage: Usage = { ...NO_USAGE };
  readonly #onWait = new Set<() => void>();
  readonly #firstSeq: number;
  /** Which prompt and which model it ran with, once that is known. */
  readonly #hashes: AgentHashes = {};
  #since = performance.now();
  /** Why the newest answer of the model ended. */
  #finishReason = 'stop';
  #input: TurnInput;
  #waiting = false;
  #ending = false;

  constructor(
    room: TurnRoom,
    claimed: { held: Held; firstSeq: number; lastSeq: number },
    input: TurnInput,
    agent: Stored<'Agent'>,
    executor: AgentExecutor,
  ) {
    const { id } = claimed.held;
    const { signal } = this.#controller;
    this.#room = room;
    this.#executor = executor;
    this.#input = input;
    this.#firstSeq = claimed.firstSeq;
    this.session = input.session;
    this.agent = agent;
    this.held = claimed.held;
    this.#log = new TurnLog({
      log: room.log,
      rows: room.rows,
      turn: { ...claimed.held, session: input.session },
      lastSeq: claimed.lastSeq,
      onFailed: (error) => this.abort(error),
    });
    this.#clock = new TurnClock(
      { running: executor.maxDurationMs?.(agent) ?? DURATION_MS, waiting: WAIT_MS },
      (failure) => this.abort(failure),
    );
    this.#subject = new TurnSubject({
      subject: input.subject,
      signal,
      onWait: (wanted) => this.#wait(wanted),
      onResume: () => this.#resume(),
    });
    this.#call = createToolCalls({
      audit: room.audit,
      tools: room.tools,
      log: this.#log,
      turn: id,
      input,
      agent: { ...identityOf(agent), generation: agent.metadata.generation },
      hashes: this.#hashes,
      bound: () => room.toolPolicy.bound(this.#current()),
      // As the person's latest token has it.
      authorize: {
        run: (agents) => this.#input.authorize.run(agents),
        tool: (call) => this.#input.authorize.tool(call),
      },
      subject: this.#subject,
      signal,
    });
    this.done = this.#run();
  }

  get id(): string {
    return this.held.id;
  }

  /** It is stored that it waits for the person. */
  get waiting(): boolean {
    return this.#waiting;
  }

  /** The one way to a tool, whoever asks. No new call while the turn waits for its person, or after its end. */
  async callTool(step: number, call: ModelToolCall): Promise<ToolOutcome> {
    if (this.#ending) throw new RuntimeError('turn_ended', 'this turn has ended');
    if (this.#subject.waits) throw new RuntimeError('turn_waiting', 'this turn waits for its person to sign in again');
    const called = this.#call(step, call);
    this.#calls.add(called);
    try {
      return await called;
    } finally {
      this.#calls.delete(called);
    }
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Ends it now; what cannot be written at once is left to who starts next. */
  async leave(reason: unknown): Promise<void> {
    this.#leaving.abort(reason);
    this.abort(reason);
    await this.done;
  }

  /** Asks again whether its principal may still run its agent. */
  verdict() {
    return this.#input.authorize.run([identityOf(this.agent)]);
  }

  /** Another token of its person; false where none is waited for, or it is somebody else's. */
  offer(next: NextToken, onPurpose: boolean): boolean {
    if (!this.#subject.offer(next.subject, onPurpose)) return false;
    this.#waiting = false;
    this.#input = { ...this.#input, authorize: next.authorize };
    return true;
  }

  /** Waits for the end, or until it waits for the person. */
  async settled(): Promise<void> {
    if (this.#waiting) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onWait.add(resolve);
    await Promise.race([this.done, promise]);
    this.#onWait.delete(resolve);
  }

  /** The agent as it stands now: its bindings count at each call. */
  #current(): Stored<'Agent'> {
    const current = this.#room.registry.byUid(this.agent.metadata.uid);
    return current?.kind === 'Agent' ? current : this.agent;
  }

  async #run(): Promise<void> {
    let end: Omit<FinishedTurn, 'usage'>;
    try {
      await this.#execute();
      this.#controller.signal.throwIfAborted();
      end = completedBy(this.#finishReason);
    } catch (error) {
      end = endOf(this.#controller.signal.aborted ? this.#controller.signal.reason : error);
    }
    this.#clock.stop();
    this.#ending = true;
    // Calls that somebody else made in this turn end with it.
    this.abort(new RuntimeError('turn_ended', 'this turn has ended'));
    await Promise.allSettled(this.#calls);
    await this.#finish(end);
  }

  async #execute(): Promise<void> {
    const { audit, log, modelOf, toolPolicy } = this.#room;
    const { signal } = this.#controller;
    const missing = toolPolicy.missing(this.#current());
    if (missing.length > 0)
      await this.#log.emit({
        type: 'warning',
        data: { code: 'tools_missing', message: `this agent ${missingText(missing)}` },
      });
    const events = this.#executor.run({
      session: this.session,
      turn: this.id,
      agent: this.agent,
      caller: this.#input.caller,
      events: await log.readAll(this.session),
      tools: toolPolicy
        .bound(this.#current())
        .filter((tool) => tool.offered)
        .map((tool) => ({
          name: tool.name,
          description: tool.found?.description ?? '',
          inputSchema: tool.found?.inputSchema ?? {},
        })),
      signal,
      callTool: (step, call) => this.callTool(step, call),
      prompted: (text) => Object.assign(this.#hashes, hashesOf(audit, text, modelOf(this.agent))),
    });
    for await (const event of events) await this.#take(event);
  }

  /** After an abort only what closes the step is taken: the text so far, and what it cost. */
  async #take(event: EventDraft): Promise<void> {
    if (event.type === 'usage') return this.#book(event);
    if (event.type !== 'message' && this.#controller.signal.aborted) return;
    if (event.type === 'step.ended') {
      this.#since = performance.now();
      this.#finishReason = event.data.finishReason;
    }
    const told = this.#log.emit(event);
    // Text is not waited for: the model goes on.
    if (event.type !== 'delta') await told;
  }

  async #book(event: Extract<EventDraft, { type: 'usage' }>): Promise<void> {
    const { audit } = this.#room;
    addUsage(this.#usage, event.data);
    const { model, code, message, ...counted } = event.data;
    await this.#log.emit(event, [
      audit.line({
        type: 'model.call',
        phase: 'single',
        principal: this.#input.caller.audit,
        door: this.#input.door,
        ...requestOf(this.#input),
        session: this.session,
        turn: this.id,
        agent: { ...identityOf(this.agent), generation: this.agent.metadata.generation, ...this.#hashes },
        latencyMs: Math.round(performance.now() - this.#since),
        outcome: this.#controller.signal.aborted ? 'aborted' : code === undefined ? 'ok' : 'failed',
        ...(code !== undefined && { code }),
        ...(message !== undefined && { reason: message }),
        data: { model, ...counted },
        ...(event.step !== undefined && { step: event.step }),
      }),
    ]);
  }

  /** Tries until it is written, or somebody else holds the turn: then the end is theirs to write. */
  async #finish(end: Omit<FinishedTurn, 'usage'>): Promise<void> {
    const { rows, store, now } = this.#room;
    const finish = () => rows.finish({ ...this.held, session: this.session }, { ...end, usage: this.#usage }, now());
    for (;;) {
      try {
        await this.#log.settled();
        if (end.state !== 'completed') await this.#close();
        await this.#log.end([endedEvent(end)], { statements: finish() });
        return;
      } catch (error) {
        if (error instanceof RuntimeError && error.code === 'turn_lost') {
          // Of a session that was removed only the row is left to end.
          await store.commit({ statements: finish() }).catch(() => undefined);
          return;
        }
        if (error instanceof StoreError && error.code === 'statement_invalid') return;
        const again = await delay(END_RETRY_MS, true, { signal: this.#leaving.signal }).catch(() => false);
        if (!again) return;
      }
    }
  }

  /** Keeps, marks and books what the executor left open. */
  async #close(): Promise<void> {
    const stored = await this.#room.log.ofTurn(this.session, this.id, this.#firstSeq);
    for (const draft of unclosed([...stored, ...this.#log.kept]))
      await (draft.type === 'usage' ? this.#book(draft) : this.#log.emit(draft));
  }

  async #wait(wanted: AuthWanted): Promise<void> {
    await this.#log.write([{ type: 'auth.required', data: wanted }], {
      statements: [this.#room.rows.setState(this.id, 'awaiting_auth')],
    });
    this.#clock.wait();
    // Somebody may have signed in while it was being stored: then it goes on at once.
    if (!this.#subject.waits) return;
    this.#waiting = true;
    for (const tell of this.#onWait) tell();
  }

  async #resume(): Promise<void> {
    const { audit, rows } = this.#room;
    this.#clock.run();
    await this.#log.write([], {
      statements: [rows.setState(this.id, 'running')],
      audit: [
        audit.line({
          type: 'login',
          phase: 'single',
          principal: this.#input.caller.audit,
          agent: identityOf(this.agent),
          ...requestOf(this.#input),
          session: this.session,
          turn: this.id,
          outcome: 'turn goes on',
          reason: 'another token was brought',
        }),
      ],
    });
  }
}
