import { isObject, type Usage } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import { ModelError } from './messages.ts';
import { reasonOf } from './refusal.ts';

/** What one chunk of an answer says, in one form, whatever form the provider gave it. */
export interface AnswerPart {
  text: string;
  reasoning: string;
  calls: readonly CallPart[];
  /** In one form: `stop`, `tool_calls`, `length`, `content_filter`, `refusal`, `error`, or what nobody knows. */
  finishReason?: string;
  /** The model declined; its words are part of the text. */
  refused: boolean;
  usage?: Usage;
  /** What this provider wants back beside the message, as it is. */
  carried: Carried;
  /** What could not be understood, each named by its field. */
  odd: readonly string[];
}

/** Members that only their provider understands, such as signatures of its reasoning. */
export type Carried = Readonly<Record<string, unknown>>;

export interface CallPart {
  /** What this provider wants back beside the call, as it is. */
  carried?: Carried;
  index?: number;
  id?: string;
  name?: string;
  arguments?: string;
}

const MOST_TOKENS = 1e12;

/** What providers call the ends that they mean alike. */
const FINISHES: Readonly<Record<string, string>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  eos: 'stop',
  tool_use: 'tool_calls',
  function_call: 'tool_calls',
  max_tokens: 'length',
  model_length: 'length',
  safety: 'content_filter',
  content_filtered: 'content_filter',
};

/** Of a message: OpenRouter's and LiteLLM's names for reasoning that is signed. */
const CARRIED = ['reasoning_details', 'thinking_blocks'] as const;
/** Of a call: where Google's signatures of a thought stand, and where LiteLLM puts them. */
const CARRIED_OF_CALL = ['extra_content', 'provider_specific_fields'] as const;

/**
 * @param sent the key that an error may repeat
 * @throws ModelError `upstream_truncated` for what is no JSON, `model_unavailable` for an error in mid-answer
 */
export function readAnswerPart(data: string, sent?: SecretValue): AnswerPart {
  let chunk: unknown;
  try {
    chunk = JSON.parse(data);
  } catch (cause) {
    throw new ModelError('upstream_truncated', 'the model sent what is no JSON', { cause });
  }
  const odd: string[] = [];
  if (!isObject(chunk)) return { text: '', reasoning: '', refused: false, calls: [], carried: {}, odd: ['chunk'] };
  if (chunk.error !== undefined && chunk.error !== null)
    throw new ModelError('model_unavailable', `the model failed in mid-answer${reasonOf(chunk.error, sent)}`);
  const choice = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined;
  // A whole answer to a request for a stream has `message` where a part has `delta`.
  const delta = isObject(choice) ? (choice.delta ?? choice.message) : undefined;
  const said = isObject(delta) ? delta : {};
  const finish = isObject(choice) ? choice.finish_reason : undefined;
  if (finish !== undefined && finish !== null && typeof finish !== 'string') odd.push('finish_reason');
  const usage = usageOf(chunk.usage, odd);
  const refusal = textOf(said.refusal, 'refusal', odd);
  // Some write both names, one of them empty; the name that held it is the one that it goes back under.
  const [thought, named] = (['reasoning_content', 'reasoning'] as const)
    .map((name) => [textOf(said[name], 'reasoning', odd), name] as const)
    .find(([text]) => text !== '') ?? [''];
  return {
    text: textOf(said.content, 'content', odd) + refusal,
    reasoning: thought,
    refused: refusal !== '',
    carried: { ...(named !== undefined && { [named]: thought }), ...pick(said, CARRIED) },
    calls: callsOf(said.tool_calls, odd),
    // That it has finished is all that a reason of no sense says.
    ...(finish !== undefined && finish !== null && { finishReason: finishOf(finish) }),
    ...(usage && { usage }),
    odd,
  };
}

function finishOf(reason: unknown): string {
  if (typeof reason !== 'string') return 'stop';
  const lower = reason.toLowerCase();
  return Object.hasOwn(FINISHES, lower) ? String(FINISHES[lower]) : lower.slice(0, 64);
}

function pick(from: Readonly<Record<string, unknown>>, names: readonly string[]): Carried {
  return Object.fromEntries(names.filter((name) => from[name] != null).map((name) => [name, from[name]]));
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
        carried: pick(part, CARRIED_OF_CALL),
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
