const IN_A_ROW = 5;
const WINDOW = 20;
const WINDOW_MS = 10_000;
const PROBE_MS = 5_000;

/**
 * Opens at 5 failures in a row, or when half of the last 20 calls within 10 s failed. While it is open one call in 5 s
 * goes through as a probe; its success closes it.
 */
export class Breaker {
  readonly #now: () => number;
  #recent: { at: number; failed: boolean }[] = [];
  #openSince: number | undefined;
  #lastProbe = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether a call may go out now. */
  admits(): boolean {
    if (this.#openSince === undefined) return true;
    const now = this.#now();
    if (now - Math.max(this.#openSince, this.#lastProbe) < PROBE_MS) return false;
    this.#lastProbe = now;
    return true;
  }

  record(failed: boolean): void {
    const now = this.#now();
    this.#recent = [...this.#recent.filter((entry) => now - entry.at < WINDOW_MS), { at: now, failed }].slice(-WINDOW);
    if (!failed) {
      if (this.#openSince !== undefined) this.#recent = [];
      this.#openSince = undefined;
      return;
    }
    const lastOnes = this.#recent.slice(-IN_A_ROW);
    const inARow = lastOnes.length === IN_A_ROW && lastOnes.every((entry) => entry.failed);
    const half = this.#recent.length === WINDOW && this.#recent.filter((entry) => entry.failed).length * 2 >= WINDOW;
    if (inARow || half) this.#openSince ??= now;
  }
}
