import { setTimeout as delay } from 'node:timers/promises';
import type { Usage } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import { type Egress, EgressError, type TlsSettings } from '../egress/index.ts';
import { CallAssembly } from './call-assembly.ts';
import { type ModelChunk, type ModelClient, ModelError, type ModelMessage, type ModelRequest } from './messages.ts';
import { readAnswerPart } from './provider-answer.ts';
import { sseData } from './server-sent-events.ts';
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
  limits?: { firstByteMs?: number; idleMs?: number };
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const MAX_RETRIES = 2;
const LIMITS = { connectMs: 10_000, firstByteMs: 60_000, idleMs: 60_000, totalMs: 3_600_000, maxBytes: 64 << 20 };

/**
 * A lean client of the Chat Completions API, as LiteLLM, vLLM, Ollama and others serve it. Buffers are scanned as they
 * come; no request is repeated once the first chunk was delivered.
 */
export function createOpenAiClient(options: OpenAiOptions): ModelClient {
  const url = `${options.baseUrl.replace(/\/+$/, '')}/chat/completions`;
  const sleep = options.sleep ?? ((ms, signal) => delay(ms, undefined, { signal }));

  async function open(request: ModelRequest) {
    for (let attempt = 0; ; attempt++) {
      const credential = await options.credential(request);
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
        signal: request.signal,
        tls: await options.tls?.(request),
        limits: { ...LIMITS, ...options.limits },
      });
      if (response.status === 200) return response.body;
      const detail = await readError(response.body);
      const retriable = response.status === 429 || response.status >= 500;
      if (!retriable || attempt >= MAX_RETRIES || overBudget(detail)) throw statusError(response.status, detail);
      await sleep(retryDelay(response.headers['retry-after'], attempt), request.signal);
    }
  }

  async function* stream(request: ModelRequest): AsyncGenerator<ModelChunk> {
    try {
      yield* answer(request);
    } catch (error) {
      throw error instanceof EgressError ? egressFailure(error) : error;
    }
  }

  async function* answer(request: ModelRequest): AsyncGenerator<ModelChunk> {
    const calls = new CallAssembly();
    const odd = new Set<string>();
    let finishReason: string | undefined;
    let usage: Usage | undefined;
    for await (const data of sseData(await open(request))) {
      if (data === '[DONE]') break;
      const part = readAnswerPart(data);
      if (part.reasoning !== '') yield { type: 'reasoning', text: part.reasoning };
      if (part.text !== '') yield { type: 'text', text: part.text };
      for (const call of part.calls) calls.add(call);
      for (const field of part.odd) odd.add(field);
      finishReason = part.finishReason ?? finishReason;
      // Some count anew in every chunk: the last report is the whole.
      usage = part.usage ?? usage;
    }
    if (usage) yield { type: 'usage', usage };
    if (odd.size > 0) yield { type: 'odd', fields: [...odd] };
    // Some providers leave the terminator out; none that has finished leaves out why.
    if (finishReason === undefined)
      throw new ModelError('upstream_truncated', 'the model ended its answer without saying that it has finished');
    for (const call of calls.whole()) yield { type: 'tool-call', call };
    yield { type: 'end', finishReason };
  }

  return { stream };
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
        ...(message.toolCalls.length > 0 && {
          tool_calls: message.toolCalls.map(wireCall),
        }),
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

/** LiteLLM says an exhausted budget with 400, 401, 422 or 429. */
const overBudget = (detail: string) => /budget_exceeded|exceeded.{0,20}budget/i.test(detail);

function statusError(status: number, detail: string): ModelError {
  if (overBudget(detail)) return new ModelError('model_over_budget', 'the budget of this model is used up');
  if (status === 401 || status === 403 || /no_db_connection/.test(detail))
    return new ModelError('model_credential', 'the provider refused the credential: check the ModelConfig');
  if (status === 429) return new ModelError('model_rate_limited', 'the provider limits the rate: try again later');
  if (status >= 500) return new ModelError('model_unavailable', `the provider answered ${status}`);
  return new ModelError('model_rejected', `the provider refused the request with ${status}`);
}

function retryDelay(retryAfter: string | string[] | undefined, attempt: number): number {
  const seconds = Number(Array.isArray(retryAfter) ? retryAfter[0] : retryAfter);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds * 1_000, 30_000) : 250 * 2 ** attempt;
}
