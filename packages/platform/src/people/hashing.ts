/** Password hashes that are computed at once: two threads of four, and 64 MiB. */
const AT_ONCE = 2;
/** Hashes that wait. Those of one key are one behind the other, so these are of so many keys. */
const MOST_WAITING = 200;

/** More is asked for than is ever waited for. */
export class HashingBusy extends Error {}

/**
 * Takes turns: one at a time for each key (an address), and so many at once of all. Whoever tries many passwords waits
 * for itself, and somebody else for one hash or two.
 */
export function createTurns(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const lanes = new Map<string, Promise<unknown>>();
  const queue: (() => void)[] = [];
  let running = 0;
  let waiting = 0;

  async function slot<T>(work: () => Promise<T>): Promise<T> {
    if (running >= AT_ONCE) await new Promise<void>((resolve) => queue.push(resolve));
    else running += 1;
    try {
      return await work();
    } finally {
      const next = queue.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  }

  return async (key, work) => {
    if (waiting >= MOST_WAITING) throw new HashingBusy('too many passwords are being looked at');
    waiting += 1;
    const before = lanes.get(key) ?? Promise.resolve();
    const turn = before.then(
      () => slot(work),
      () => slot(work),
    );
    lanes.set(key, turn);
    try {
      return await turn;
    } finally {
      waiting -= 1;
      if (lanes.get(key) === turn) lanes.delete(key);
    }
  };
}
