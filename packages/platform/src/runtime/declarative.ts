import { type ModelConfigSpec, milliseconds, qualifiedName, type Usage } from '@onbehalf/resources';
import {
  type ModelChunk,
  type ModelClient,
  ModelError,
  type ModelMessage,
  type ModelToolCall,
} from '../models/index.ts';
import type { Stored } from '../store/index.ts';
import { TurnFailure } from './errors.ts';
import { buildHistory } from './history.ts';
import type { AgentExecutor, EventDraft, TurnContext } from './ports.ts';
import { estimateUsage, NO_USAGE } from './usage.ts';

const DEFAULT_MAX_STEPS = 20;
/** Ends of an answer that is not whole. */
const CUT_OFF: ReadonlySet<string> = new Set(['length', 'content_filter', 'refusal']);
const NOT_MADE =
  'This call was not made: the answer that asked for it was cut off. Ask again, with less in one answer.';

type Prices = NonNullable<ModelConfigSpec['prices']>;

export interface DeclarativeOptions {
  /** Throws `ModelError` where there is none that can be used. */
  modelFor(context: TurnContext): { client: ModelClient; model: string; prices?: Prices };
  systemMessage(agent: Stored<'Agent'>): Promise<string>;
}

/** The own loop: one model step at a time, its tool calls in parallel. */
export function createDeclarativeExecutor(options: DeclarativeOptions): AgentExecutor {
  return {
    maxDurationMs({ spec }) {
      const { maxTurnDuration } = spec.declarative ?? {};
      return maxTurnDuration === undefined ? undefined : milliseconds(maxTurnDuration);
    },
    async *run(context): AsyncGenerator<EventDraft> {
      const { client, model, prices } = options.modelFor(context);
      const { maxSteps = DEFAULT_MAX_STEPS, context: limits, stream = true } = context.agent.spec.declarative ?? {};
      const history = buildHistory(context.events, limits);
      if (history.droppedSteps > 0) yield { type: 'truncated', data: { droppedSteps: history.droppedSteps } };
      const system = await options.systemMessage(context.agent);
      context.prompted(system);
      const messages: ModelMessage[] = [
        ...(system === '' ? [] : [{ role: 'system' as const, text: system }]),
        ...history.messages,
      ];
      let wasCutOff = false;
      for (let step = 1; step <= maxSteps; step++) {
        const messageId = crypto.randomUUID();
        const calls: ModelToolCall[] = [];
        let text = '';
        let finishReason = 'stop';
        let carried: Extract<ModelChunk, { type: 'end' }>['carried'];
        let counted = false;
        const estimated = (failure?: ModelError): EventDraft => {
          // What was refused cost nothing.
          const guess = failure && text === '' ? NO_USAGE : estimateUsage(sizeOf(messages), text.length);
          const why = failure && { code: failure.code, message: failure.message };
          return { type: 'usage', step, data: { ...costed(guess, prices), model, estimated: true, ...why } };
        };
        context.signal.throwIfAborted();
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
              agent: qualifiedName(context.agent.metadata),
            },
          });
          for await (const chunk of chunks) {
            if (chunk.type === 'text') {
              text += chunk.text;
              if (stream) yield { type: 'delta', step, messageId, data: { text: chunk.text } };
            } else if (chunk.type === 'reasoning')
              yield { type: 'reasoning', step, messageId, data: { text: chunk.text } };
            else if (chunk.type === 'tool-call') calls.push(chunk.call);
            else if (chunk.type === 'usage') {
              counted = true;
              yield {
                type: 'usage',
                step,
                data: { ...costed(chunk.usage, prices), model, ...(chunk.estimated && { estimated: true }) },
              };
            } else if (chunk.type === 'odd')
              yield {
                type: 'warning',
                step,
                data: { code: 'odd_answer', message: `the model's answer had no usable ${chunk.fields.join(', ')}` },
              };
            else {
              finishReason = chunk.finishReason;
              carried = chunk.carried;
            }
            // Whatever comes between, the step is closed below.
            context.signal.throwIfAborted();
          }
        } catch (error) {
          // What was said so far is kept, and marked; what it cost is booked, though nobody counted it.
          if (text !== '')
            yield { type: 'message', step, messageId, data: { role: 'assistant', text, truncated: true } };
          if (!counted) yield estimated(error instanceof ModelError ? error : undefined);
          throw error;
        }
        if (!counted) yield estimated();
        const cutOff = CUT_OFF.has(finishReason) && finishReason !== 'refusal';
        if (text !== '' || calls.length > 0)
          yield {
            type: 'message',
            step,
            messageId,
            data: { role: 'assistant', text, ...(cutOff && text !== '' && { truncated: true }) },
          };
        const named = withDistinctIds(calls);
        // What a call says is known only when the answer ended properly: one that was cut off is not made.
        const whole = !CUT_OFF.has(finishReason);
        if (!whole && calls.length > 0 && wasCutOff)
          throw new ModelError('upstream_truncated', `the model's answer was cut off again (${finishReason})`);
        wasCutOff = !whole;
        const outcomes = whole
          ? await settle(named.map((call) => context.callTool(step, call)))
          : named.map(({ callId, name }) => ({ callId, name, output: NOT_MADE, isError: true }));
        yield { type: 'step.ended', step, data: { finishReason, toolCalls: calls.length } };
        if (calls.length === 0) return;
        messages.push(
          { role: 'assistant', text, toolCalls: named, ...(carried && { carried }) },
          ...outcomes.map((outcome): ModelMessage => ({ role: 'tool', ...outcome })),
        );
      }
      throw new TurnFailure('max_steps', `the agent did not finish within ${maxSteps} steps`);
    },
  };
}

/** With what it costs, where the ModelConfig has prices. */
function costed(usage: Usage, prices: Prices | undefined): Usage & { costUsd?: number } {
  if (prices === undefined) return usage;
  const { inputPerMillion, outputPerMillion } = prices;
  return {
    ...usage,
    costUsd: (usage.inputTokens * inputPerMillion + usage.outputTokens * outputPerMillion) / 1_000_000,
  };
}

/** In characters. */
function sizeOf(messages: readonly ModelMessage[]): number {
  return messages.reduce((sum, message) => sum + ('text' in message ? message.text : message.output).length, 0);
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
