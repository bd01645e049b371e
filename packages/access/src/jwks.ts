import { isObject, parseStrictObject } from './json.ts';
import { type KeySet, loadKeys } from './keys.ts';

/** Times in milliseconds. */
const REFRESH = 5 * 60_000;
const MAX_AGE = 10 * 60_000;
const LAST_GOOD = 60 * 60_000;
const RETRY = 30_000;
const RETRY_EMPTY = 5_000;
const FETCH_DEADLINE = 5_000;
const MAX_BYTES = 262_144;

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/**
 * The keys behind one `jwks_uri`, kept warm in the background. At most one fetch is under way, and tokens can cause at
 * most one in 30 seconds whatever key ids they name.
 */
export class RemoteKeys {
  readonly #uri: string;
  readonly #fetch: Fetch;
  readonly #now: () => number;
  #set: KeySet | undefined;
  #goodAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #failed = false;
  #underWay: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(uri: string, fetch: Fetch, now: () => number) {
    this.#uri = uri;
    this.#fetch = fetch;
    this.#now = now;
    this.#inBackground();
  }

  /** The last good keys, for up to an hour. */
  get current(): KeySet | undefined {
    return this.#now() - this.#goodAt < LAST_GOOD ? this.#set : undefined;
  }

  /** Whether the background has not kept up, as after a suspended machine. An unreachable service does not count. */
  get overdue(): boolean {
    return this.#set !== undefined && !this.#failed && this.#now() - this.#goodAt >= MAX_AGE;
  }

  /** What a token with an unknown key id may cause: it joins a fetch, or starts one if the last is 30 s ago. */
  async attempt(): Promise<void> {
    if (this.#underWay === undefined && this.#now() - this.#triedAt < RETRY) return;
    await this.refresh();
  }

  refresh(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#underWay ??= this.#load().finally(() => {
      this.#underWay = undefined;
      this.#schedule();
    });
    return this.#underWay;
  }

  /** A fetch that starts after this call: one under way may have read the keys that are being withdrawn. */
  async reload(): Promise<void> {
    await this.#underWay;
    await this.refresh();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #load(): Promise<void> {
    this.#triedAt = this.#now();
    try {
      const set = await fetchKeys(this.#uri, this.#fetch);
      if (set.id !== this.#set?.id) this.#set = set;
      this.#goodAt = this.#now();
      this.#failed = false;
    } catch {
      // The keys that were good stay good for an hour; `current` says when they no longer are.
      this.#failed = true;
    }
  }

  /** `#load` keeps its failures to itself. */
  #inBackground(): void {
    this.refresh().catch(() => undefined);
  }

  #schedule(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    const wait = this.#set === undefined ? RETRY_EMPTY : this.#failed ? RETRY : REFRESH;
    this.#timer = setTimeout(() => this.#inBackground(), wait).unref();
  }
}

async function fetchKeys(uri: string, fetch: Fetch): Promise<KeySet> {
  const response = await fetch(uri, {
    headers: { accept: 'application/jwk-set+json, application/json' },
    redirect: 'error',
    signal: AbortSignal.timeout(FETCH_DEADLINE),
  });
  if (response.status !== 200) throw new TypeError(`the key set was answered with ${response.status}`);
  const body = parseStrictObject(await readBounded(response));
  if (body === undefined || !Array.isArray(body.keys)) throw new TypeError('not a key set');
  return loadKeys({ keys: body.keys.filter(isObject) });
}

async function readBounded(response: Response): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const reader = response.body?.getReader();
  let text = '';
  let size = 0;
  while (reader !== undefined) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > MAX_BYTES) {
      await reader.cancel();
      throw new TypeError('the key set is too large');
    }
    text += decoder.decode(value, { stream: true });
  }
  return text + decoder.decode();
}
