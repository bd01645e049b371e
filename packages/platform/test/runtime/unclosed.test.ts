import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventDraft } from '../../src/runtime/index.ts';
import { unclosed } from '../../src/runtime/unclosed.ts';

const delta = (messageId: string, text: string, step = 1): EventDraft => ({
  type: 'delta',
  step,
  messageId,
  data: { text },
});
const usage = (step: number): EventDraft => ({
  type: 'usage',
  step,
  data: { inputTokens: 1, outputTokens: 1, totalTokens: 2, cachedInputTokens: 0, model: 'm-1' },
});

test('text that was streamed and became no message becomes one, marked, and is booked where nobody counted it', () => {
  const closed: EventDraft[] = [
    delta('a', 'done'),
    usage(1),
    { type: 'message', step: 1, messageId: 'a', data: { role: 'assistant', text: 'done' } },
  ];
  assert.deepEqual(unclosed(closed), []);
  assert.deepEqual(unclosed([...closed, delta('b', 'half ', 2), delta('b', 'of it', 2)]), [
    { type: 'message', step: 2, messageId: 'b', data: { role: 'assistant', text: 'half of it', truncated: true } },
    {
      type: 'usage',
      step: 2,
      data: {
        ...{ inputTokens: 0, outputTokens: 3, totalTokens: 3, cachedInputTokens: 0 },
        ...{ model: 'm-1', estimated: true },
      },
    },
  ]);
});

test('what was counted is not booked twice, and what it makes of its own result is nothing', () => {
  const broken = [delta('a', 'text'), usage(1)];
  const more = unclosed(broken);
  assert.deepEqual(
    more.map(({ type }) => type),
    ['message'],
  );
  assert.deepEqual(unclosed([...broken, ...more]), []);
});
