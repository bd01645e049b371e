import assert from 'node:assert/strict';
import { copyFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { openSqliteReader } from '../../src/store/index.ts';
import { line, putMeta } from './conformance.ts';
import { storeFolder } from './folder.ts';

test('a store of a process that was killed is read with what is only in its log; it refuses to be written', async () => {
  await using data = storeFolder();
  const store = await data.open();
  await store.commit({ statements: [{ query: putMeta(store, 'k', 'v') }], audit: [line(1)] });
  const copy = join(dirname(data.path), 'killed.db');
  for (const suffix of ['', '-wal']) copyFileSync(data.path + suffix, copy + suffix);
  const reader = openSqliteReader(copy);
  const lines = reader.builder.selectFrom('audit_lines').select('body').compile();
  assert.deepEqual(await reader.read(lines), [{ body: '{"n":1}' }]);
  await assert.rejects(reader.read(putMeta(store, 'k2', 'v')), { code: 'store_readonly' });
  reader.close();
  await store.close();
});

test('a store of an older version is not migrated by being read, and leaves nothing beside it', async () => {
  await using data = storeFolder();
  const store = await data.open();
  await store.commit({
    statements: [
      { query: store.builder.updateTable('meta').set({ value: '1' }).where('key', '=', 'version').compile() },
    ],
  });
  await store.close();
  const before = readdirSync(dirname(data.path));
  assert.throws(() => openSqliteReader(data.path), { code: 'store_older' });
  assert.deepEqual(readdirSync(dirname(data.path)), before);
});
