import type { SessionEvent, SessionView } from '@onbehalf/resources';

/** Turns events into what one generation of clients understands. */
export interface Encoder {
  generation: 'events' | 'first' | 'second';
  /** Wants the whole past at once. */
  snapshot: boolean;
  opened(session: SessionView, past: readonly SessionEvent[]): unknown[];
  event(event: SessionEvent): unknown[];
  error(code: string, message: string): unknown;
  stopping?(): unknown;
  idle?(): unknown;
  expiring?(at: string): unknown;
}

/** Our own protocol: the events themselves. */
export function eventEncoder(): Encoder {
  return {
    generation: 'events',
    snapshot: false,
    opened: (session) => [
      { type: 'session', session: session.id, lastSeq: session.lastSeq, ...(session.turn && { turn: session.turn }) },
    ],
    event: (event) => [event],
    error: (code, message) => ({ type: 'error', code, message }),
    expiring: (at) => ({ type: 'auth.expiring', at }),
  };
}

interface Step {
  id: string;
  parentId: string | null;
  messageId: string;
  stepId: number;
  timestamp: string;
  role: 'user' | 'agent';
  content: string;
  isBegin: boolean;
  isEnd: boolean;
  toolCalls: { toolName: string; toolCallId: string; input: unknown }[];
  toolResults: { toolCallId: string; output: string; isError: boolean }[];
  usage: { inputTokens: number; outputTokens: number; totalTokens: number; cachedInputTokens: number };
}

/** Gathers events into the steps of the older protocol, each sent once, when it is whole. */
function stepCollector() {
  const open = new Map<string, Step>();
  let head: string | null = null;
  const stepOf = (event: SessionEvent): Step => {
    const id = `${event.turn}-${event.step ?? 0}`;
    const known = open.get(id);
    if (known) return known;
    const step: Step = {
      id,
      parentId: head,
      messageId: event.messageId ?? event.turn,
      stepId: event.step ?? 0,
      timestamp: event.at,
      role: 'agent',
      content: '',
      isBegin: event.step === 1,
      isEnd: false,
      toolCalls: [],
      toolResults: [],
      usage: { inputTokens: 0, outputTokens: 0, totalTokens: 0, cachedInputTokens: 0 },
    };
    open.set(id, step);
    return step;
  };
  const finish = (step: Step) => {
    open.delete(step.id);
    head = step.id;
    return step;
  };
  return {
    head: () => head,
    take(event: SessionEvent): Step | undefined {
      switch (event.type) {
        case 'message':
          if (event.data.role === 'assistant') {
            stepOf(event).content = event.data.text;
            return undefined;
          }
          return finish({ ...stepOf(event), role: 'user', content: event.data.text, isBegin: true, isEnd: true });
        case 'tool.call':
          stepOf(event).toolCalls.push({
            toolName: event.data.name,
            toolCallId: event.callId ?? '',
            input: event.data.arguments,
          });
          return undefined;
        case 'tool.result':
          stepOf(event).toolResults.push({
            toolCallId: event.callId ?? '',
            output: event.data.output,
            isError: event.data.isError,
          });
          return undefined;
        case 'usage': {
          const { inputTokens, outputTokens, totalTokens, cachedInputTokens } = event.data;
          stepOf(event).usage = { inputTokens, outputTokens, totalTokens, cachedInputTokens };
          return undefined;
        }
        case 'step.ended': {
          const step = stepOf(event);
          step.isEnd = event.data.toolCalls === 0;
          return finish(step);
        }
        default:
          return undefined;
      }
    },
  };
}

type State = 'UNAVAILABLE' | 'AVAILABLE' | 'GENERATING' | 'STOPPING';

interface Names {
  opened(state: State, steps: Step[], headId: string | null): unknown;
  state(state: State): unknown;
  step(step: Step): unknown;
  complete(): unknown[];
  error(code: string, message: string): unknown;
}

function olderFrames(generation: 'first' | 'second', names: Names): Encoder {
  const collector = stepCollector();
  return {
    generation,
    snapshot: true,
    opened(session, past) {
      const steps = past.flatMap((event) => collector.take(event) ?? []);
      return [names.opened(session.turn ? 'GENERATING' : 'AVAILABLE', steps, collector.head())];
    },
    event(event) {
      const step = collector.take(event);
      const frames: unknown[] = step ? [names.step(step)] : [];
      if (event.type === 'turn.started') frames.push(names.state('GENERATING'));
      // They know no waiting: they show it as an error, and the turn goes on once somebody has signed in.
      if (event.type === 'auth.required') frames.push(names.error(event.data.reason, 'sign in again to go on'));
      if (event.type === 'turn.ended') {
        if (event.data.state === 'failed')
          frames.push(names.error(event.data.code ?? 'failed', event.data.message ?? 'the turn failed'));
        frames.push(...names.complete(), names.state('AVAILABLE'));
      }
      return frames;
    },
    error: names.error,
    stopping: () => names.state('STOPPING'),
    idle: () => names.state('AVAILABLE'),
  };
}

export const firstFrames = () =>
  olderFrames('first', {
    opened: (state, steps, headId) => ({ type: 'init', state, steps, headId }),
    state: (state) => ({ type: 'state', state }),
    step: (step) => ({ type: 'step', step }),
    complete: () => [{ type: 'complete' }],
    error: (code, message) => ({ type: 'error', error: message, code }),
  });

export const secondFrames = () =>
  olderFrames('second', {
    opened: (state, steps, headId) => ({ type: 'WsServerSnapshotEvent', state, steps, headId }),
    state: (state) => ({ type: 'WsServerStatusEvent', state }),
    step: (step) => ({ type: 'WsServerStepEvent', step }),
    complete: () => [],
    error: (code, message) => ({ type: 'WsServerErrorEvent', error: message, code }),
  });
