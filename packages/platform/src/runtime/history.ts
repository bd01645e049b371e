import type { SessionEvent } from '@onbehalf/resources';
import type { ModelMessage, ModelToolCall } from '../models/index.ts';
import { CHARACTERS_PER_TOKEN } from './usage.ts';

const DEFAULT_MAX_TOKENS = 100_000;

interface Limits {
  maxTokens?: number | undefined;
  keepLastSteps?: number | undefined;
}

interface Step {
  text: string;
  calls: ModelToolCall[];
  results: Extract<ModelMessage, { role: 'tool' }>[];
}

/**
 * The conversation as a model reads it, from the log after the last `cleared`. It is cut by dropping whole steps from
 * the front; the newest always stays.
 */
export function buildHistory(events: readonly SessionEvent[], limits: Limits = {}) {
  const cleared = events.findLastIndex((event) => event.type === 'cleared');
  const groups: (Step | { user: string })[] = [];
  const steps = new Map<string, Step>();
  const stepOf = (event: SessionEvent) => {
    const key = `${event.turn}/${event.step ?? 0}`;
    const known = steps.get(key);
    if (known) return known;
    const step: Step = { text: '', calls: [], results: [] };
    steps.set(key, step);
    groups.push(step);
    return step;
  };
  for (const event of events.slice(cleared + 1)) {
    if (event.type === 'message') {
      if (event.data.role === 'user') groups.push({ user: event.data.text });
      else stepOf(event).text = event.data.text;
    } else if (event.type === 'tool.call' && event.callId) {
      const { name, arguments: values } = event.data;
      stepOf(event).calls.push({ callId: event.callId, name, arguments: JSON.stringify(values) });
    } else if (event.type === 'tool.result' && event.callId) {
      const { output, isError, tool } = event.data;
      stepOf(event).results.push({ role: 'tool', callId: event.callId, name: tool, output, isError });
    }
  }
  return cut(groups.map(messagesOf), limits);
}

/** A call without a result was under way when the server stopped: the model is told so. */
function messagesOf(group: Step | { user: string }): ModelMessage[] {
  if ('user' in group) return [{ role: 'user', text: group.user }];
  const results = group.calls.map(
    (call) =>
      group.results.find((result) => result.callId === call.callId) ??
      ({ role: 'tool', callId: call.callId, name: call.name, output: 'outcome unknown', isError: true } as const),
  );
  return [{ role: 'assistant', text: group.text, toolCalls: group.calls }, ...results];
}

function cut(groups: ModelMessage[][], limits: Limits): { messages: ModelMessage[]; droppedSteps: number } {
  const budget = (limits.maxTokens ?? DEFAULT_MAX_TOKENS) * CHARACTERS_PER_TOKEN;
  let used = 0;
  let first = groups.length;
  while (first > 0) {
    const size = (groups[first - 1] ?? []).reduce((sum, message) => sum + sizeOf(message), 0);
    const kept = groups.length - first;
    if (kept > 0 && (used + size > budget || kept >= (limits.keepLastSteps ?? Number.POSITIVE_INFINITY))) break;
    used += size;
    first--;
  }
  if (first === 0) return { messages: groups.flat(), droppedSteps: 0 };
  // A call and its result are nothing to begin with: from the next message of the person on, or from the one that is
  // being answered.
  const next = calls(groups[first]) ? groups.findIndex((group, index) => index >= first && isUser(group)) : first;
  const asked = groups.findLastIndex(isUser);
  const kept = next === -1 ? [groups[asked] ?? [], ...groups.slice(first)] : groups.slice(next);
  const messages = kept.flat();
  const told = messages.findIndex(({ role }) => role === 'user');
  return {
    messages: messages.map((message, index) =>
      index === told && message.role === 'user' ? { ...message, text: `${LEFT_OUT}\n\n${message.text}` } : message,
    ),
    droppedSteps: next === -1 ? first : next,
  };
}

const LEFT_OUT = '[The earlier part of this conversation was left out.]';
const calls = ([message]: readonly ModelMessage[] = []) =>
  message?.role === 'tool' || (message?.role === 'assistant' && message.toolCalls.length > 0);
const isUser = ([message]: readonly ModelMessage[]) => message?.role === 'user';

function sizeOf(message: ModelMessage): number {
  if (message.role === 'tool') return message.output.length;
  const calls = message.role === 'assistant' ? message.toolCalls : [];
  return message.text.length + calls.reduce((sum, call) => sum + call.arguments.length, 0);
}
