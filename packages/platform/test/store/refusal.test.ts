import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { StoreError, schemaVersion } from '../../src/store/index.ts';
import { metaKeys, putMeta } from './conformance.ts';
import { storeFolder } from './folder.ts';

const refusal = (code: string, path: string) => (error: unknown) =>
  error instanceof StoreError && error.code === code && error.message.includes(path) && (error.repair ?? '') !== '';

const edit = (path: string, sql: string) => {
  const db = new DatabaseSync(path);
  db.exec(sql);
  db.close();
};

test('files are private, and a second opening of the same directory is refused until the first is closed', async () => {
  await using data = storeFolder();
  const store = await data.open();
  await store.commit({ statements: [{ query: putMeta(store, 'k', 'v') }] });
  for (const suffix of ['', '-wal', '-shm', '.lock'])
    assert.equal(statSync(data.path + suffix).mode & 0o777, 0o600, suffix);
  assert.equal(statSync(dirname(data.path)).mode & 0o777, 0o700);
  await assert.rejects(data.open(), refusal('store_locked', data.path));
  await store.close();
  assert.deepEqual(await metaKeys(await data.open(), 'k'), ['k']);
});

test('a store of a newer version is refused untouched, one whose minReader we satisfy is opened and kept', async () => {
  await using data = storeFolder();
  await (await data.open()).close();
  edit(data.path, `update meta set value = '${schemaVersion + 7}' where key = 'version'`);
  const store = await data.open();
  await store.commit({ statements: [{ query: putMeta(store, 'k', 'v') }] });
  const version = store.builder.selectFrom('meta').select('value').where('key', '=', 'version').compile();
  assert.deepEqual(await store.read(version), [{ value: String(schemaVersion + 7) }]);
  await store.close();
  edit(data.path, `update meta set value = '${schemaVersion + 1}' where key = 'min_reader'`);
  const before = readFileSync(data.path);
  await assert.rejects(data.open(), refusal('store_newer', data.path));
  assert.deepEqual(readFileSync(data.path), before);
});

test('a damaged store is refused with the file and what to do, wherever the damage is', async () => {
  for (const damage of [
    (path: string) => writeFileSync(path, 'this is no database, but it is long enough to be taken for one'.repeat(99)),
    (path: string) => {
      const file = openSync(path, 'r+');
      for (let page = 2; page < statSync(path).size / 4096; page += 3)
        writeSync(file, Buffer.alloc(512, 0xa5), 0, 512, page * 4096);
      closeSync(file);
    },
    (path: string) => writeFileSync(path, readFileSync(path).subarray(0, 9_000)),
  ]) {
    await using data = storeFolder();
    const store = await data.open();
    for (let n = 0; n < 40; n++)
      await store.commit({ statements: [{ query: putMeta(store, `k${n}`, 'v'.repeat(900)) }] });
    await store.close();
    damage(data.path);
    const before = readFileSync(data.path);
    await assert.rejects(data.open(), refusal('store_damaged', data.path));
    assert.deepEqual(readFileSync(data.path), before);
    await assert.rejects(data.open(), refusal('store_damaged', data.path)); // and the lock was given back
  }
});

test('a database of another program is refused untouched', async () => {
  await using data = storeFolder();
  mkdirSync(dirname(data.path));
  edit(data.path, 'create table theirs (a)');
  await assert.rejects(data.open(), refusal('store_foreign', data.path));
  assert.ok(!existsSync(`${data.path}-wal`));
});
