/** Allows each key once in a while. Bounded: the keys that were used longest ago are dropped first. */
export class RecentTimes {
  static readonly #max = 8192;
  readonly #pause: number;
  readonly #monotonic: () => number;
  readonly #times = new Map<string, number>();

  constructor(pause: number, monotonic: () => number) {
    this.#pause = pause;
    this.#monotonic = monotonic;
  }

  take(key: string): boolean {
    const now = this.#monotonic();
    const last = this.#times.get(key);
    if (last !== undefined && now - last < this.#pause) return false;
    this.#times.delete(key);
    this.#times.set(key, now);
    if (this.#times.size > RecentTimes.#max) {
      const [oldest] = this.#times.keys();
      if (oldest !== undefined) this.#times.delete(oldest);
    }
    return true;
  }
}
