import { TurnFailure } from './errors.ts';

/** How long a turn may take: what it runs and what it waits are counted apart. Milliseconds. */
export class TurnClock {
  readonly #waiting: number;
  readonly #onLate: (failure: TurnFailure) => void;
  #left: number;
  #since = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: { running: number; waiting: number }, onLate: (failure: TurnFailure) => void) {
    this.#left = limits.running;
    this.#waiting = limits.waiting;
    this.#onLate = onLate;
    this.run();
  }

  run(): void {
    this.#since = performance.now();
    this.#start(this.#left, new TurnFailure('max_duration', 'the turn took longer than it may'));
  }

  wait(): void {
    this.#left -= performance.now() - this.#since;
    this.#start(this.#waiting, new TurnFailure('user_token_required', 'nobody signed in again within a day'));
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #start(ms: number, late: TurnFailure): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onLate(late), Math.max(0, ms));
  }
}
