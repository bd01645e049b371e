import { createDemoClient, type ModelChunk, type ModelClient, type ModelRequest } from '../../src/models/index.ts';

export type Script = (request: ModelRequest) => AsyncIterable<ModelChunk>;

/** The demo's planner, until a test says what the model does. */
export function scriptedModel() {
  const demo = createDemoClient({ paceMs: 0 });
  const state: { client: ModelClient; script: Script | undefined } = {
    client: { stream: (request) => (state.script ? state.script(request) : demo.stream(request)) },
    script: undefined,
  };
  return state;
}

/** Resolves when it is opened. */
export function gate() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}

/** Rejects as a model client does when the turn is aborted. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

export const USAGE = { inputTokens: 7, outputTokens: 5, totalTokens: 12, cachedInputTokens: 0 };
export const END: ModelChunk = { type: 'end', finishReason: 'stop' };
