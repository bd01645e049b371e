import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SessionEvent } from '@onbehalf/resources';
import { buildHistory } from '../../src/runtime/history.ts';
import type { EventDraft } from '../../src/runtime/index.ts';
import { summarizeTurn } from '../../src/runtime/result.ts';

let seq = 0;
const event = (turn: string, draft: EventDraft): SessionEvent =>
  ({ v: 1, session: 's', seq: ++seq, turn, at: '2026-01-01T00:00:00.000Z', ...draft }) as SessionEvent;
const user = (turn: string, text: string) =>
  event(turn, { type: 'message', messageId: `u-${turn}`, data: { role: 'user', text } });
const assistant = (turn: string, step: number, text: string) =>
  event(turn, { type: 'message', step, messageId: `${turn}-${step}`, data: { role: 'assistant', text } });
const called = (turn: string, step: number, callId: string) =>
  event(turn, {
    ...{ type: 'tool.call', step, callId },
    data: { server: 'orders', tool: 'list', name: 'orders__list', arguments: { open: true } },
  });
const answered = (turn: string, step: number, callId: string, output: string, isError = false) =>
  event(turn, { type: 'tool.result', step, callId, data: { server: 'orders', tool: 'list', isError, output } });

describe('the conversation as a model reads it', () => {
  test('each step is what was said, what was called and what came back, in the order of the log', () => {
    const { messages, droppedSteps } = buildHistory([
      user('t1', 'my orders?'),
      called('t1', 1, 'c1'),
      answered('t1', 1, 'c1', 'A-1001'),
      assistant('t1', 2, 'One: A-1001.'),
      user('t2', 'thanks'),
    ]);
    assert.equal(droppedSteps, 0);
    assert.deepEqual(messages, [
      { role: 'user', text: 'my orders?' },
      {
        role: 'assistant',
        text: '',
        toolCalls: [{ callId: 'c1', name: 'orders__list', arguments: '{"open":true}' }],
      },
      { role: 'tool', callId: 'c1', name: 'list', output: 'A-1001', isError: false },
      { role: 'assistant', text: 'One: A-1001.', toolCalls: [] },
      { role: 'user', text: 'thanks' },
    ]);
  });

  test('a call that the end of the server left open has an outcome that is unknown, and never none', () => {
    const { messages } = buildHistory([
      user('t1', 'go'),
      called('t1', 1, 'c1'),
      called('t1', 1, 'c2'),
      answered('t1', 1, 'c2', 'x'),
    ]);
    const tools = messages.filter(({ role }) => role === 'tool');
    assert.deepEqual(
      tools.map((message) => ('output' in message ? [message.callId, message.output, message.isError] : [])),
      [
        ['c1', 'outcome unknown', true],
        ['c2', 'x', false],
      ],
    );
  });

  test('what stands before the last `cleared` is in the log and not in the conversation', () => {
    const cleared = event('', { type: 'cleared', data: {} });
    const { messages } = buildHistory([user('t1', 'old'), cleared, user('t2', 'older'), cleared, user('t3', 'new')]);
    assert.deepEqual(messages, [{ role: 'user', text: 'new' }]);
  });

  test('it is cut by whole steps from the front, and the newest always stays, however long it is', () => {
    const long = 'x'.repeat(400);
    const events = [
      user('t1', long),
      assistant('t1', 1, long),
      user('t2', long),
      assistant('t2', 1, long),
      user('t3', 'end'),
    ];
    const cut = buildHistory(events, { maxTokens: 210 });
    assert.equal(cut.droppedSteps, 2);
    assert.equal(cut.messages.length, 3);
    const last = buildHistory([user('t1', 'x'), user('t2', 'y'.repeat(10_000))], { maxTokens: 1 });
    assert.deepEqual([last.droppedSteps, last.messages.length], [1, 1]);
    const kept = buildHistory(events, { keepLastSteps: 2 });
    assert.deepEqual([kept.droppedSteps, kept.messages.length], [3, 2]);
  });

  test('a call and its result are never parted by the cut', () => {
    const events = [
      user('t1', 'x'.repeat(400)),
      called('t1', 1, 'c1'),
      answered('t1', 1, 'c1', 'y'.repeat(400)),
      assistant('t1', 2, 'done'),
    ];
    for (let maxTokens = 1; maxTokens < 300; maxTokens += 7) {
      const { messages } = buildHistory(events, { maxTokens });
      const calls = messages.flatMap((message) => (message.role === 'assistant' ? message.toolCalls : []));
      const results = messages.filter(({ role }) => role === 'tool');
      assert.equal(calls.length, results.length, `${maxTokens}`);
    }
  });
});

describe('what a turn came to, told from its events', () => {
  const usage = (step: number) =>
    event('t', {
      ...{ type: 'usage', step },
      data: { inputTokens: 2, outputTokens: 3, totalTokens: 5, cachedInputTokens: 1, model: 'm' },
    });

  test('texts, calls with what came of each, usage and the end', () => {
    const result = summarizeTurn('s', 't', [
      user('t', 'go'),
      called('t', 1, 'c1'),
      answered('t', 1, 'c1', 'A-1001'),
      usage(1),
      assistant('t', 2, 'One.'),
      usage(2),
      event('t', { type: 'turn.ended', data: { state: 'failed', code: 'max_steps', message: 'too many' } }),
    ]);
    assert.deepEqual(result, {
      ...{ session: 's', turn: 't', state: 'failed', code: 'max_steps', message: 'too many', text: 'One.' },
      usage: { inputTokens: 4, outputTokens: 6, totalTokens: 10, cachedInputTokens: 2 },
      toolCalls: [
        {
          ...{ callId: 'c1', server: 'orders', tool: 'list', arguments: { open: true } },
          ...{ isError: false, output: 'A-1001' },
        },
      ],
    });
  });

  test('one that goes on is running, and two results of it share nothing', () => {
    const first = summarizeTurn('s', 't', [user('t', 'go'), usage(1)]);
    const second = summarizeTurn('s', 't', [user('t', 'go')]);
    assert.deepEqual([first.state, first.usage.totalTokens, second.usage.totalTokens], ['running', 5, 0]);
  });

  test('of two calls with one id the later one gets the result', () => {
    const { toolCalls } = summarizeTurn('s', 't', [
      called('t', 1, 'c'),
      answered('t', 1, 'c', 'first'),
      called('t', 2, 'c'),
      answered('t', 2, 'c', 'second', true),
    ]);
    assert.deepEqual(
      toolCalls.map(({ output, isError }) => [output, isError]),
      [
        ['first', false],
        ['second', true],
      ],
    );
  });
});
