import type { SecretValue } from '@onbehalf/secret-value';
import type { ClientConfig } from './types.ts';

export interface Revocable {
  readonly token: SecretValue;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly client: ClientConfig;
}

export interface RevocationClock {
  readonly now: () => number;
  readonly monotonic: () => number;
  /** Milliseconds that a token waits, and that a request takes, at most. */
  readonly patience: number;
}

/** So many at once, and so many waiting. */
const AT_ONCE = 4;
const WAITING = 1024;

/**
 * Tells the token service in the background which tokens have lost their holder. Each is tried once: what fails, does
 * not fit or waits too long is counted and ends by itself, so that no token stays in memory for a service that is down.
 */
export class Revocations {
  revoked = 0;
  failed = 0;
  readonly #send: (one: Revocable, signal: AbortSignal) => Promise<boolean>;
  readonly #clock: RevocationClock;
  readonly #waiting: { one: Revocable; since: number }[] = [];
  #running = 0;

  /** `send` says whether there was anybody to tell. */
  constructor(send: (one: Revocable, signal: AbortSignal) => Promise<boolean>, clock: RevocationClock) {
    this.#send = send;
    this.#clock = clock;
  }

  add(one: Revocable): void {
    if (one.expiresAt <= this.#clock.now()) return;
    if (this.#waiting.length >= WAITING) {
      this.failed += 1;
      return;
    }
    this.#waiting.push({ one, since: this.#clock.monotonic() });
    if (this.#running < AT_ONCE) this.#run().catch(() => undefined);
  }

  /** Counts what fails, and never rejects. */
  async #run(): Promise<void> {
    this.#running += 1;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (this.#clock.monotonic() - next.since > this.#clock.patience) {
        this.failed += 1;
        continue;
      }
      try {
        if (await this.#send(next.one, AbortSignal.timeout(this.#clock.patience))) this.revoked += 1;
      } catch {
        this.failed += 1;
      }
    }
    this.#running -= 1;
  }
}
