/**
 * Leaves a server that keeps failing alone for a moment. Opens at 5 failures in a row, or when half of the last 20 tries
 * within 10 s failed; while it is open, one try in 5 s goes through as a probe, whose success closes it. What goes on
 * after {@link Breaker.admit} must be told to it: `success`, `failure` or `release`.
 */
export class Breaker {
  readonly #monotonic: () => number;
  #inRow = 0;
  #recent: { at: number; failed: boolean }[] = [];
  #openUntil: number | undefined;
  #pausedUntil = 0;
  #probing = false;

  /**
   * Closed at first.
   *
   * @param monotonic Milliseconds that only go up.
   */
  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic;
  }

  /** Whether only probes go through at present. */
  get open(): boolean {
    return this.#openUntil !== undefined;
  }

  /**
   * Asks whether something may be sent now.
   *
   * @returns 0 where it may; otherwise the milliseconds after which to ask again.
   */
  admit(): number {
    const now = this.#monotonic();
    if (now < this.#pausedUntil) return this.#pausedUntil - now;
    if (this.#openUntil === undefined) return 0;
    if (this.#probing || now < this.#openUntil) return Math.max(1, this.#openUntil - now);
    this.#probing = true;
    return 0;
  }

  /** The server answered. */
  success(): void {
    this.#probing = false;
    this.#inRow = 0;
    if (this.#openUntil !== undefined) {
      this.#openUntil = undefined;
      this.#recent = [];
    }
    this.#note(false);
  }

  /** The server did not answer, or not as it should. */
  failure(): void {
    const now = this.#note(true);
    this.#inRow += 1;
    const failed = this.#recent.filter((one) => one.failed).length;
    const half = this.#recent.length >= 20 && failed * 2 >= this.#recent.length;
    if (this.#probing || this.#inRow >= 5 || half) this.#openUntil = now + 5000;
    this.#probing = false;
  }

  /** A try that ended without saying anything about the server, such as an aborted one. */
  release(): void {
    this.#probing = false;
  }

  /**
   * The server asked for a pause (429, 503 with Retry-After); a minute at most counts.
   *
   * @param milliseconds For how long.
   */
  pause(milliseconds: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#monotonic() + Math.min(milliseconds, 60_000));
  }

  #note(failed: boolean): number {
    const now = this.#monotonic();
    this.#recent.push({ at: now, failed });
    this.#recent = this.#recent.slice(-20).filter((one) => one.at > now - 10_000);
    return now;
  }
}
