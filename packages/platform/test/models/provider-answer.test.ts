import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseEvent } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import fc from 'fast-check';
import { CallAssembly } from '../../src/models/call-assembly.ts';
import { CarriedParts } from '../../src/models/carried-parts.ts';
import { ModelError } from '../../src/models/index.ts';
import { readAnswerPart } from '../../src/models/provider-answer.ts';
import { reasonOf } from '../../src/models/refusal.ts';
import { inTurn, wireArguments, wireName, wireSchema } from '../../src/models/wire-form.ts';

const read = (value: unknown) => readAnswerPart(JSON.stringify(value));
const delta = (value: unknown) => read({ choices: [{ delta: value }] });

test('text comes as text, as parts, or as nothing that makes sense: then it is left out and named', () => {
  assert.equal(delta({ content: 'a' }).text, 'a');
  assert.equal(delta({ content: [{ type: 'text', text: 'a' }, 'b', { text: { value: 'c' } }] }).text, 'abc');
  assert.equal(delta({ content: { text: 'a' } }).text, 'a');
  assert.deepEqual([delta({ content: 7 }).text, delta({ content: 7 }).odd], ['', ['content']]);
  assert.equal(delta({ reasoning_content: ['a', { text: 'b' }] }).reasoning, 'ab');
  assert.equal(delta({ reasoning: 'a' }).reasoning, 'a');
  assert.equal(read({ choices: [{ message: { content: 'whole' }, finish_reason: 'stop' }] }).text, 'whole');
});

test('usage is whole numbers that are none of them negative, whatever came', () => {
  const usage = (prompt: unknown, completion: unknown) =>
    read({ usage: { prompt_tokens: prompt, completion_tokens: completion } }).usage;
  assert.deepEqual(usage('12', 3.4), { inputTokens: 12, outputTokens: 3, totalTokens: 15, cachedInputTokens: 0 });
  for (const odd of [-1, 1e30, 'many', {}, true])
    assert.deepEqual(usage(odd, 2), { inputTokens: 0, outputTokens: 2, totalTokens: 2, cachedInputTokens: 0 });
  assert.equal(read({ usage: null }).usage, undefined);
});

test('`error: null` is none; an error is one, and repeats nothing of what was sent', () => {
  assert.equal(read({ error: null, choices: [{ delta: { content: 'a' } }] }).text, 'a');
  assert.throws(
    () => read({ error: { code: 'overloaded', message: 'key sk-canary' } }),
    (error: Error) =>
      error instanceof ModelError &&
      /\(overloaded: key \[secret\]\)/.test(error.message) &&
      !/canary/.test(error.message),
  );
  assert.equal(read({ choices: [{ delta: {}, finish_reason: 3 }] }).finishReason, 'stop');
});

test('ends that mean the same have one name, and reasoning is found under either of its names', () => {
  const finish = (reason: string) => read({ choices: [{ delta: {}, finish_reason: reason }] }).finishReason;
  assert.deepEqual(
    ['stop', 'end_turn', 'tool_use', 'max_tokens', 'MAX_TOKENS', 'SAFETY', 'refusal', 'constructor', 'odd one'].map(
      finish,
    ),
    ['stop', 'stop', 'tool_calls', 'length', 'length', 'content_filter', 'refusal', 'constructor', 'odd one'],
  );
  for (const said of [{ reasoning: 'r' }, { reasoning_content: 'r' }, { reasoning_content: '', reasoning: 'r' }]) {
    const part = delta(said);
    assert.equal(part.reasoning, 'r');
    assert.deepEqual(part.carried, { ['reasoning' in said ? 'reasoning' : 'reasoning_content']: 'r' });
  }
});

test('a provider’s own words are one line, bounded, without the key that was sent and without what looks like one', () => {
  const sent = SecretValue.of('my-own-key-without-a-form');
  const words = (error: unknown) => reasonOf(error, sent);
  assert.equal(words({ error: { code: 'bad_tool', message: 'no\n tools' } }), ' (bad_tool: no tools)');
  assert.equal(words({ error: 'unknown model' }), ' (unknown model)');
  assert.equal(words({ detail: 'not here' }), ' (not here)');
  assert.equal(words({ type: 'error', error: { type: 'overloaded_error' } }), ' (overloaded_error)');
  for (const nothing of [undefined, null, {}, 7, [], { error: {} }]) assert.equal(words(nothing), '');
  for (const secret of ['my-own-key-without-a-form', 'sk-proj-abc***xyz', 'Bearer abcdefghijklmnopqrstuvwxyz'])
    assert.doesNotMatch(words({ message: `key ${secret} is bad` }), /without-a-form|abc|xyz/);
  assert.ok(words({ message: 'x'.repeat(10_000) }).length < 320);
  assert.doesNotMatch(words({ message: 'a\u202eb\u0007' }), /[\u202e\u0007]/);
});

test('what goes back as it is, is put together from its parts, and dropped where it is too much', () => {
  const carried = new CarriedParts();
  for (const part of [
    { reasoning_content: 'first ' },
    { reasoning_content: 'second', reasoning_details: [{ type: 'reasoning.text', index: 0, text: 'a' }] },
    { reasoning_details: [{ type: 'reasoning.text', index: 0, text: 'b', signature: 's' }] },
    { reasoning_details: [{ type: 'reasoning.text', index: 0, text: 'another' }] },
    { thinking_blocks: [{ type: 'thinking', thinking: 'x' }] },
    { thinking_blocks: [{ type: 'thinking', thinking: 'y', signature: 't' }] },
  ])
    carried.add(part);
  assert.deepEqual(carried.whole(), {
    reasoning_content: 'first second',
    reasoning_details: [
      { type: 'reasoning.text', index: 0, text: 'ab', signature: 's' },
      { type: 'reasoning.text', index: 0, text: 'another' },
    ],
    thinking_blocks: [{ type: 'thinking', thinking: 'xy', signature: 't' }],
  });
  for (let i = 0; i < 30; i++) carried.add({ reasoning_content: 'x'.repeat(10_000) });
  assert.equal(carried.whole(), undefined);
  assert.equal(new CarriedParts().whole(), undefined);
});

test('calls are put together from parts as providers really send them', () => {
  const assembled = (...parts: unknown[]) => {
    const calls = new CallAssembly();
    for (const part of parts) for (const call of delta({ tool_calls: [part] }).calls) calls.add(call);
    return calls.whole().map(({ callId, name, arguments: values }) => [callId, name, values]);
  };
  const named = (name: string, values?: unknown) => ({ function: { name, arguments: values } });
  assert.deepEqual(
    assembled(
      { index: 0, id: 'a', ...named('echo', '{"x"') },
      { index: 0, function: { arguments: ':1}' } },
      { index: 1, id: 'b', ...named('echo', '{}') },
    ),
    [
      ['a', 'echo', '{"x":1}'],
      ['b', 'echo', '{}'],
    ],
    'as it is documented',
  );
  assert.deepEqual(
    assembled({ index: 0, id: 'a', ...named('one', '{}') }, { index: 0, id: 'b', ...named('two', '{}') }),
    [
      ['a', 'one', '{}'],
      ['b', 'two', '{}'],
    ],
    'two under one index',
  );
  assert.deepEqual(
    assembled(named('one', '{}'), named('two', '{}')),
    [
      ['call_0', 'one', '{}'],
      ['call_1', 'two', '{}'],
    ],
    'without index and id',
  );
  assert.deepEqual(
    assembled({ index: 0, id: 'a', ...named('t__echo', '{"a"') }, { index: 0, ...named('t__echo', ':1}') }),
    [['a', 't__echo', '{"a":1}']],
    'the name in every part',
  );
  assert.deepEqual(assembled({ index: 0, id: 'a', ...named('echo', { x: 1 }) }), [['a', 'echo', '{"x":1}']]);
});

test('what goes back to a provider is in its form, whatever came', () => {
  assert.equal(wireName('functions.t08 now!'), 'functions_t08_now_');
  assert.equal(wireName('a'.repeat(80)).length, 64);
  assert.equal(wireName(''), 'unnamed');
  for (const broken of ['', '{', '[1]', 'null', '"x"']) assert.equal(wireArguments(broken), '{}');
  assert.equal(wireArguments('{"a": 1}'), '{"a": 1}');
  assert.deepEqual(wireSchema({ type: 'object' }), { type: 'object', properties: {} });
  assert.deepEqual(
    inTurn([
      { role: 'user', text: 'a' },
      { role: 'user', text: 'b' },
    ]),
    [{ role: 'user', text: 'a\n\nb' }],
  );
});

test('whatever a provider answers is a part that can be stored and read back, or an error of ours', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), fc.jsonValue(), fc.jsonValue(), (content, calls, finish, usage) => {
      let part: ReturnType<typeof read>;
      try {
        part = read({
          choices: [{ delta: { content, reasoning_content: content, tool_calls: calls }, finish_reason: finish }],
          usage: { prompt_tokens: usage, completion_tokens: usage, prompt_tokens_details: usage },
        });
      } catch (error) {
        assert.ok(error instanceof ModelError);
        return;
      }
      const head = { v: 1, session: 's', seq: 1, turn: 't', at: '2026-01-01T00:00:00Z' };
      parseEvent({ ...head, type: 'delta', data: { text: part.text } });
      if (part.usage) parseEvent({ ...head, type: 'usage', data: { ...part.usage, model: 'm' } });
      parseEvent({ ...head, type: 'step.ended', data: { finishReason: part.finishReason ?? 'stop', toolCalls: 0 } });
      for (const call of part.calls) assert.equal(typeof (call.name ?? ''), 'string');
    }),
    { numRuns: 1_000 },
  );
});
