import { sameTarget } from './target.ts';
import type { ExchangedToken, ForgetFilter, PrincipalRef, Target } from './types.ts';

/** What an entry, or a request under way, belongs to; `forget` goes by it. */
export interface Tags {
  readonly session: string | undefined;
  readonly loginSession: string | undefined;
  readonly principal: PrincipalRef | undefined;
  readonly agent: string | undefined;
  readonly target: Target;
  readonly tokenService: string;
}

export interface CacheEntry {
  /** As it is handed out on a hit. */
  readonly token: ExchangedToken;
  /** Monotonic milliseconds after which it is not used. */
  readonly until: number;
  readonly tags: Tags;
}

export interface TokenCache {
  get(key: string): CacheEntry | undefined;
  set(key: string, entry: CacheEntry): void;
  delete(key: string): void;
  /** Within the same tick. Returns how many went. */
  deleteWhere(matches: (tags: Tags) => boolean): number;
  readonly size: number;
}

/** In memory, least recently used first out. */
export function createTokenCache(options: { max?: number } = {}): TokenCache {
  const max = options.max ?? 8192;
  const entries = new Map<string, CacheEntry>();
  let newest: string | undefined;
  return {
    get(key) {
      const entry = entries.get(key);
      if (entry !== undefined && key !== newest) {
        entries.delete(key);
        entries.set(key, entry);
        newest = key;
      }
      return entry;
    },
    set(key, entry) {
      entries.delete(key);
      entries.set(key, entry);
      newest = key;
      if (entries.size > max) {
        const [oldest] = entries.keys();
        if (oldest !== undefined) entries.delete(oldest);
      }
    },
    delete(key) {
      entries.delete(key);
    },
    deleteWhere(matches) {
      const before = entries.size;
      for (const [key, entry] of entries) if (matches(entry.tags)) entries.delete(key);
      return before - entries.size;
    },
    get size() {
      return entries.size;
    },
  };
}

export function matchesFilter(filter: ForgetFilter, tags: Tags): boolean {
  if (filter.all === true) return true;
  const { session, loginSession, subject, agent, target, tokenService } = filter;
  const given = [session, loginSession, subject, agent, target, tokenService].some((field) => field !== undefined);
  return (
    given &&
    (session === undefined || session === tags.session) &&
    (loginSession === undefined || loginSession === tags.loginSession) &&
    (subject === undefined ||
      (subject.issuer === tags.principal?.issuer && subject.subject === tags.principal.subject)) &&
    (agent === undefined || agent === tags.agent) &&
    (target === undefined || sameTarget(target, tags.target)) &&
    (tokenService === undefined || tokenService === tags.tokenService)
  );
}

/**
 * The filters of late, so that a request that began before a `forget` is not answered after it. A request remembers
 * where the list stood; when that place has been dropped from the list, the answer counts as forgotten.
 */
export class Forgotten {
  static readonly #kept = 1024;
  #count = 0;
  readonly #recent: ForgetFilter[] = [];

  get mark(): number {
    return this.#count;
  }

  record(filter: ForgetFilter): void {
    this.#recent.push(filter);
    if (this.#recent.length > Forgotten.#kept) this.#recent.shift();
    this.#count += 1;
  }

  since(mark: number, tags: Tags): boolean {
    const missed = this.#count - mark;
    if (missed === 0) return false;
    if (missed > this.#recent.length) return true;
    return this.#recent.slice(-missed).some((filter) => matchesFilter(filter, tags));
  }
}
