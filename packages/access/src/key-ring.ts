import { type Fetch, RemoteKeys } from './jwks.ts';
import { type KeySet, loadKeys } from './keys.ts';
import type { IssuerConfig, JsonWebKeySet } from './types.ts';

/** Longest a request waits for a fetch of keys, in milliseconds. */
const WAIT = 2_000;

/** The keys of all issuers. Sets loaded from one object are loaded once. */
export class KeyRing {
  readonly #fetch: Fetch;
  readonly #now: () => number;
  readonly #remote = new Map<string, RemoteKeys>();
  readonly #loaded = new WeakMap<JsonWebKeySet, KeySet>();

  constructor(fetch: Fetch, now: () => number) {
    this.#fetch = fetch;
    this.#now = now;
  }

  /**
   * Starts fetching for issuers that are new or have changed since `before`, keeps what is known of the others, forgets
   * those that are gone.
   */
  follow(issuers: readonly IssuerConfig[], before: readonly IssuerConfig[]): void {
    const uris = new Set(issuers.flatMap(({ keys }) => (keys.kind === 'jwks' ? keys.uri : [])));
    for (const [uri, remote] of this.#remote) {
      if (uris.has(uri)) continue;
      remote.close();
      this.#remote.delete(uri);
    }
    for (const issuer of issuers) {
      if (issuer.keys.kind !== 'jwks' || before.includes(issuer)) continue;
      const { uri } = issuer.keys;
      const known = this.#remote.get(uri);
      if (known === undefined) this.#remote.set(uri, new RemoteKeys(uri, this.#fetch, this.#now));
      else known.reload().catch(() => undefined);
    }
  }

  /** The keys at hand. */
  peek({ keys }: IssuerConfig): KeySet | undefined {
    if (keys.kind === 'jwks') return this.#remote.get(keys.uri)?.current;
    return this.#load(keys.kind === 'static' ? keys.jwks : keys.current());
  }

  /**
   * The keys, after waiting for one shared fetch where those at hand do not suffice. `vouched`: the issuer itself handed
   * the token to us, so the fetch does not wait for what anybody's tokens have caused.
   */
  async keysFor(
    issuer: IssuerConfig,
    suffices: (keys: KeySet) => boolean,
    vouched = false,
  ): Promise<KeySet | undefined> {
    const set = this.peek(issuer);
    const remote = issuer.keys.kind === 'jwks' ? this.#remote.get(issuer.keys.uri) : undefined;
    if (remote === undefined || (set !== undefined && suffices(set) && !remote.overdue)) return set;
    await waitAtMost(vouched ? remote.refresh() : remote.attempt(), WAIT);
    return this.peek(issuer);
  }

  async reload(issuers: readonly IssuerConfig[]): Promise<void> {
    const uris = new Set(issuers.flatMap(({ keys }) => (keys.kind === 'jwks' ? keys.uri : [])));
    await Promise.all([...uris].map((uri) => this.#remote.get(uri)?.reload()));
  }

  close(): void {
    for (const remote of this.#remote.values()) remote.close();
    this.#remote.clear();
  }

  #load(jwks: JsonWebKeySet): KeySet {
    const known = this.#loaded.get(jwks);
    if (known !== undefined) return known;
    const set = loadKeys(jwks);
    this.#loaded.set(jwks, set);
    return set;
  }
}

async function waitAtMost(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
