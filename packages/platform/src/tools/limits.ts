import { milliseconds } from '@onbehalf/resources';
import type { Limits } from '../egress/index.ts';
import type { McpServer } from './ports.ts';

const TOTAL_MS = 60_000;
const CONNECT_MS = 10_000;

export type CallLimits = Pick<Limits, 'connectMs' | 'firstByteMs' | 'idleMs' | 'totalMs'>;

/**
 * The bounds of one call, in milliseconds: of the tool where its binding names one (`toolMs`), else of the server. What
 * is answered bit by bit, or after a long silence, has the whole time unless `firstByte` says otherwise.
 */
export function callLimits({ timeouts = {} }: McpServer['spec'], toolMs?: number): CallLimits {
  const of = (duration: string | undefined) => (duration === undefined ? undefined : milliseconds(duration));
  const totalMs = toolMs ?? of(timeouts.total) ?? TOTAL_MS;
  return {
    connectMs: of(timeouts.connect) ?? CONNECT_MS,
    firstByteMs: of(timeouts.firstByte) ?? totalMs,
    idleMs: totalMs,
    totalMs,
  };
}
