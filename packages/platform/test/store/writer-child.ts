import { openSqliteStore } from '../../src/store/index.ts';
import { line, putMeta, testChain } from './conformance.ts';

// Writes units of two rows, a change and an audit line until it is killed, and prints the number of each that is durable.
const [path, mode] = process.argv.slice(2);
if (path === undefined) throw new TypeError('needs a path');
const store = await openSqliteStore({ path, chain: testChain });
if (mode === 'watcher that throws') {
  store.watch(0, () => {
    throw new Error('cannot follow');
  });
  await store.commit({ statements: [], changes: [{ kind: 'K', key: 'k', op: 'put' }] });
  setInterval(() => undefined, 1_000);
} else {
  const write = async (lane: number) => {
    for (let n = 0; ; n++) {
      const key = `${lane}-${n}`;
      await store.commit({
        statements: [
          { query: putMeta(store, `a${key}`, 'x'.repeat(2_000)), expect: 1 },
          { query: putMeta(store, `b${key}`, 'v'), expect: 1 },
        ],
        changes: [{ kind: 'K', key, op: 'put' }],
        audit: [line(n)],
      });
      process.stdout.write(`${key}\n`);
    }
  };
  for (let lane = 0; lane < 8; lane++) void write(lane);
}
