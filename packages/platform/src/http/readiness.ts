import type { Store } from '../store/index.ts';

/** One write answers everybody who asks in this time. */
const PROBE_MS = 1_000;

export interface Readiness {
  /** Why requests should go elsewhere at the moment, or nothing. */
  problem(): Promise<'shutting down' | 'the store cannot be written' | undefined>;
  drain(): void;
}

/** Ready means that a request that changes something would work now: the store is written to find out. */
export function createReadiness({
  store,
  now,
  elapsed = () => performance.now(),
}: {
  store: Store;
  now: () => number;
  /** Milliseconds, of a clock that does not jump. */
  elapsed?: () => number;
}): Readiness {
  let draining = false;
  let probe: { at: number; works: Promise<boolean> } | undefined;

  async function write(): Promise<boolean> {
    const row = { key: 'readiness', value: String(now()) };
    const insert = store.builder.insertInto('meta').values(row);
    const query = insert.onConflict((conflict) => conflict.column('key').doUpdateSet({ value: row.value }));
    try {
      await store.commit({ statements: [{ query: query.compile() }] });
      return true;
    } catch {
      return false;
    }
  }

  return {
    async problem() {
      if (draining) return 'shutting down';
      const at = elapsed();
      if (probe === undefined || at - probe.at > PROBE_MS) probe = { at, works: write() };
      return (await probe.works) ? undefined : 'the store cannot be written';
    },
    drain() {
      draining = true;
    },
  };
}
