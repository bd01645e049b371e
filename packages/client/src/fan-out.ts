/** Hands each value to every listener, and to every loop that was begun before it came. */
export class FanOut<T> {
  readonly #listeners = new Set<(value: T) => void>();
  readonly #loops = new Set<() => void>();
  #ended = false;

  emit(value: T): void {
    for (const listener of [...this.#listeners]) listener(value);
  }

  listen(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends every loop, after what it has not read yet. */
  end(): void {
    this.#ended = true;
    for (const wake of this.#loops) wake();
  }

  iterate(): AsyncIterableIterator<T> {
    const waiting: T[] = [];
    let wake: () => void = () => undefined;
    const awake = () => wake();
    let left = this.#ended;
    const stop = this.listen((value) => {
      waiting.push(value);
      awake();
    });
    this.#loops.add(awake);
    const leave = () => {
      left = true;
      stop();
      this.#loops.delete(awake);
      awake();
    };
    const ended = () => left || this.#ended;
    return {
      async next() {
        while (waiting.length === 0 && !ended())
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        const [value] = waiting.splice(0, 1);
        return value === undefined ? { done: true, value: undefined } : { done: false, value };
      },
      async return() {
        waiting.length = 0;
        leave();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}
