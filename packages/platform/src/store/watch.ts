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
