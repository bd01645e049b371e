import { z } from 'zod';
import { principalRef } from './metadata.ts';

/** How a token that went to a tool server came about. Never the token. Times in ms, `expiresAt` ISO 8601. */
export const exchangeView = z.strictObject({
  /** `namespace/name` */
  server: z.string(),
  serverUid: z.string().exactOptional(),
  tool: z.string().exactOptional(),
  mode: z.enum(['Exchange', 'Workload', 'Forward', 'Static', 'None']),
  tokenService: z.string().exactOptional(),
  profile: z.string().exactOptional(),
  result: z.enum(['exchanged', 'cached', 'joined', 'refused']),
  code: z.string().exactOptional(),
  message: z.string().exactOptional(),
  requested: z
    .strictObject({ audience: z.array(z.string()), resource: z.array(z.string()), scopes: z.array(z.string()) })
    .exactOptional(),
  granted: z.strictObject({ audience: z.array(z.string()), scope: z.string().exactOptional() }).exactOptional(),
  subject: principalRef.exactOptional(),
  act: z.array(z.string()).exactOptional(),
  delegation: z.string().exactOptional(),
  claims: z.record(z.string(), z.unknown()).exactOptional(),
  ms: z.number().exactOptional(),
  expiresAt: z.string().exactOptional(),
  jti: z.string().exactOptional(),
  hash: z.string().exactOptional(),
});
export type ExchangeView = z.infer<typeof exchangeView>;

export const usage = z.strictObject({
  inputTokens: z.int().nonnegative(),
  outputTokens: z.int().nonnegative(),
  totalTokens: z.int().nonnegative(),
  cachedInputTokens: z.int().nonnegative(),
});
export type Usage = z.infer<typeof usage>;

export const turnStates = [
  'running',
  'awaiting_approval',
  'awaiting_auth',
  'completed',
  'failed',
  'stopped',
  'interrupted',
] as const;
export type TurnState = (typeof turnStates)[number];

const toolRef = { server: z.string(), tool: z.string() };

/** What each type of event carries in `data`. */
export const eventData = {
  'turn.started': z.strictObject({
    door: z.string(),
    principal: principalRef.extend({ name: z.string().exactOptional() }),
    agent: z.string(),
    agentGeneration: z.int(),
    model: z.string().exactOptional(),
  }),
  message: z.strictObject({
    role: z.enum(['user', 'assistant']),
    text: z.string(),
    source: z.string().exactOptional(),
    truncated: z.boolean().exactOptional(),
  }),
  delta: z.strictObject({ text: z.string() }),
  reasoning: z.strictObject({ text: z.string(), opaque: z.unknown().exactOptional() }),
  part: z.strictObject({ mediaType: z.string(), reference: z.string(), name: z.string().exactOptional() }),
  'tool.call': z.strictObject({ ...toolRef, name: z.string(), arguments: z.record(z.string(), z.unknown()) }),
  'approval.requested': z.strictObject({
    approval: z.string(),
    ...toolRef,
    arguments: z.record(z.string(), z.unknown()),
    expiresAt: z.string(),
  }),
  'approval.decided': z.strictObject({
    approval: z.string(),
    decision: z.enum(['approved', 'rejected', 'expired']),
    by: principalRef.exactOptional(),
    reason: z.string().exactOptional(),
    diff: z.unknown().exactOptional(),
  }),
  'tool.sent': z.strictObject(toolRef),
  'tool.result': z.strictObject({
    ...toolRef,
    isError: z.boolean(),
    output: z.string(),
    code: z.string().exactOptional(),
    actBy: z.string().exactOptional(),
    truncated: z.boolean().exactOptional(),
    ms: z.number().exactOptional(),
  }),
  exchange: exchangeView,
  'auth.required': z.strictObject({ reason: z.string(), claimsChallenge: z.string().exactOptional() }),
  usage: usage.extend({
    model: z.string(),
    estimated: z.boolean().exactOptional(),
    costUsd: z.number().exactOptional(),
    /** Of a model call that failed: why, as the turn's end says it. */
    code: z.string().exactOptional(),
    message: z.string().exactOptional(),
  }),
  'step.ended': z.strictObject({ finishReason: z.string(), toolCalls: z.int() }),
  'turn.ended': z.strictObject({
    state: z.enum(['completed', 'failed', 'stopped', 'interrupted']),
    code: z.string().exactOptional(),
    message: z.string().exactOptional(),
  }),
  cleared: z.strictObject({}),
  truncated: z.strictObject({ droppedSteps: z.int() }),
  warning: z.strictObject({ code: z.string(), message: z.string() }),
} as const;

export type EventType = keyof typeof eventData;
export const eventTypes = Object.keys(eventData) as readonly EventType[];
export type EventData<T extends EventType> = z.infer<(typeof eventData)[T]>;

interface EventHead {
  v: 1;
  session: string;
  seq: number;
  turn: string;
  step?: number;
  at: string;
  messageId?: string;
  partIndex?: number;
  callId?: string;
}

/** One entry of a session's append-only, numbered log. Everything that a client sees is one of these. */
export type SessionEvent = { [T in EventType]: EventHead & { type: T; data: EventData<T> } }[EventType];

export const sessionEvent = z.strictObject({
  v: z.literal(1),
  session: z.string(),
  seq: z.int().positive(),
  turn: z.string(),
  step: z.int().exactOptional(),
  at: z.string(),
  type: z.enum(eventTypes),
  messageId: z.string().exactOptional(),
  partIndex: z.int().exactOptional(),
  callId: z.string().exactOptional(),
  data: z.record(z.string(), z.unknown()),
});

/** Validates an event as a whole, its `data` by its type. */
export function parseEvent(value: unknown): SessionEvent {
  const head = sessionEvent.parse(value);
  return { ...head, data: eventData[head.type].parse(head.data) } as SessionEvent;
}
