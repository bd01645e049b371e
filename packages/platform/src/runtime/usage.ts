import type { Usage } from '@onbehalf/resources';

export const CHARACTERS_PER_TOKEN = 4;

export const NO_USAGE: Readonly<Usage> = { inputTokens: 0, outputTokens: 0, totalTokens: 0, cachedInputTokens: 0 };

/** Adds in place. */
export function addUsage(total: Usage, more: Usage): void {
  for (const key of ['inputTokens', 'outputTokens', 'totalTokens', 'cachedInputTokens'] as const)
    total[key] += more[key];
}

/** Tokens of so many characters, where nobody counted them: the usual rule of thumb. */
export function estimateUsage(read: number, written: number): Usage {
  const inputTokens = Math.ceil(read / CHARACTERS_PER_TOKEN);
  const outputTokens = Math.ceil(written / CHARACTERS_PER_TOKEN);
  return { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, cachedInputTokens: 0 };
}
