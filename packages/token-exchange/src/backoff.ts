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
