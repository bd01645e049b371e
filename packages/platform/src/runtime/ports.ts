import type {
  AgentIdentity,
  DiscoveredTool,
  EventData,
  EventType,
  MissingTool,
  ResolvedTarget,
  SessionEvent,
  TurnState,
  Usage,
} from '@onbehalf/resources';
import type { SubjectSource } from '@onbehalf/token-exchange';
import type { AuditPrincipal } from '../audit/index.ts';
import type { ModelTool, ModelToolCall } from '../models/index.ts';
import type { Stored } from '../store/index.ts';
import type { McpServer } from '../tools/index.ts';

export interface Verdict {
  effect: 'allow' | 'deny' | 'hide';
  rule: string;
  reason: string;
  /** Of the policy that was asked. */
  revision?: number;
  /** How a turn that is under way ends over it: `principal_revoked`, `access_revoked`, `agent_disabled`. */
  code?: 'principal_revoked' | 'access_revoked' | 'agent_disabled';
}

/** The policy, asked again at every step. Closed over the caller, whom this room does not judge by itself. */
export interface Authorize {
  run(agents: readonly AgentIdentity[]): Verdict;
  tool(call: {
    agents: readonly AgentIdentity[];
    server: { uid: string; namespace: string; name: string; enabled: boolean };
    tool: string;
    bound: boolean;
    offered: boolean;
  }): Verdict;
}

/** One tool that is bound to an agent, as it stands now. `problem`: why it is not offered. */
export interface BoundTool {
  /** What the model calls it: prefixed by its server, so that two servers cannot shadow each other. */
  name: string;
  server: McpServer | undefined;
  serverName: string;
  /** `namespace/name`, also of one that is not there. */
  serverRef: string;
  tool: string;
  found: DiscoveredTool | undefined;
  target: ResolvedTarget | undefined;
  requireApproval: boolean;
  idempotent: boolean;
  timeoutMs?: number;
  offered: boolean;
  problem?: string;
}

/** What the policy makes of an agent's bindings. Asked anew at each call. */
export interface ToolPolicy {
  bound(agent: Stored<'Agent'>): readonly BoundTool[];
  missing(agent: Stored<'Agent'>): readonly MissingTool[];
}

/** The named budget `turns running` of one person; the number is counted in the commit that makes the turn. */
export interface TurnBudget {
  /** How many turns of this person may run at once. Those that wait for the person are not counted. */
  turnsRunning(person: PersonRef): number;
}

export interface PersonRef {
  issuer: string;
  subject: string;
}

/** Who started a turn. Holds no credential. */
export interface Caller extends PersonRef {
  name?: string;
  /** A keyed hash for model providers: never a name. */
  endUser: string;
  audit: AuditPrincipal;
}

/** An event before it has its number. */
export type EventDraft = {
  [T in EventType]: { type: T; data: EventData<T>; step?: number; messageId?: string; callId?: string };
}[EventType];

export interface TurnInput {
  session: string;
  content: string;
  source?: string;
  caller: Caller;
  subject: SubjectSource | undefined;
  authorize: Authorize;
  door: string;
  idempotencyKey?: string;
  requestId?: string;
  /** W3C Trace Context: 32 hexadecimal digits. */
  traceId?: string;
  loginSession?: string;
}

/** Another token of somebody whose turn waits, and what they may do as that token has it. */
export interface NextToken {
  subject: SubjectSource;
  authorize: Authorize;
}

export interface ToolOutcome {
  callId: string;
  name: string;
  output: string;
  isError: boolean;
}

/** What an executor may use. Its tools go through `callTool` alone. */
export interface TurnContext {
  session: string;
  turn: string;
  agent: Stored<'Agent'>;
  caller: Caller;
  /** The session's log so far; the message that began this turn is its last. */
  events: readonly SessionEvent[];
  /** What is offered now. */
  tools: readonly ModelTool[];
  signal: AbortSignal;
  callTool(step: number, call: ModelToolCall): Promise<ToolOutcome>;
  /** Says what the model is told first, before its first call: the audit names it by a hash. */
  prompted(systemMessage: string): void;
}

/** Runs one turn and yields what happened. The own loop and remote agents are its implementations. */
export interface AgentExecutor {
  /**
   * When `context.signal` aborts it closes the step that is under way (the text so far as a `message`, its `usage`) and
   * throws; nothing else that it yields after that is taken.
   */
  run(context: TurnContext): AsyncIterable<EventDraft>;
  /** How long a turn of this agent may run, in milliseconds; an hour unless it says otherwise. */
  maxDurationMs?(agent: Stored<'Agent'>): number | undefined;
}

export interface FinishedTurn {
  state: TurnState;
  code?: string;
  message?: string;
  usage: Usage;
}

export type Listener = (events: readonly SessionEvent[]) => void;
