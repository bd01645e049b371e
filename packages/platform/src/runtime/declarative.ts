import type { Usage } from '@onbehalf/resources';
import type { ModelClient, ModelMessage, ModelToolCall } from '../models/index.ts';
import { TurnFailure } from './errors.ts';
import type { AgentExecutor, EventDraft, TurnContext } from './ports.ts';

const DEFAULT_MAX_STEPS = 20;

/** The own loop: one model step at a time, its tool calls in parallel. */
export function createDeclarativeExecutor(
  modelFor: (context: TurnContext) => { client: ModelClient; model: string },
): AgentExecutor {
  return {
    async *run(context): AsyncGenerator<EventDraft> {
      const { client, model } = modelFor(context);
      const maxSteps = context.agent.spec.declarative?.maxSteps ?? DEFAULT_MAX_STEPS;
      const messages: ModelMessage[] = [
        ...(context.systemMessage === '' ? [] : [{ role: 'system' as const, text: context.systemMessage }]),
        ...context.history,
      ];
      for (let step = 1; step <= maxSteps; step++) {
        const messageId = crypto.randomUUID();
        const calls: ModelToolCall[] = [];
        let text = '';
        let finishReason = 'stop';
        let counted = false;
        try {
          const chunks = client.stream({
            messages,
            tools: context.tools,
            signal: context.signal,
            context: {
              session: context.session,
              turn: context.turn,
              step,
              endUser: context.caller.endUser,
              agent: `${context.agent.metadata.namespace ?? 'default'}/${context.agent.metadata.name}`,
            },
          });
          for await (const chunk of chunks) {
            if (chunk.type === 'text') {
              text += chunk.text;
              yield { type: 'delta', step, messageId, data: { text: chunk.text } };
            } else if (chunk.type === 'reasoning')
              yield { type: 'reasoning', step, messageId, data: { text: chunk.text } };
            else if (chunk.type === 'tool-call') calls.push(chunk.call);
            else if (chunk.type === 'usage') {
              counted = true;
              yield {
                type: 'usage',
                step,
                data: { ...chunk.usage, model, ...(chunk.estimated && { estimated: true }) },
              };
            } else finishReason = chunk.finishReason;
          }
        } catch (error) {
          // What was said so far is kept, and marked; what it cost is booked, though nobody counted it.
          if (text !== '')
            yield { type: 'message', step, messageId, data: { role: 'assistant', text, truncated: true } };
          if (text !== '' && !counted)
            yield { type: 'usage', step, data: { ...estimate(messages, text), model, estimated: true } };
          throw error;
        }
        if (text !== '' || calls.length > 0)
          yield { type: 'message', step, messageId, data: { role: 'assistant', text } };
        const named = withDistinctIds(calls);
        const outcomes = await settle(named.map((call) => context.callTool(step, call)));
        yield { type: 'step.ended', step, data: { finishReason, toolCalls: calls.length } };
        if (calls.length === 0) return;
        messages.push(
          { role: 'assistant', text, toolCalls: named },
          ...outcomes.map((outcome): ModelMessage => ({ role: 'tool', ...outcome })),
        );
      }
      throw new TurnFailure('max_steps', `the agent did not finish within ${maxSteps} steps`);
    },
  };
}

/** Four characters to a token: the usual rule of thumb. */
function estimate(messages: readonly ModelMessage[], text: string): Usage {
  const read = messages.reduce((sum, message) => sum + ('text' in message ? message.text : message.output).length, 0);
  const inputTokens = Math.ceil(read / 4);
  const outputTokens = Math.ceil(text.length / 4);
  return { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, cachedInputTokens: 0 };
}

/** Waits for every call, so that none is left running, then reports the first failure. */
async function settle<T>(calls: Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(calls);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

/** A model may use one id twice; the log may not. */
function withDistinctIds(calls: readonly ModelToolCall[]): ModelToolCall[] {
  const seen = new Set<string>();
  return calls.map((call) => {
    const callId = call.callId === '' || seen.has(call.callId) ? crypto.randomUUID() : call.callId;
    seen.add(callId);
    return { ...call, callId };
  });
}
