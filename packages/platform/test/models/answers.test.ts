import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { ModelError, type ModelMessage } from '../../src/models/index.ts';
import { collect, data, open, provider, request } from './provider.ts';

const said = (content: string, finish_reason?: string) => ({ choices: [{ delta: { content }, finish_reason }] });
const json = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'application/json' });

test('a whole JSON answer to a request for a stream is read, wherever it is split', async () => {
  const whole = JSON.stringify({
    error: null,
    choices: [
      {
        message: { content: 'Grüß Gott', tool_calls: [{ id: 'a', function: { name: 't', arguments: '{"x":1}' } }] },
        finish_reason: 'tool_calls',
      },
    ],
    usage: { prompt_tokens: 3, completion_tokens: 2 },
  });
  const bytes = Buffer.from(` \n${whole}`);
  for (const at of [0, 1, 3, bytes.indexOf('ü') + 1, bytes.length - 1]) {
    await using upstream = await provider((_request, response) => {
      json(response).write(bytes.subarray(0, at));
      setTimeout(() => response.end(bytes.subarray(at)), 5);
    });
    const chunks = await collect(upstream.client.stream(request()));
    assert.deepEqual(
      chunks.map((chunk) =>
        chunk.type === 'text' ? chunk.text : chunk.type === 'tool-call' ? chunk.call : chunk.type,
      ),
      ['Grüß Gott', 'usage', { callId: 'a', name: 't', arguments: '{"x":1}' }, 'end'],
    );
  }
});

test('an error with status 200 is an error, with the provider’s own words', async () => {
  for (const [body, words] of [
    [{ error: { code: 'overloaded', message: 'come back later' } }, '(overloaded: come back later)'],
    [{ type: 'error', error: { type: 'overloaded_error', message: 'busy' } }, '(overloaded_error: busy)'],
  ] as const) {
    await using upstream = await provider((_request, response) => json(response).end(JSON.stringify(body)));
    await assert.rejects(collect(upstream.client.stream(request())), (error: Error) => {
      assert.ok(error instanceof ModelError && error.message.includes(words), error.message);
      return error.code === 'model_unavailable';
    });
  }
});

test('a connection that is reset before the first byte of an answer is tried again like a 503; after it, never', async () => {
  const broken: Record<string, (response: ServerResponse) => void> = {
    'before the head': (response) => response.socket?.resetAndDestroy(),
    'behind the head': (response) => {
      open(response).flushHeaders();
      setTimeout(() => response.socket?.resetAndDestroy(), 20);
    },
  };
  for (const [where, breaks] of Object.entries(broken)) {
    let calls = 0;
    await using upstream = await provider((_request, response) =>
      ++calls < 3 ? breaks(response) : open(response).end(data(said('ok', 'stop'))),
    );
    assert.deepEqual((await collect(upstream.client.stream(request())))[0], { type: 'text', text: 'ok' }, where);
    assert.equal(upstream.bodies.length, 3);
  }
  await using late = await provider((_request, response) => {
    open(response).write(data(said('half')));
    setTimeout(() => response.socket?.resetAndDestroy(), 20);
  });
  await assert.rejects(collect(late.client.stream(request())), { code: 'model_unavailable' });
  assert.equal(late.bodies.length, 1);
});

test('a model may be silent before its first word as long as the ModelConfig says, whenever its head came, and then as long as that', async () => {
  const patient = { limits: { firstTokenMs: 600, idleMs: 100 } };
  await using thinks = await provider((_request, response) => {
    open(response).flushHeaders();
    setTimeout(() => response.end(data(said('thought', 'stop'))), 300);
  }, patient);
  assert.deepEqual((await collect(thinks.client.stream(request())))[0], { type: 'text', text: 'thought' });
  await using stops = await provider((_request, response) => {
    open(response).write(data(said('half')));
    const alive = setInterval(() => response.write(': still there\n\n'), 20);
    response.once('close', () => clearInterval(alive));
  }, patient);
  await assert.rejects(collect(stops.client.stream(request())), {
    code: 'model_timeout',
    message: 'the model said nothing for 0.1 s (spec.timeouts.idle of the ModelConfig)',
  });
  await using silent = await provider((_request, response) => void open(response).flushHeaders(), patient);
  await assert.rejects(collect(silent.client.stream(request())), {
    code: 'model_timeout',
    message: 'the model said nothing for 0.6 s (spec.timeouts.firstToken of the ModelConfig)',
  });
});

test('ends are told apart: cut off, filtered, declined, failed', async () => {
  const ends: [unknown[], string][] = [
    [[said('a', 'length')], 'length'],
    [[said('a', 'MAX_TOKENS')], 'length'],
    [[said('a', 'content_filter')], 'content_filter'],
    [[{ choices: [{ delta: { refusal: 'I cannot' } }] }, said('', 'stop')], 'refusal'],
    [[said('a', 'end_turn')], 'stop'],
  ];
  for (const [stream, reason] of ends) {
    await using upstream = await provider((_request, response) => open(response).end(stream.map(data).join('')));
    assert.deepEqual((await collect(upstream.client.stream(request()))).at(-1), { type: 'end', finishReason: reason });
  }
  await using upstream = await provider((_request, response) => open(response).end(data(said('a', 'error'))));
  await assert.rejects(collect(upstream.client.stream(request())), { code: 'model_unavailable' });
});

test('reasoning and signatures go back to who sent them, under their own name, with the calls that came of them and with no other message', async () => {
  for (const name of ['reasoning_content', 'reasoning'] as const) {
    const signed = { google: { thought_signature: 'c2ln' } };
    await using upstream = await provider((_request, response) => {
      const call = { index: 0, id: 'a', function: { name: 't', arguments: '{}' }, extra_content: signed };
      const parts = [{ [name]: 'because ' }, { [name]: 'it is so' }, { content: 'x' }, { tool_calls: [call] }];
      const stream = [...parts.map((delta) => ({ choices: [{ delta }] })), said('', 'tool_calls')];
      open(response).end(stream.map(data).join(''));
    });
    const chunks = await collect(upstream.client.stream(request()));
    const calls = chunks.flatMap((chunk) => (chunk.type === 'tool-call' ? [chunk.call] : []));
    const end = chunks.at(-1);
    assert.ok(end?.type === 'end' && end.carried);
    const messages: ModelMessage[] = [
      { role: 'user', text: 'hi' },
      { role: 'assistant', text: 'x', toolCalls: calls, carried: end.carried },
      { role: 'tool', callId: 'a', name: 't', output: '1', isError: false },
      { role: 'assistant', text: 'done', toolCalls: [], carried: end.carried },
    ];
    await collect(upstream.client.stream({ ...request(), messages }));
    const sent = upstream.bodies[1]?.messages as Record<string, unknown>[];
    assert.deepEqual(sent[1], {
      role: 'assistant',
      content: 'x',
      [name]: 'because it is so',
      tool_calls: [{ id: 'a', type: 'function', function: { name: 't', arguments: '{}' }, extra_content: signed }],
    });
    assert.deepEqual(sent[3], { role: 'assistant', content: 'done' });
  }
});
