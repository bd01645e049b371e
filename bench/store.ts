import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chainHash } from '../packages/platform/src/audit/index.ts';
import { type EventRow, openSqliteStore, prepared } from '../packages/platform/src/store/index.ts';
import { inTurn, type Line } from './measure.ts';

const UNITS = 1_500;

const inserted = prepared((builder, row: EventRow) => builder.insertInto('events').values(row));

/** Durable writes of 1 KiB: 32 writers at once against one at a time, on the same file. */
export async function benchStore(): Promise<Line[]> {
  const folder = await mkdtemp(join(tmpdir(), 'onbehalf-bench-'));
  const store = await openSqliteStore({ path: join(folder, 'bench.db'), chain: chainHash });
  const data = 'x'.repeat(1_024);
  let seq = 0;
  const write = () => {
    const row = { session: 'bench', seq: ++seq, turn: 't', step: 1, at: '', type: 'delta', data };
    const none = { message_id: null, part_index: null, call_id: null };
    return store.commit({ statements: [{ query: inserted(store.builder, { ...row, ...none }), expect: 1 }] });
  };
  const perSecond = (count: number, ms: number) => (count * 1_000) / ms;
  const lanes = async (width: number, count: number) => {
    const started = performance.now();
    await Promise.all(
      Array.from({ length: width }, async () => {
        for (let index = 0; index < count / width; index++) await write();
      }),
    );
    return perSecond(count, performance.now() - started);
  };
  const result = await inTurn(
    3,
    () => lanes(32, UNITS * 8),
    () => lanes(1, UNITS),
  );
  await store.close();
  await rm(folder, { recursive: true, force: true });
  return [
    {
      measure: 'durable writes of 1 KiB, 32 at once',
      ours: `${Math.round(result.ours)} /s`,
      reference: `one at a time ${Math.round(result.reference)} /s`,
      ratio: result.ratio,
      target: '≥ 8',
    },
  ];
}
