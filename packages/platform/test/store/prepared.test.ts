import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sqliteBuilder } from '../../src/store/builder.ts';
import { prepared } from '../../src/store/prepared.ts';

test('a prepared query says what the same query says when it is compiled each time, for each builder', () => {
  let made = 0;
  const query = prepared((builder, { id, before }: { id: string; before: number | null }) => {
    made++;
    return builder
      .updateTable('sessions')
      .set({ last_seq: before, turn: null } as never)
      .where('id', '=', id);
  });
  const [builder, other] = [sqliteBuilder(), sqliteBuilder()];
  for (const values of [
    { id: 'a', before: 1 },
    { id: "b'; drop table sessions; --", before: null },
    { id: 'a', before: 0 },
  ])
    for (const one of [builder, other]) {
      const { sql, parameters } = one
        .updateTable('sessions')
        .set({ last_seq: values.before, turn: null } as never)
        .where('id', '=', values.id)
        .compile();
      const found = query(one, values);
      assert.deepEqual([found.sql, found.parameters], [sql, parameters]);
    }
  assert.equal(made, 2);
});
