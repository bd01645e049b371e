import { CodedError, type Usage } from '@onbehalf/resources';

/** A tool call that a model asked for. `arguments` is the JSON text as the model wrote it, checked later. */
export interface ModelToolCall {
  callId: string;
  name: string;
  arguments: string;
  /** What the provider that asked for it wants back beside it, within the turn. */
  carried?: Readonly<Record<string, unknown>>;
}

/** The loop's own message format. Text of tools is data: it never becomes a `system` message. */
export type ModelMessage =
  | { role: 'system'; text: string }
  | { role: 'user'; text: string }
  | {
      role: 'assistant';
      text: string;
      toolCalls: readonly ModelToolCall[];
      /** What the provider that said it wants back beside it, within the turn: reasoning, and its signatures. */
      carried?: Readonly<Record<string, unknown>>;
    }
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
  /** Fields of the provider's answer that made no sense and were left out. */
  | { type: 'odd'; fields: readonly string[] }
  /** `carried`: goes back to this provider with the message, as it is. */
  | { type: 'end'; finishReason: string; carried?: Readonly<Record<string, unknown>> };

/** Why a model call did not work out; also how a turn ends over it. */
export const MODEL_ERRORS = {
  model_not_found: 'the agent refers to no ModelConfig, or to one that does not exist',
  model_disabled: 'models, or this one, are switched off',
  model_unsupported: 'this version has no client for the provider',
  model_credential: 'the credential cannot be used, or the provider refused it',
  model_unavailable: 'the provider cannot be reached or failed',
  model_rejected: 'the provider refused the request',
  model_over_budget: 'the budget at the provider is used up',
  model_rate_limited: 'the provider limits the rate',
  model_timeout: 'the model did not answer in time',
  upstream_truncated: 'the answer ended without its terminator; what was said is kept and marked',
} as const;
export type ModelErrorCode = keyof typeof MODEL_ERRORS;

/** A model call that did not work out. The message is for people; a provider's own words in it are bounded and scrubbed. */
export class ModelError extends CodedError<ModelErrorCode> {}

/** One provider's way to stream an answer. `retriable` failures happen before the first chunk only. */
export interface ModelClient {
  stream(request: ModelRequest): AsyncIterable<ModelChunk>;
}
