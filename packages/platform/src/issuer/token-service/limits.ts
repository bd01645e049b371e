/** Requests per minute of one client for one subject. */
const PER_MINUTE = 6_000;
const MOST = 50_000;

/** Token buckets in memory: what is beyond one minute's worth waits. */
export function createLimits(now: () => number, perMinute = PER_MINUTE): { admits(key: string): boolean } {
  const buckets = new Map<string, { left: number; at: number }>();
  return {
    admits(key) {
      const at = now();
      const known = buckets.get(key) ?? { left: perMinute, at };
      const left = Math.min(perMinute, known.left + ((at - known.at) * perMinute) / 60_000);
      buckets.delete(key);
      buckets.set(key, { left: Math.max(0, left - 1), at });
      if (buckets.size > MOST) buckets.delete(buckets.keys().next().value ?? key);
      return left >= 1;
    },
  };
}
