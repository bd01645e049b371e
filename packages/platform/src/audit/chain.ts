import { hash } from 'node:crypto';

/**
 * SHA-256, base64url, over a line and its place. Writer and previous hash hold no line feed, so the fields cannot run
 * into one another. `prev` is `''` for a writer's first line.
 */
export const chainHash = (writer: string, seq: number, prev: string, body: string): string =>
  hash('sha256', `onbehalf-audit-1\n${writer}\n${seq}\n${prev}\n${body}`, 'base64url');

/** What names a checkpoint in the next one and in a writer's first line. */
export const checkpointHash = (body: string, signature: string): string =>
  hash('sha256', `onbehalf-checkpoint-1\n${signature}\n${body}`, 'base64url');
