import { sameTarget } from './target.ts';
import type { ExchangedToken, ForgetFilter, PrincipalRef, Target } from './types.ts';

/** What an entry, or a request under way, belongs to; `forget` goes by it. */
export interface Tags {
  /** As the request gave it. */
  readonly session: string | undefined;
  /** `sid` of the login. */
  readonly loginSession: string | undefined;
  /** The person; undefined for tokens that stand for none. */
  readonly principal: PrincipalRef | undefined;
  /** The agent's uid. */
  readonly agent: string | undefined;
  /** What the token is for. */
  readonly target: Target;
  /** `name` of the token service. */
  readonly tokenService: string;
  /** Id of the client that obtained it, and that may revoke it. */
  readonly client: string;
}

/** A token, how long it may be used, and what ends it. */
export interface CacheEntry {
  /** As it is handed out on a hit. */
  readonly token: ExchangedToken;
  /**
   * Milliseconds on this process's monotonic clock, after which it is not used. A cache that several processes share
   * keeps the time that is left instead.
   */
  readonly until: number;
  /** What `forget` goes by. */
  readonly tags: Tags;
}

/**
 * Where exchanged tokens are kept. `tokenCacheConformance` of `./testing` says what one must do, as tests. Whatever is
 * written outside the process must be encrypted: the values are live tokens.
 */
export interface TokenCache {
  /**
   * A promise where the entry has to be fetched; it must not reject. What it brings is checked against `forget` again.
   * @param key opaque, without a secret; every input that can change the answer is in it
   */
  get(key: string): CacheEntry | undefined | Promise<CacheEntry | undefined>;
  /**
   * Keeps an entry, in place of an earlier one. It must not throw.
   * @param entry held as it is, or encrypted
   */
  set(key: string, entry: CacheEntry): void;
  /** Drops one entry, if it is there. */
  delete(key: string): void;
  /**
   * From the same tick on, no entry that matches (see `matchesFilter`) comes back. Returns how many went. Each that
   * went is handed to `dropped` once, at once or later, so that it can be revoked.
   */
  forget(filter: ForgetFilter, dropped?: (entry: CacheEntry) => void): number;
  /** Entries that are kept. */
  readonly size: number;
}

interface Node {
  readonly key: string;
  entry: CacheEntry;
  newer: Node | undefined;
  older: Node | undefined;
}

/**
 * In memory, least recently used first out. The order is a chain through the nodes, so that a hit moves pointers only.
 * @param options `max`: entries; default 8,192
 */
export function createTokenCache(options: { max?: number } = {}): TokenCache {
  const max = options.max ?? 8192;
  const nodes = new Map<string, Node>();
  let newest: Node | undefined;
  let oldest: Node | undefined;

  function unlink(node: Node): void {
    if (node.newer) node.newer.older = node.older;
    else newest = node.older;
    if (node.older) node.older.newer = node.newer;
    else oldest = node.newer;
  }

  function link(node: Node): void {
    node.newer = undefined;
    node.older = newest;
    if (newest) newest.newer = node;
    else oldest = node;
    newest = node;
  }

  function remove(node: Node | undefined): void {
    if (node === undefined) return;
    nodes.delete(node.key);
    unlink(node);
  }

  return {
    get(key) {
      const node = nodes.get(key);
      if (node !== undefined && node !== newest) {
        unlink(node);
        link(node);
      }
      return node?.entry;
    },
    set(key, entry) {
      remove(nodes.get(key));
      const node = { key, entry, newer: undefined, older: undefined };
      nodes.set(key, node);
      link(node);
      if (nodes.size > max) remove(oldest);
    },
    delete(key) {
      remove(nodes.get(key));
    },
    forget(filter, dropped) {
      const before = nodes.size;
      for (const node of nodes.values()) {
        if (!matchesFilter(filter, node.entry.tags)) continue;
        remove(node);
        dropped?.(node.entry);
      }
      return before - nodes.size;
    },
    get size() {
      return nodes.size;
    },
  };
}

/**
 * Whether what carries these tags is forgotten by this filter.
 * @param filter what ended
 * @param tags of an entry or of a request under way
 */
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
