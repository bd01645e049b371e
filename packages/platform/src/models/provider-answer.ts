import type { Usage } from '@onbehalf/resources';
import { isObject } from './is-object.ts';
import { ModelError } from './messages.ts';

/** What one chunk of an answer says, in one form, whatever form the provider gave it. */
export interface AnswerPart {
  text: string;
  reasoning: string;
  calls: readonly CallPart[];
  finishReason?: string;
  usage?: Usage;
  /** What could not be understood, each named by its field. */
  odd: readonly string[];
}

export interface CallPart {
  index?: number;
  id?: string;
  name?: string;
  arguments?: string;
}

const MOST_TOKENS = 1e12;

/** @throws ModelError `upstream_truncated` for what is no JSON, `model_unavailable` for an error in mid-answer */
export function readAnswerPart(data: string): AnswerPart {
  let chunk: unknown;
  try {
    chunk = JSON.parse(data);
  } catch (cause) {
    throw new ModelError('upstream_truncated', 'the model sent what is no JSON', { cause });
  }
  const odd: string[] = [];
  if (!isObject(chunk)) return { text: '', reasoning: '', calls: [], odd: ['chunk'] };
  if (chunk.error !== undefined && chunk.error !== null)
    throw new ModelError('model_unavailable', `the model failed in mid-answer${reasonOf(chunk.error)}`);
  const choice = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined;
  // A whole answer to a request for a stream has `message` where a part has `delta`.
  const delta = isObject(choice) ? (choice.delta ?? choice.message) : undefined;
  const said = isObject(delta) ? delta : {};
  const finish = isObject(choice) ? choice.finish_reason : undefined;
  if (finish !== undefined && finish !== null && typeof finish !== 'string') odd.push('finish_reason');
  const usage = usageOf(chunk.usage, odd);
  return {
    text: textOf(said.content, 'content', odd) + textOf(said.refusal, 'refusal', odd),
    reasoning: textOf(said.reasoning_content ?? said.reasoning, 'reasoning', odd),
    calls: callsOf(said.tool_calls, odd),
    // That it has finished is all that a reason of no sense says.
    ...(finish !== undefined && finish !== null && { finishReason: typeof finish === 'string' ? finish : 'stop' }),
    ...(usage && { usage }),
    odd,
  };
}

/** Text, or a list of parts that hold text. */
function textOf(value: unknown, field: string, odd: string[]): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map((part) => textOf(part, field, odd)).join('');
  if (isObject(value) && typeof value.text === 'string') return value.text;
  if (isObject(value) && isObject(value.text) && typeof value.text.value === 'string') return value.text.value;
  odd.push(field);
  return '';
}

function callsOf(value: unknown, odd: string[]): CallPart[] {
  if (value === undefined || value === null) return [];
  return [value].flat().flatMap((part) => {
    if (!isObject(part)) {
      odd.push('tool_calls');
      return [];
    }
    const called = isObject(part.function) ? part.function : {};
    const { arguments: given } = called;
    if (given !== undefined && given !== null && typeof given !== 'string' && !isObject(given)) odd.push('arguments');
    return [
      {
        ...(typeof part.index === 'number' && { index: part.index }),
        ...(typeof part.id === 'string' && part.id !== '' && { id: part.id }),
        ...(typeof called.name === 'string' && called.name !== '' && { name: called.name }),
        ...(typeof given === 'string' && { arguments: given }),
        ...(isObject(given) && { arguments: JSON.stringify(given) }),
      },
    ];
  });
}

function usageOf(value: unknown, odd: string[]): Usage | undefined {
  if (!isObject(value)) return undefined;
  const details = isObject(value.prompt_tokens_details) ? value.prompt_tokens_details : {};
  const count = (given: unknown, field: string) => {
    const number = typeof given === 'string' && given.trim() !== '' ? Number(given) : (given ?? 0);
    if (typeof number === 'number' && number >= 0 && number <= MOST_TOKENS) return Math.round(number);
    odd.push(field);
    return 0;
  };
  const inputTokens = count(value.prompt_tokens, 'prompt_tokens');
  const outputTokens = count(value.completion_tokens, 'completion_tokens');
  const cachedInputTokens = count(details.cached_tokens, 'cached_tokens');
  return { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, cachedInputTokens };
}

/** What an error is called by its provider. Nothing else of it: it may repeat what it was sent. */
export function reasonOf(error: unknown): string {
  const { code, type } = isObject(error) ? error : {};
  const name = [code, type].find((one) => /^(?:[a-z_]{1,40}|\d{3})$/.test(String(one ?? '')));
  return name === undefined ? '' : ` (${String(name)})`;
}
