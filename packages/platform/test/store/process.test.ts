import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Change, StoreError } from '../../src/store/index.ts';
import { metaKeys, testChain } from './conformance.ts';
import { storeFolder } from './folder.ts';

const script = fileURLToPath(new URL('writer-child.ts', import.meta.url));
const start = (path: string, mode = 'write') => {
  const child = spawn(process.execPath, ['--conditions=source', script, path, mode]);
  const output = { text: '', errors: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    output.text += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output.errors += chunk;
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, output, exited };
};

test('kill -9 while writing: every acknowledged unit is there, whole, and the directory is free at once', async () => {
  for (const units of [1, 150, 400]) {
    await using data = storeFolder();
    const { child, output, exited } = start(data.path);
    while (output.text.split('\n').length <= units) {
      assert.equal(child.exitCode, null, output.errors);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await assert.rejects(data.open(), (error) => error instanceof StoreError && error.code === 'store_locked');
    child.kill('SIGKILL');
    await exited;
    const acknowledged = output.text.split('\n').slice(0, -1);
    const store = await data.open();
    const [a, b] = [await metaKeys(store, 'a'), await metaKeys(store, 'b')];
    const keys = new Set(a.map((key) => key.slice(1)));
    assert.deepEqual(keys, new Set(b.map((key) => key.slice(1))));
    assert.deepEqual(
      acknowledged.filter((key) => !keys.has(key)),
      [],
    );
    const changes: Change[] = [];
    store.watch(0, (batch) => changes.push(...batch));
    await store.commit({ statements: [] });
    assert.deepEqual(new Set(changes.map((change) => change.key)), keys);
    const lines = await store.read(
      store.builder.selectFrom('audit_lines').selectAll().orderBy('writer').orderBy('seq').compile(),
    );
    assert.equal(lines.length, keys.size);
    for (const row of lines) assert.equal(row.hash, testChain(row.writer, row.seq, row.prev, row.body));
    assert.equal(lines.at(-1)?.seq, lines.length);
    assert.ok(acknowledged.length >= units);
  }
});

test('a watcher that throws ends the process: a cache that follows no more must not go on to allow', async () => {
  await using data = storeFolder();
  const { output, exited } = start(data.path, 'watcher that throws');
  assert.notEqual(await exited, 0);
  assert.match(output.errors, /cannot follow/);
});
