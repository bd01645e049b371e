import type { Audit } from '../audit/index.ts';
import { addressKey, Tally } from '../limits/index.ts';

const WINDOW_MS = 60_000;
/** Counting lines of one window; the rest share one. */
const COUNTING_LINES = 100;

export interface CountedRefusals {
  /** One more from there that is beyond its budget, and has no line of its own. */
  count(address: string): void;
  /** Writes what was counted in windows that have ended; with `everything`, all of it. */
  flush(everything?: boolean): Promise<void>;
  close(): Promise<void>;
}

/** Refusals beyond a budget, which fill no disk: one line for each address and minute says how many there were. */
export function countedRefusals(o: {
  audit: Pick<Audit, 'append'>;
  now: () => number;
  onError: (error: unknown) => void;
}): CountedRefusals {
  const tally = new Tally({ perKey: 0, windowMs: WINDOW_MS, now: o.now });

  async function flush(everything = false): Promise<void> {
    const counted = tally.take(everything).sort((a, b) => b.count - a.count);
    const lines = counted.slice(0, COUNTING_LINES).map((one) => [one]);
    const rest = counted.slice(COUNTING_LINES);
    for (const group of rest.length > 0 ? [...lines, rest] : lines) {
      const omitted = group.reduce((sum, { count }) => sum + count, 0);
      const address = group.length === 1 ? group[0]?.key : undefined;
      await o.audit.append({
        type: 'refusal',
        phase: 'single',
        outcome: 'counted',
        reason: `${omitted} more refusals of the issuer were not written one by one`,
        ...(address !== undefined && { address }),
        data: { omitted, since: new Date(Math.min(...group.map(({ since }) => since))).toISOString() },
      });
    }
  }

  const timer = setInterval(() => flush().catch(o.onError), WINDOW_MS).unref();
  return {
    count(address) {
      tally.admit(addressKey(address));
    },
    flush,
    async close() {
      clearInterval(timer);
      await flush(true).catch(o.onError);
    },
  };
}
