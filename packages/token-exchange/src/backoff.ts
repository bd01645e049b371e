import { TokenExchangeError } from './errors.ts';

/** Opens at 5 failures in a row or at half of 20 within 10 s; while open, one probe in 5 s. */
export class Breaker {
  readonly #monotonic: () => number;
  #inRow = 0;
  #recent: { at: number; failed: boolean }[] = [];
  #openUntil: number | undefined;
  #pausedUntil = 0;
  #probing = false;

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  get open(): boolean {
    return this.#openUntil !== undefined;
  }

  /** Throws `sts_unavailable` where nothing may be sent now. */
  admit(): void {
    const now = this.#monotonic();
    if (now < this.#pausedUntil) throw resting(this.#pausedUntil - now);
    if (this.#openUntil === undefined) return;
    if (this.#probing || now < this.#openUntil) throw resting(Math.max(0, this.#openUntil - now));
    this.#probing = true;
  }

  success(): void {
    this.#probing = false;
    this.#inRow = 0;
    if (this.#openUntil !== undefined) {
      this.#openUntil = undefined;
      this.#recent = [];
    }
    this.#note(false);
  }

  failure(): void {
    const now = this.#note(true);
    this.#inRow += 1;
    const failed = this.#recent.filter((one) => one.failed).length;
    const half = this.#recent.length >= 20 && failed * 2 >= this.#recent.length;
    if (this.#probing || this.#inRow >= 5 || half) this.#openUntil = now + 5000;
    this.#probing = false;
  }

  /** A try that ended without saying anything about the service, such as an aborted one. */
  release(): void {
    this.#probing = false;
  }

  /** The service asked for a pause (429, 503 with Retry-After). */
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

function resting(retryAfter: number): TokenExchangeError {
  return new TokenExchangeError('sts_unavailable', 'the token service is failing and is left alone for a moment', {
    retryAfter,
  });
}

/** Retries are at most a fifth of the requests, beyond a few that a quiet client may always make. */
export class RetryBudget {
  #tokens = 4;

  earn(): void {
    this.#tokens = Math.min(10, this.#tokens + 0.2);
  }

  spend(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/** Full jitter under a bound that doubles from 100 ms to 5 s. */
export function retryDelay(attempt: number, random: () => number): number {
  return random() * Math.min(5000, 100 * 2 ** attempt);
}

export function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    signal.addEventListener('abort', stop, { once: true });
  });
}
