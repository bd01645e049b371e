import type { EventData, ExchangeView, SessionEvent } from '@onbehalf/resources';

export interface ToolCall {
  callId: string;
  server: string;
  tool: string;
  arguments: Record<string, unknown>;
  state: 'asked' | 'sent' | 'done';
  result?: EventData<'tool.result'>;
  /** The token that went with it; the last one, where a first was refused by the server. */
  exchange?: ExchangeView;
}

export type Part =
  | { kind: 'text'; id: string; text: string; final: boolean; truncated: boolean }
  | { kind: 'reasoning'; id: string; text: string }
  | { kind: 'tool'; id: string; call: ToolCall }
  | { kind: 'note'; id: string; text: string }
  | { kind: 'sign-in'; id: string; reason: string };

export interface Turn {
  id: string;
  user: string;
  startedAt: string;
  parts: readonly Part[];
  state: 'running' | 'awaiting_approval' | 'awaiting_auth' | 'completed' | 'failed' | 'stopped' | 'interrupted';
  code?: string;
  message?: string;
  tokens: number;
}

export interface Transcript {
  turns: readonly Turn[];
  lastSeq: number;
}

export const emptyTranscript: Transcript = { turns: [], lastSeq: 0 };

/** Applies events in their order. What is already known is left as it is, so that only the turn that changed is drawn again. */
export function addEvents(transcript: Transcript, events: readonly SessionEvent[]): Transcript {
  let { turns, lastSeq } = transcript;
  for (const event of events) {
    if (event.seq <= lastSeq) continue;
    lastSeq = event.seq;
    if (event.type === 'cleared') {
      turns = [];
      continue;
    }
    const at = turns.findLastIndex(({ id }) => id === event.turn);
    const before = turns[at] ?? newTurn(event);
    const after = addEvent(before, event);
    turns = at < 0 ? [...turns, after] : turns.with(at, after);
  }
  return lastSeq === transcript.lastSeq ? transcript : { turns, lastSeq };
}

const newTurn = (event: SessionEvent): Turn => ({
  id: event.turn,
  user: '',
  startedAt: event.at,
  parts: [],
  state: 'running',
  tokens: 0,
});

function addEvent(turn: Turn, event: SessionEvent): Turn {
  const note = (text: string): Turn => ({
    ...turn,
    parts: [...turn.parts, { kind: 'note', id: `${event.seq}`, text }],
  });
  switch (event.type) {
    case 'message':
      return event.data.role === 'user'
        ? { ...turn, user: event.data.text }
        : putText(turn, event.messageId ?? `${event.seq}`, () => event.data.text, true, event.data.truncated === true);
    case 'delta':
      return putText(turn, event.messageId ?? turn.id, (text) => text + event.data.text, false, false);
    case 'reasoning':
      return { ...turn, parts: [...turn.parts, { kind: 'reasoning', id: `${event.seq}`, text: event.data.text }] };
    case 'part':
      return note(`Attachment: ${event.data.name ?? event.data.reference} (${event.data.mediaType})`);
    case 'tool.call': {
      const { server, tool, arguments: values } = event.data;
      const callId = event.callId ?? `${event.seq}`;
      const call: ToolCall = { callId, server, tool, arguments: values, state: 'asked' };
      return { ...turn, parts: [...turn.parts, { kind: 'tool', id: callId, call }] };
    }
    case 'tool.sent':
      return { ...putCall(turn, event, (call) => ({ ...call, state: 'sent' })), state: 'running' };
    case 'exchange':
      return putCall(turn, event, (call) => ({ ...call, exchange: event.data }));
    case 'tool.result':
      return putCall(turn, event, (call) => ({ ...call, state: 'done', result: event.data }));
    case 'approval.requested':
      return { ...note(`${event.data.server}.${event.data.tool} waits for an approval.`), state: 'awaiting_approval' };
    case 'approval.decided':
      return { ...note(`The approval was ${event.data.decision}.`), state: 'running' };
    case 'auth.required':
      return {
        ...turn,
        parts: [...turn.parts, { kind: 'sign-in', id: `${event.seq}`, reason: event.data.reason }],
        state: 'awaiting_auth',
      };
    case 'usage':
      return { ...turn, tokens: turn.tokens + event.data.totalTokens };
    case 'truncated':
      return note(`The first ${event.data.droppedSteps} steps no longer fit into the model's context.`);
    case 'warning':
      return note(event.data.message);
    case 'turn.ended': {
      const { state, code, message } = event.data;
      return { ...turn, state, ...(code !== undefined && { code }), ...(message !== undefined && { message }) };
    }
    default:
      return turn;
  }
}

function putText(turn: Turn, id: string, change: (text: string) => string, final: boolean, truncated: boolean): Turn {
  const at = turn.parts.findIndex((part) => part.kind === 'text' && part.id === id);
  const known = turn.parts[at];
  const text = change(known?.kind === 'text' ? known.text : '');
  // A step that only calls tools ends with an empty message.
  if (text === '') return turn;
  const part: Part = { kind: 'text', id, text, final, truncated };
  return { ...turn, parts: at < 0 ? [...turn.parts, part] : turn.parts.with(at, part) };
}

function putCall(turn: Turn, { callId }: SessionEvent, change: (call: ToolCall) => ToolCall): Turn {
  const at = turn.parts.findLastIndex((part) => part.kind === 'tool' && part.call.callId === callId);
  const known = turn.parts[at];
  if (known?.kind !== 'tool') return turn;
  return { ...turn, parts: turn.parts.with(at, { ...known, call: change(known.call) }) };
}

export const isRunning = ({ state }: Turn): boolean =>
  state === 'running' || state === 'awaiting_approval' || state === 'awaiting_auth';
