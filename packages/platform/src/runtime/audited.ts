import { createHash } from 'node:crypto';
import { SecretValue } from '@onbehalf/secret-value';
import type { Audit } from '../audit/index.ts';
import type { Stored } from '../store/index.ts';
import type { TurnInput } from './ports.ts';

/** Which prompt and which model a turn ran with, as the audit says it beside the agent's generation. */
export interface AgentHashes {
  /** Keyed, for a prompt may come from a Secret. */
  promptHash?: string;
  /** SHA-256, base64url, over uid, generation and spec of the ModelConfig. */
  modelHash?: string;
}

export function hashesOf(audit: Audit, systemMessage: string, model: Stored<'ModelConfig'> | undefined): AgentHashes {
  return {
    ...(systemMessage !== '' && { promptHash: audit.tokenHash(SecretValue.of(systemMessage)) }),
    ...(model && { modelHash: modelHash(model) }),
  };
}

const modelHash = ({ metadata, spec }: Stored<'ModelConfig'>): string =>
  createHash('sha256')
    .update(JSON.stringify([metadata.uid, metadata.generation, spec]))
    .digest('base64url');

/** Joins the lines of a turn with the request that began it, and with both sides' traces. */
export const requestOf = ({ requestId, traceId }: Pick<TurnInput, 'requestId' | 'traceId'>) => ({
  ...(requestId !== undefined && { requestId }),
  ...(traceId !== undefined && { traceId }),
});
