import { StoreError } from './error.ts';
import type { Change } from './unit.ts';

interface Watcher {
  position: number;
  deliver: (changes: readonly Change[]) => void;
}

/** Hands the change log to its readers: what was just committed from memory, what they missed from the table. */
export class ChangeFeed {
  readonly #watchers = new Set<Watcher>();
  readonly #readAfter: (revision: number) => readonly Change[];

  /** `readAfter` returns a bounded batch in order, and an empty one at the end. */
  constructor(readAfter: (revision: number) => readonly Change[]) {
    this.#readAfter = readAfter;
  }

  watch(from: number, onChanges: (changes: readonly Change[]) => void): { close(): void } {
    const watcher: Watcher = { position: from, deliver: onChanges };
    this.#watchers.add(watcher);
    queueMicrotask(() => this.#catchUp(watcher));
    return { close: () => this.#watchers.delete(watcher) };
  }

  /** `before`: the newest revision ahead of this group. */
  publish(before: number, changes: readonly Change[]): void {
    if (changes.length === 0) return;
    for (const watcher of [...this.#watchers]) {
      if (watcher.position === before) this.#hand(watcher, changes);
      else this.#catchUp(watcher);
    }
  }

  close(): void {
    this.#watchers.clear();
  }

  #catchUp(watcher: Watcher): void {
    while (this.#watchers.has(watcher)) {
      const batch = this.#readAfter(watcher.position);
      if (batch.length === 0) return;
      this.#hand(watcher, batch);
    }
  }

  #hand(watcher: Watcher, changes: readonly Change[]): void {
    const last = changes.at(-1);
    if (last === undefined || !this.#watchers.has(watcher)) return;
    watcher.position = last.revision;
    try {
      watcher.deliver(changes);
    } catch (error) {
      // A cache that no longer follows would go on to allow what was revoked: the process must not survive it.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

const READ_AGAIN_MS = 200;

/**
 * Does what a cache does to follow a change, again and again until it could be read: a cache that gave up would go on
 * to allow what was revoked. After the store is closed nothing is followed any more.
 */
export async function untilRead(work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.code === 'closed') return;
      await new Promise((resolve) => setTimeout(resolve, READ_AGAIN_MS).unref());
    }
  }
}
