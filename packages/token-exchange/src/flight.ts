import type { Tags } from './cache.ts';

interface Flight<T> {
  readonly promise: Promise<T>;
  readonly controller: AbortController;
  readonly tags: Tags;
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
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const controller = new AbortController();
    const work = run(controller.signal);
    const promise = waitFor(work, controller.signal);
    const flight: Flight<T> = { promise, controller, tags };
    this.#flights.set(key, flight);
    const land = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    promise.then(land, land);
    return waitFor(promise, signal);
  }

  /** Ends the matching flights at once; nobody who waits for one gets its result. */
  abortWhere(matches: (tags: Tags) => boolean, reason: () => Error): void {
    for (const [key, flight] of this.#flights) {
      if (!matches(flight.tags)) continue;
      this.#flights.delete(key);
      flight.controller.abort(reason());
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
