export interface TallyOptions {
  /** How many of one key are let through in a window, and of all keys together. */
  perKey: number;
  total?: number;
  windowMs: number;
  /** Keys that are told apart at once; those beyond share one. */
  maxKeys?: number;
  now: () => number;
}

/** What was counted and not let through. `key` is undefined for keys that were not told apart. */
export interface Counted {
  key: string | undefined;
  count: number;
  /** ms since 1970 */
  since: number;
}

interface Window {
  start: number;
  let: number;
  counted: number;
}

/**
 * Lets so many of each key through in a window and counts the rest, so that one key's flood hides nothing of another's.
 * Its memory is bounded by `maxKeys`, whoever makes keys up.
 */
export class Tally {
  readonly #o: Required<TallyOptions>;
  readonly #windows = new Map<string, Window>();
  readonly #ended: Counted[] = [];
  readonly #beyond: Window = { start: 0, let: 0, counted: 0 };
  readonly #all: Window = { start: 0, let: 0, counted: 0 };

  constructor(options: TallyOptions) {
    this.#o = { total: Number.POSITIVE_INFINITY, maxKeys: 10_000, ...options };
  }

  /** Whether this one is let through; if not, it has been counted. */
  admit(key: string): boolean {
    const { now, windowMs, perKey, total } = this.#o;
    const at = now();
    const window = this.#windowOf(key, at);
    if (at - window.start >= windowMs) this.#end(window === this.#beyond ? undefined : key, window, at);
    if (at - this.#all.start >= windowMs) Object.assign(this.#all, { start: at, let: 0 });
    if (window.let < perKey && this.#all.let < total) {
      window.let++;
      this.#all.let++;
      return true;
    }
    window.counted++;
    return false;
  }

  /** What was counted in windows that have ended, each once; with `everything`, in those under way too. */
  take(everything = false): Counted[] {
    const at = this.#o.now();
    const over = (window: Window) => everything || at - window.start >= this.#o.windowMs;
    for (const [key, window] of this.#windows)
      if (over(window)) {
        this.#end(key, window, at);
        this.#windows.delete(key);
      }
    if (over(this.#beyond)) this.#end(undefined, this.#beyond, at);
    return this.#ended.splice(0);
  }

  #windowOf(key: string, at: number): Window {
    const known = this.#windows.get(key);
    if (known !== undefined) return known;
    if (this.#windows.size >= this.#o.maxKeys) return this.#beyond;
    const fresh = { start: at, let: 0, counted: 0 };
    this.#windows.set(key, fresh);
    return fresh;
  }

  #end(key: string | undefined, window: Window, at: number): void {
    if (window.counted > 0) this.#ended.push({ key, count: window.counted, since: window.start });
    Object.assign(window, { start: at, let: 0, counted: 0 });
  }
}
