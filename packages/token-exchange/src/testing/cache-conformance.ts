import { deepEqual, equal } from 'node:assert/strict';
import { SecretValue } from '@onbehalf/secret-value';
import type { CacheEntry, Tags, TokenCache } from '../cache.ts';
import type { ExchangedToken, ForgetFilter } from '../types.ts';

/** One promise of the interface. `run` rejects where the cache does not keep it. */
export interface CacheCase {
  /** What is promised, as the title of a test. */
  readonly name: string;
  /** Makes a cache, and asks it. */
  run(): Promise<void>;
}

/**
 * Makes an empty cache for one case: nobody else uses its keys.
 * @param options `max`: how many tokens it holds at most
 */
export type MakeCache = (options: { max: number }) => TokenCache | Promise<TokenCache>;

const ORDERS = { name: 'orders', audience: [], resource: ['https://orders.internal/mcp'], scopes: ['read'] };
const PLAIN: Tags = {
  session: 's1',
  loginSession: 'l1',
  principal: { issuer: 'https://login.example', subject: '42' },
  agent: 'a1',
  target: ORDERS,
  tokenService: 'sts',
  client: 'platform',
};

function entry(text: string, tags: Partial<Tags> = {}): CacheEntry {
  const token: ExchangedToken = {
    value: SecretValue.of(text),
    type: 'urn:ietf:params:oauth:token-type:access_token',
    expiresAt: Date.now() + 300_000,
    scope: 'read',
    cached: true,
    joined: false,
    claims: { aud: ['orders'], sub: '42' },
    verification: 'signature',
    ms: 0,
    hash: `hash of ${text}`,
  };
  return { token, until: performance.now() + 285_000, tags: { ...PLAIN, ...tags } };
}

const textOf = async (cache: TokenCache, key: string) => (await cache.get(key))?.token.value.reveal();

/** Filters, and which of the entries of `ENTRIES` each takes. */
const ENTRIES: Readonly<Record<string, Partial<Tags>>> = {
  plain: {},
  session: { session: 's2' },
  login: { loginSession: 'l2' },
  person: { principal: { issuer: 'https://login.example', subject: '43' } },
  issuer: { principal: { issuer: 'https://other.example', subject: '42' } },
  nobody: { session: undefined, loginSession: undefined, principal: undefined, agent: undefined },
  agent: { agent: 'a2' },
  target: { target: { audience: ['leave'], resource: [], scopes: [] } },
  service: { tokenService: 'sts2' },
};

const FORGETS: readonly (readonly [ForgetFilter, readonly string[]])[] = [
  [{}, []],
  [{ session: 's2' }, ['session']],
  [{ session: 'none' }, []],
  [{ loginSession: 'l2' }, ['login']],
  [{ subject: { issuer: 'https://login.example', subject: '43' } }, ['person']],
  [{ subject: { issuer: 'https://other.example', subject: '42' } }, ['issuer']],
  [{ subject: { issuer: 'https://other.example', subject: '43' } }, []],
  [{ agent: 'a2' }, ['agent']],
  [{ target: { audience: ['leave'], resource: [] } }, ['target']],
  [
    { target: { name: 'orders', audience: ['changed'], resource: [] } },
    Object.keys(ENTRIES).filter((e) => e !== 'target'),
  ],
  [{ target: { name: 'other', audience: ORDERS.audience, resource: ORDERS.resource } }, []],
  [{ tokenService: 'sts2' }, ['service']],
  [{ session: 's1', agent: 'a2' }, ['agent']],
  [{ session: 's2', agent: 'a2' }, []],
  [{ all: true }, Object.keys(ENTRIES)],
];

/**
 * What every `TokenCache` promises. Run each case with any test runner:
 * `for (const { name, run } of tokenCacheConformance(makeMyCache)) test(name, run);`
 * @param make an empty cache for each case
 */
export function tokenCacheConformance(make: MakeCache): readonly CacheCase[] {
  const one = (name: string, max: number, run: (cache: TokenCache) => Promise<void>): CacheCase => ({
    name,
    run: async () => run(await make({ max })),
  });
  return [
    one('what was set comes back as it was, and nothing else does', 10, async (cache) => {
      const given = entry('a');
      cache.set('k', given);
      const found = await cache.get('k');
      equal(found?.token.value.reveal(), 'a');
      deepEqual({ ...found?.token, value: '' }, { ...given.token, value: '' });
      deepEqual(found?.tags, given.tags);
      equal(Math.abs((found?.until ?? 0) - given.until) < 1_000, true);
      equal(await cache.get('other'), undefined);
      equal(cache.size, 1);
    }),
    one('a key is set again, and deleted', 10, async (cache) => {
      cache.set('k', entry('a'));
      cache.set('k', entry('b'));
      equal(await textOf(cache, 'k'), 'b');
      equal(cache.size, 1);
      cache.delete('k');
      cache.delete('k');
      equal(await cache.get('k'), undefined);
      equal(cache.size, 0);
    }),
    one('any string is a key, and no two are one', 20, async (cache) => {
      const keys = ['', ' ', '__proto__', 'constructor', 'é', 'e\u0301', '\u0000', 'K', 'k', '1:a', 'k'.repeat(4_096)];
      for (const key of keys) cache.set(key, entry(`value of ${key}`));
      equal(cache.size, keys.length);
      for (const key of keys) equal(await textOf(cache, key), `value of ${key}`);
    }),
    one('it holds so many, and drops what was used longest ago', 3, async (cache) => {
      for (const key of ['a', 'b', 'c']) cache.set(key, entry(key));
      await cache.get('a');
      cache.set('b', entry('b'));
      cache.set('d', entry('d'));
      equal(cache.size, 3);
      equal(await cache.get('c'), undefined);
      for (const key of ['a', 'b', 'd']) equal(await textOf(cache, key), key);
    }),
    one('it does not grow beyond that', 50, async (cache) => {
      for (let at = 0; at < 1_000; at += 1) cache.set(`k${at}`, entry(`v${at}`));
      equal(cache.size, 50);
      equal(await cache.get('k949'), undefined);
      equal(await textOf(cache, 'k999'), 'v999');
    }),
    one('forget takes what matches all fields that are given, and nothing else', 20, async (cache) => {
      for (const [filter, gone] of FORGETS) {
        for (const [key, tags] of Object.entries(ENTRIES)) cache.set(key, entry(key, tags));
        equal(cache.forget(filter), gone.length, JSON.stringify(filter));
        for (const key of Object.keys(ENTRIES))
          equal(
            await textOf(cache, key),
            gone.includes(key) ? undefined : key,
            `${key} after ${JSON.stringify(filter)}`,
          );
      }
    }),
    one('forget hands over what it drops, each once, and nothing else', 20, async (cache) => {
      for (const [filter, gone] of FORGETS) {
        for (const [key, tags] of Object.entries(ENTRIES)) cache.set(key, entry(key, tags));
        const dropped: CacheEntry[] = [];
        cache.forget(filter, (one) => dropped.push(one));
        for (let wait = 0; wait < 100 && dropped.length < gone.length; wait += 1) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        deepEqual(dropped.map(({ token }) => token.value.reveal()).sort(), [...gone].sort(), JSON.stringify(filter));
        for (const { token, tags } of dropped)
          deepEqual(tags, { ...PLAIN, ...ENTRIES[token.value.reveal()] }, 'with its tags');
        cache.forget({ all: true }, (one) => dropped.push(one));
        equal(new Set(dropped.map(({ token }) => token.value.reveal())).size, dropped.length);
      }
    }),
    one('what was forgotten may be set again', 10, async (cache) => {
      cache.set('k', entry('a'));
      cache.forget({ session: 's1' });
      cache.set('k', entry('b'));
      equal(await textOf(cache, 'k'), 'b');
      equal(cache.size, 1);
    }),
    one('forget holds from the same tick on', 10, async (cache) => {
      cache.set('k', entry('a'));
      cache.forget({ session: 's1' });
      equal(await cache.get('k'), undefined);
      equal(cache.size, 0);
    }),
  ];
}
