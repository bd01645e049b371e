import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { type SqliteStore, StoreError } from '../../src/store/index.ts';
import { line, metaKeys, putMeta } from './conformance.ts';
import { storeFolder } from './folder.ts';

const put = (store: SqliteStore, key: string, size = 10) =>
  store.commit({ statements: [{ query: putMeta(store, key, 'x'.repeat(size)) }] });
const failed = (code: string) => (error: unknown) => error instanceof StoreError && error.code === code;

test('units of one tick share one transaction, and so one write to the disk', async () => {
  await using data = storeFolder();
  const store = await data.open();
  const wal = () => statSync(`${data.path}-wal`).size;
  const start = wal();
  await Promise.all(Array.from({ length: 100 }, (_, n) => put(store, `a${n}`)));
  const together = wal() - start;
  for (let n = 0; n < 100; n++) await put(store, `b${n}`);
  const alone = wal() - start - together;
  assert.ok(together > 0 && alone > 8 * together, `${together} bytes together, ${alone} one by one`);
});

test('disk full: everything of the transaction is rolled back, reads go on, and it recovers without a restart', async () => {
  await using data = storeFolder();
  const store = await data.open();
  await put(store, 'before');
  const seen: string[] = [];
  store.watch(0, (changes) => seen.push(...changes.map(({ key }) => key)));
  store.setMaxBytes(statSync(`${data.path}-wal`).size);
  const unit = (key: string) => ({
    statements: [
      { query: putMeta(store, `small-${key}`, 'v') },
      { query: putMeta(store, `big-${key}`, 'x'.repeat(1_000_000)) },
    ],
    changes: [{ kind: 'K', key, op: 'put' as const }],
    audit: [line(1)],
  });
  const beside = {
    statements: [{ query: putMeta(store, 'beside', 'v') }],
    changes: [{ kind: 'K', key: 'beside', op: 'put' as const }],
    audit: [line(1)],
  };
  const results = await Promise.allSettled([store.commit(beside), store.commit(unit('a')), store.commit(unit('b'))]);
  assert.deepEqual(
    results.map((result) => (result.status === 'rejected' ? result.reason.code : 'stored')),
    ['store_full', 'store_full', 'store_full'],
  );
  assert.deepEqual(await metaKeys(store, 'b'), ['before']);
  assert.deepEqual(await metaKeys(store, 'small'), []);
  assert.equal(store.revision(), 0);
  store.setMaxBytes(1e9);
  const { revision, audit } = await store.commit(unit('c'));
  assert.deepEqual([revision, audit[0]?.seq, seen], [1, 1, ['c']]);
  assert.deepEqual(await metaKeys(store, 'small'), ['small-c']);
});

test('a store with no room at all can still be opened, read and emptied', async () => {
  await using data = storeFolder();
  const first = await data.open();
  for (let n = 0; n < 30; n++) await put(first, `k${n}`, 4_000);
  await first.close();
  const store = await data.open({ maxBytes: 4_096 });
  await assert.rejects(put(store, 'more', 100_000), failed('store_full'));
  assert.equal((await metaKeys(store, 'k')).length, 30);
  const empty = store.builder.deleteFrom('meta').where('key', 'like', 'k%').compile();
  await store.commit({ statements: [{ query: empty, expect: 30 }] });
  await put(store, 'more', 100_000);
});

test('while another program has the database locked writes wait, in order, and nothing is lost', async () => {
  await using data = storeFolder();
  const store = await data.open();
  const other = new DatabaseSync(data.path);
  other.exec('begin immediate');
  const waiting = ['w1', 'w2', 'w3'].map((key) => put(store, key));
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.deepEqual(await metaKeys(store, 'w'), []);
  other.exec('commit');
  await Promise.all(waiting);
  assert.deepEqual(await metaKeys(store, 'w'), ['w1', 'w2', 'w3']);
  other.close();
});

test('beyond the bounds of time and number a write is refused as busy, and what is refused is not stored', async () => {
  await using data = storeFolder();
  const store = await data.open({ maxQueue: 3, maxWait: 50 });
  const other = new DatabaseSync(data.path);
  other.exec('begin immediate');
  const waiting = ['q1', 'q2', 'q3'].map((key) => put(store, key));
  await assert.rejects(put(store, 'q4'), failed('store_busy'));
  for (const late of waiting) await assert.rejects(late, failed('store_busy'));
  other.exec('rollback');
  other.close();
  await put(store, 'q5');
  assert.deepEqual(await metaKeys(store, 'q'), ['q5']);
});
