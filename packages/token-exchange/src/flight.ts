import type { Tags } from './cache.ts';

interface Flight<T> {
  readonly promise: Promise<T>;
  readonly forgotten: AbortController;
  readonly cut: AbortController;
  readonly tags: Tags;
}

export interface FlightSignals {
  /** Nobody gets the result any more. What is on its way may still arrive, so that it can be revoked. */
  readonly forgotten: AbortSignal;
  /** Nobody wants to know what arrives either. */
  readonly cut: AbortSignal;
}

/**
 * One request per key, however many ask. A waiter that gives up leaves the others alone, even when it was the first:
 * the request belongs to nobody.
 */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();

  has(key: string): boolean {
    return this.#flights.has(key);
  }

  join(key: string, signal: AbortSignal | undefined): Promise<T> | undefined {
    const flight = this.#flights.get(key);
    return flight && waitFor(flight.promise, signal);
  }

  start(
    key: string,
    tags: Tags,
    signal: AbortSignal | undefined,
    run: (signals: FlightSignals) => Promise<T>,
  ): Promise<T> {
    const forgotten = new AbortController();
    const cut = new AbortController();
    // It is on the list before it runs, so that nothing it does at once can escape `abortWhere`.
    const work = Promise.resolve({ forgotten: forgotten.signal, cut: cut.signal }).then(run);
    const promise = waitFor(work, forgotten.signal);
    const flight: Flight<T> = { promise, forgotten, cut, tags };
    this.#flights.set(key, flight);
    const land = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    promise.then(land, land);
    return waitFor(promise, signal);
  }

  /** Ends the matching flights at once: nobody who waits for one gets its result. `cut` ends their requests too. */
  abortWhere(matches: (tags: Tags) => boolean, cut: boolean, reason: () => Error): void {
    for (const [key, flight] of this.#flights) {
      if (!matches(flight.tags)) continue;
      this.#flights.delete(key);
      const why = reason();
      flight.forgotten.abort(why);
      if (cut) flight.cut.abort(why);
    }
  }
}

export function waitFor<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise<T>((resolve, reject) => {
    const giveUp = () => reject(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}
