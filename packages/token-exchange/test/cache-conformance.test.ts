import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CacheEntry, createTokenCache, matchesFilter, type TokenCache } from '@onbehalf/token-exchange';
import { tokenCacheConformance } from '@onbehalf/token-exchange/testing';
import { orders, refusedAs, setup } from './setup.ts';

for (const { name, run } of tokenCacheConformance(createTokenCache)) test(`the cache in memory: ${name}`, run);

/** A cache whose entries have to be fetched, as a shared one's have. */
function slowCache(options: { max?: number } = {}): TokenCache {
  const near = createTokenCache(options);
  return {
    get: async (key) => {
      await new Promise((resolve) => setImmediate(resolve));
      return near.get(key);
    },
    set: (key, entry) => near.set(key, entry),
    delete: (key) => near.delete(key),
    forget: (filter, dropped) => near.forget(filter, dropped),
    get size() {
      return near.size;
    },
  };
}

for (const { name, run } of tokenCacheConformance(slowCache)) test(`a cache that has to ask: ${name}`, run);

const broken: Readonly<Record<string, (cache: TokenCache) => Partial<TokenCache>>> = {
  'keeps what is to be forgotten': () => ({ forget: () => 0 }),
  'forgets everything': (cache) => ({ forget: () => cache.forget({ all: true }) }),
  'forgets by subject without the issuer': (cache) => ({
    forget: ({ subject, ...filter }) =>
      cache.forget(subject ? { ...filter, subject: { ...subject, issuer: 'https://login.example' } } : filter),
  }),
  'has keys that meet': (cache) => ({
    get: (key) => cache.get(key.toLowerCase()),
    set: (key, entry) => cache.set(key.toLowerCase(), entry),
  }),
  grows: () => {
    const all = new Map<string, CacheEntry>();
    return {
      get: (key) => all.get(key),
      set: (key, entry) => void all.set(key, entry),
      delete: (key) => void all.delete(key),
      forget(filter) {
        const gone = [...all].filter(([, { tags }]) => matchesFilter(filter, tags));
        for (const [key] of gone) all.delete(key);
        return gone.length;
      },
    };
  },
  'drops without handing over': (cache) => ({ forget: (filter) => cache.forget(filter) }),
  'hands over twice': (cache) => ({
    forget: (filter, dropped) =>
      cache.forget(filter, (entry) => {
        dropped?.(entry);
        dropped?.(entry);
      }),
  }),
  'never has anything': () => ({ get: () => undefined }),
};

for (const [what, breakIt] of Object.entries(broken))
  test(`the suite finds a cache that ${what}`, async () => {
    const cases = tokenCacheConformance((options) => {
      const cache = createTokenCache(options);
      const { get, set, delete: remove, forget } = cache;
      return {
        ...{ get, set, delete: remove, forget },
        ...breakIt(cache),
        get size() {
          return cache.size;
        },
      };
    });
    const results = await Promise.allSettled(cases.map(({ run }) => run()));
    assert.ok(results.some(({ status }) => status === 'rejected'));
  });

test('T4 forgotten while a shared cache is being asked: what it brings is not handed out', async () => {
  await using s = await setup();
  const near = createTokenCache();
  let gate = Promise.resolve();
  let asked = 0;
  // It reads before it is told to forget, and answers after.
  const cache = Object.assign(near, { get: getter(near.get) });
  function getter(get: TokenCache['get']): TokenCache['get'] {
    return async (key) => {
      const found = await get(key);
      asked += 1;
      await gate;
      return found;
    };
  }
  const exchange = s.exchange({}, { cache });
  const subject = await s.service.user('alice');
  const ask = () => exchange.token({ subject, session: 's', target: orders });
  const first = await ask();
  const again = await ask();
  assert.deepEqual([again.hash, again.cached, s.service.counts.token], [first.hash, true, 1]);
  const { promise, resolve } = Promise.withResolvers<void>();
  gate = promise;
  const late = ask();
  while (asked < 3) await new Promise((next) => setImmediate(next));
  exchange.forget({ session: 's' });
  resolve();
  await assert.rejects(late, refusedAs('revoked'));
});
