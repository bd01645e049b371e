import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EventLog } from '../../src/runtime/event-log.ts';
import type { EventDraft } from '../../src/runtime/ports.ts';
import { type Chain, startChain } from './chain.ts';

let c: Chain;
before(async () => {
  c = await startChain();
  await c.ready();
});
after(() => c?.close());

test('nothing that is stored makes a conversation unreadable: an entry that is not known is shown as that', async () => {
  const session = await c.session('alice');
  const log = new EventLog(c.store, Date.now);
  const odd = [
    {
      type: 'usage',
      data: { inputTokens: '12', outputTokens: -1, totalTokens: 1e30, cachedInputTokens: 0, model: 'm' },
    },
    { type: 'message', data: { role: 'assistant', text: ['not', 'text'] } },
    { type: 'message', data: { role: 'assistant', text: 'fine' } },
  ] as unknown as EventDraft[];
  const stored = await log.append({ session: session.id, turn: '', lastSeq: session.lastSeq }, odd);
  assert.deepEqual(
    stored.map(({ type }) => type),
    ['warning', 'warning', 'message'],
    'what makes no sense is not stored',
  );
  const { builder } = c.store;
  await c.store.commit({
    statements: [
      {
        query: builder
          .updateTable('events')
          .set({ data: '{"role":' })
          .where('seq', '=', stored[2]?.seq ?? 0)
          .compile(),
      },
    ],
  });
  const read = await log.readAll(session.id);
  assert.equal(read.length, session.lastSeq + 3);
  const last = read.at(-1);
  assert.equal(last?.type === 'warning' && last.data.code, 'unreadable_event');
});
