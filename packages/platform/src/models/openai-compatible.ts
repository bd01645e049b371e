import { setTimeout as delay } from 'node:timers/promises';
import type { Usage } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import { type Egress, EgressError, type EgressErrorCode, type TlsSettings } from '../egress/index.ts';
import { CallAssembly } from './call-assembly.ts';
import { CarriedParts } from './carried-parts.ts';
import { type ModelChunk, type ModelClient, ModelError, type ModelMessage, type ModelRequest } from './messages.ts';
import { readAnswerPart } from './provider-answer.ts';
import { overBudget, refusal } from './refusal.ts';
import { answerData } from './server-sent-events.ts';
import { inTurn, wireCall, wireSchema } from './wire-form.ts';

export interface OpenAiOptions {
  egress: Egress;
  baseUrl: string;
  model: string;
  /** Opened for one call; nothing keeps it. */
  credential: (request: ModelRequest) => Promise<SecretValue | undefined>;
  tls?: (request: ModelRequest) => Promise<TlsSettings | undefined>;
  headers?: Record<string, string>;
  parameters?: Record<string, unknown>;
  /** LiteLLM's attribution headers; other providers would not know them. */
  attribution?: boolean;
  /** What the ModelConfig says about time, in milliseconds. */
  limits?: { firstTokenMs?: number; idleMs?: number };
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const MAX_RETRIES = 2;
const SILENCE_MS = 60_000;
const LIMITS = { connectMs: 10_000, totalMs: 3_600_000, maxBytes: 64 << 20 };

/** Nothing of an answer was there: as little as with a 503. */
const LOST: ReadonlySet<EgressErrorCode> = new Set(['connect_failed', 'upstream_failed']);

/**
 * A lean client of the Chat Completions API, as LiteLLM, vLLM, Ollama and others serve it. Buffers are scanned as they
 * come; no request is repeated once the first byte of an answer was there.
 */
export function createOpenAiClient(options: OpenAiOptions): ModelClient {
  const url = `${options.baseUrl.replace(/\/+$/, '')}/chat/completions`;
  const sleep = options.sleep ?? ((ms, signal) => delay(ms, undefined, { signal }));
  const { firstTokenMs = SILENCE_MS, idleMs = SILENCE_MS } = options.limits ?? {};

  async function open(request: ModelRequest, silence: Silence) {
    for (let attempt = 0; ; attempt++) {
      const last = attempt >= MAX_RETRIES;
      let after: string | string[] | undefined;
      silence.allow(firstTokenMs, 'firstToken');
      const credential = await options.credential(request);
      try {
        const response = await options.egress.request(url, {
          method: 'POST',
          headers: {
            ...options.headers,
            'content-type': 'application/json',
            accept: 'text/event-stream',
            ...(options.attribution && attributionHeaders(request)),
            ...(credential && { authorization: `Bearer ${credential.reveal()}` }),
          },
          body: JSON.stringify(requestBody(options, request)),
          signal: silence.signal,
          tls: await options.tls?.(request),
          // The silence is watched here: headers may come long before the first word.
          limits: { ...LIMITS, firstByteMs: firstTokenMs, idleMs: Math.max(firstTokenMs, idleMs) },
        });
        if (response.status === 200) return { body: await begun(response.body), credential };
        const said = await readError(response.body);
        const retriable = response.status === 429 || response.status >= 500;
        if (!retriable || last || overBudget(said)) throw refusal(response.status, said, credential);
        after = response.headers['retry-after'];
      } catch (error) {
        if (last || !(error instanceof EgressError && LOST.has(error.code))) throw error;
      }
      await sleep(retryDelay(after, attempt), request.signal);
    }
  }

  async function* stream(request: ModelRequest): AsyncGenerator<ModelChunk> {
    const silence = new Silence(request.signal);
    try {
      yield* answer(request, silence);
    } catch (error) {
      throw error instanceof EgressError ? egressFailure(error) : error;
    } finally {
      silence.end();
    }
  }

  async function* answer(request: ModelRequest, silence: Silence): AsyncGenerator<ModelChunk> {
    const calls = new CallAssembly();
    const carried = new CarriedParts();
    const odd = new Set<string>();
    let finishReason: string | undefined;
    let refused = false;
    let usage: Usage | undefined;
    const { body, credential } = await open(request, silence);
    for await (const data of answerData(body)) {
      if (data === '[DONE]') break;
      silence.allow(idleMs, 'idle');
      const part = readAnswerPart(data, credential);
      if (part.reasoning !== '') yield { type: 'reasoning', text: part.reasoning };
      if (part.text !== '') yield { type: 'text', text: part.text };
      for (const call of part.calls) calls.add(call);
      for (const field of part.odd) odd.add(field);
      carried.add(part.carried);
      refused ||= part.refused;
      finishReason = part.finishReason ?? finishReason;
      // Some count anew in every chunk: the last report is the whole.
      usage = part.usage ?? usage;
    }
    if (usage) yield { type: 'usage', usage };
    if (odd.size > 0) yield { type: 'odd', fields: [...odd] };
    // Some providers leave the terminator out; none that has finished leaves out why.
    if (finishReason === undefined)
      throw new ModelError('upstream_truncated', 'the model ended its answer without saying that it has finished');
    if (finishReason === 'error') throw new ModelError('model_unavailable', 'the model ended its answer with an error');
    for (const call of calls.whole()) yield { type: 'tool-call', call };
    const kept = carried.whole();
    yield {
      type: 'end',
      finishReason: refused && finishReason === 'stop' ? 'refusal' : finishReason,
      ...(kept && { carried: kept }),
    };
  }

  return { stream };
}

/** Ends a request over which nothing is said for longer than it may be. */
class Silence {
  readonly #over = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #setting = '';
  readonly signal: AbortSignal;

  constructor(caller: AbortSignal) {
    this.signal = AbortSignal.any([caller, this.#over.signal]);
  }

  /** From now on, until it is called again: at every event, so that a timer is only started anew. */
  allow(ms: number, setting: 'firstToken' | 'idle'): void {
    if (this.#setting === setting) {
      this.#timer?.refresh();
      return;
    }
    this.end();
    this.#setting = setting;
    const told = `the model said nothing for ${ms / 1_000} s (spec.timeouts.${setting} of the ModelConfig)`;
    this.#timer = setTimeout(() => this.#over.abort(new ModelError('model_timeout', told)), ms).unref();
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

/** An answer of which the first byte is there. */
async function begun(body: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const chunks = body[Symbol.asyncIterator]();
  let next = await chunks.next();
  return (async function* () {
    try {
      for (; !next.done; next = await chunks.next()) yield next.value;
    } finally {
      await chunks.return?.();
    }
  })();
}

function requestBody(options: OpenAiOptions, request: ModelRequest) {
  return {
    ...options.parameters,
    model: options.model,
    messages: inTurn(request.messages).map(wireMessage),
    ...(request.tools.length > 0 && {
      tools: request.tools.map((tool) => ({
        type: 'function',
        function: { name: tool.name, description: tool.description, parameters: wireSchema(tool.inputSchema) },
      })),
    }),
    stream: true,
    stream_options: { include_usage: true },
  };
}

function wireMessage(message: ModelMessage) {
  switch (message.role) {
    case 'assistant':
      return {
        role: 'assistant',
        content: message.text === '' ? null : message.text,
        // Reasoning belongs to the calls that came of it; without them some providers refuse it.
        ...(message.toolCalls.length > 0 && { ...message.carried, tool_calls: message.toolCalls.map(wireCall) }),
      };
    case 'tool':
      return { role: 'tool', tool_call_id: message.callId, content: message.output };
    default:
      return { role: message.role, content: message.text };
  }
}

function attributionHeaders({ context }: ModelRequest) {
  return {
    'x-litellm-end-user-id': context.endUser,
    'x-litellm-trace-id': context.session,
    'x-litellm-tags': `agent:${context.agent}`,
  };
}

function egressFailure(error: EgressError): ModelError {
  if (error.code === 'deadline')
    return new ModelError('model_timeout', 'the model did not answer in time', { cause: error });
  return new ModelError('model_unavailable', `the provider cannot be reached (${error.code})`, { cause: error });
}

async function readError(body: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  for await (const chunk of body) {
    text += Buffer.from(chunk).toString('utf8');
    if (text.length > 16_384) break;
  }
  return text;
}

function retryDelay(retryAfter: string | string[] | undefined, attempt: number): number {
  const seconds = Number(Array.isArray(retryAfter) ? retryAfter[0] : retryAfter);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds * 1_000, 30_000) : 250 * 2 ** attempt;
}
