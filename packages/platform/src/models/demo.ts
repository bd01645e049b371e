import { setTimeout as delay } from 'node:timers/promises';
import { planStep } from './demo-planner.ts';
import { type ModelChunk, type ModelClient, ModelError, type ModelRequest } from './messages.ts';

const PIECE = 16;

export interface DemoOptions {
  /** Pause between two pieces of text, in ms. */
  paceMs?: number;
  newCallId?: () => string;
}

/**
 * The provider `Demo`. It goes through the same interface as every other one. A message can make it misbehave for
 * tests: `!parallel`, `!unknown-tool`, `!bad-arguments`, `!slow`, `!error`, `!truncated`, `!loop`.
 */
export function createDemoClient({ paceMs = 4, newCallId = () => crypto.randomUUID() }: DemoOptions = {}): ModelClient {
  async function* stream(request: ModelRequest): AsyncGenerator<ModelChunk> {
    const question = request.messages.findLast((message) => message.role === 'user')?.text ?? '';
    if (/!error\b/.test(question)) throw new ModelError('model_unavailable', 'the demo planner was told to fail');
    const plan = planStep(request.messages, request.tools);
    const pace = /!slow\b/.test(question) ? Math.max(paceMs, 150) : paceMs;
    let written = 0;
    for (let start = 0; start < plan.text.length; start += PIECE) {
      await delay(pace, undefined, { signal: request.signal });
      const text = plan.text.slice(start, start + PIECE);
      written += text.length;
      yield { type: 'text', text };
      if (/!truncated\b/.test(question) && written > PIECE)
        throw new ModelError('upstream_truncated', 'the demo planner was told to break off');
    }
    if (/!slow\b/.test(question)) await delay(500, undefined, { signal: request.signal });
    request.signal.throwIfAborted();
    for (const call of plan.calls) yield { type: 'tool-call', call: { callId: newCallId(), ...call } };
    const inputTokens = tokensIn(
      request.messages.map((message) => ('text' in message ? message.text : message.output)).join(' '),
    );
    const outputTokens = tokensIn(plan.text + plan.calls.map((call) => call.arguments).join(''));
    yield {
      type: 'usage',
      estimated: true,
      usage: { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, cachedInputTokens: 0 },
    };
    yield { type: 'end', finishReason: plan.calls.length > 0 ? 'tool_calls' : 'stop' };
  }
  return { stream };
}

/** The usual rule of thumb: four characters to a token. */
const tokensIn = (text: string) => Math.ceil(text.length / 4);
