import type { Usage } from '@onbehalf/resources';

/** A tool call that a model asked for. `arguments` is the JSON text as the model wrote it, checked later. */
export interface ModelToolCall {
  callId: string;
  name: string;
  arguments: string;
}

/** The loop's own message format. Text of tools is data: it never becomes a `system` message. */
export type ModelMessage =
  | { role: 'system'; text: string }
  | { role: 'user'; text: string }
  | { role: 'assistant'; text: string; toolCalls: readonly ModelToolCall[] }
  | { role: 'tool'; callId: string; name: string; output: string; isError: boolean };

export interface ModelTool {
  name: string;
  description: string;
  inputSchema: Record<string, unknown>;
}

export interface ModelRequest {
  messages: readonly ModelMessage[];
  tools: readonly ModelTool[];
  signal: AbortSignal;
  /** Who and where, for audit and attribution. Never a name or an e-mail address. */
  context: { session: string; turn: string; step: number; endUser: string; agent: string };
}

export type ModelChunk =
  | { type: 'text'; text: string }
  | { type: 'reasoning'; text: string }
  | { type: 'tool-call'; call: ModelToolCall }
  | { type: 'usage'; usage: Usage; estimated?: boolean }
  | { type: 'end'; finishReason: string };

export type ModelErrorCode =
  | 'model_not_found'
  | 'model_disabled'
  | 'model_unsupported'
  | 'model_credential'
  | 'model_unavailable'
  | 'model_rejected'
  | 'model_over_budget'
  | 'model_rate_limited'
  | 'model_timeout'
  | 'upstream_truncated';

/** A model call that did not work out. The message is for people and never repeats what the provider answered. */
export class ModelError extends Error {
  override readonly name = 'ModelError';
  readonly code: ModelErrorCode;

  constructor(code: ModelErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** One provider's way to stream an answer. `retriable` failures happen before the first chunk only. */
export interface ModelClient {
  stream(request: ModelRequest): AsyncIterable<ModelChunk>;
}
