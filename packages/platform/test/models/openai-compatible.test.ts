import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEgress } from '../../src/egress/index.ts';
import { ModelError } from '../../src/models/index.ts';
import { createOpenAiClient } from '../../src/models/openai-compatible.ts';
import { collect, data, open, provider, request } from './provider.ts';

test('text, tool calls in pieces, usage and the end come out in order, whatever the chunks on the wire', async () => {
  await using upstream = await provider((_request, response) => {
    open(response);
    const stream = [
      data({ choices: [{ delta: { content: 'Grüß ' } }] }),
      ': comment\r\n\r\n',
      data({ choices: [{ delta: { content: 'Gott' } }] }),
      data({
        choices: [
          { delta: { tool_calls: [{ index: 0, id: 'a', function: { name: 'orders__list', arguments: '{"x"' } }] } },
        ],
      }),
      data({ choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: ':1}' } }] } }] }),
      data({ choices: [{ delta: {}, finish_reason: 'tool_calls' }] }),
      data({
        choices: [{ index: 0, delta: {} }],
        usage: { prompt_tokens: 3, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 1 } },
      }),
      'data: [DONE]\n\n',
    ].join('');
    const bytes = Buffer.from(stream);
    const half = bytes.indexOf(0xc3) + 1;
    response.write(bytes.subarray(0, half));
    setTimeout(() => response.end(bytes.subarray(half)), 5);
  });
  const chunks = await collect(upstream.client.stream(request()));
  assert.deepEqual(chunks, [
    { type: 'text', text: 'Grüß ' },
    { type: 'text', text: 'Gott' },
    { type: 'usage', usage: { inputTokens: 3, outputTokens: 2, totalTokens: 5, cachedInputTokens: 1 } },
    { type: 'tool-call', call: { callId: 'a', name: 'orders__list', arguments: '{"x":1}' } },
    { type: 'end', finishReason: 'tool_calls' },
  ]);
  assert.equal(upstream.headers[0]?.authorization, 'Bearer sk-canary');
  assert.equal(upstream.headers[0]?.['x-litellm-end-user-id'], 'hash');
  const [body] = upstream.bodies;
  assert.equal(body?.stream, true);
  assert.deepEqual(
    ((body?.messages ?? []) as { role: string }[]).map(({ role }) => role),
    ['system', 'user', 'assistant', 'tool'],
  );
});

test('a stream that ends without a finish_reason is truncated, never completed; its terminator alone may be missing', async () => {
  for (const last of ['', 'data: [DONE]\n\n']) {
    await using upstream = await provider((_request, response) => {
      open(response);
      response.end(data({ choices: [{ delta: { content: 'half' } }] }) + last);
    });
    await assert.rejects(collect(upstream.client.stream(request())), { code: 'upstream_truncated' });
  }
  for (const cut of ['\n\n', '\n', '']) {
    await using upstream = await provider((_request, response) => {
      open(response);
      const finished = { choices: [{ delta: {}, finish_reason: 'stop' }] };
      response.end(`${data({ choices: [{ delta: { content: 'whole' } }] })}data: ${JSON.stringify(finished)}${cut}`);
    });
    const chunks = await collect(upstream.client.stream(request()));
    assert.deepEqual(chunks.at(-1), { type: 'end', finishReason: 'stop' });
  }
});

test('M7 a provider that sends an event without end is cut at 1 MiB', async () => {
  await using upstream = await provider((_request, response) => {
    open(response);
    // Lines of their own, so that only the event is too long.
    for (let sent = 0; sent < 1_500_000; sent += 10_000) response.write(`data: ${'x'.repeat(9_993)}\n`);
  });
  await assert.rejects(collect(upstream.client.stream(request())), { code: 'upstream_truncated' });
});

test('an error event in mid-stream fails the call', async () => {
  await using upstream = await provider((_request, response) => {
    open(response);
    response.end(data({ choices: [{ delta: { content: 'half' } }] }) + data({ error: { message: 'key sk-canary' } }));
  });
  await assert.rejects(
    collect(upstream.client.stream(request())),
    (error: Error) => error instanceof ModelError && !error.message.includes('sk-canary'),
  );
});

const refusals: [status: number, body: string, code: string, requests: number][] = [
  [401, '{"error":"key sk-canary is bad"}', 'model_credential', 1],
  [400, '{"error":{"type":"no_db_connection"}}', 'model_credential', 1],
  [400, '{"error":"unknown model"}', 'model_rejected', 1],
  [422, '{"error":{"type":"budget_exceeded"}}', 'model_over_budget', 1],
  [429, '{"error":"slow down"}', 'model_rate_limited', 3],
  [500, '{"error":"boom"}', 'model_unavailable', 3],
];
for (const [status, body, code, requests] of refusals)
  test(`status ${status} ${body} is ${code} after ${requests} request${requests > 1 ? 's' : ''}, and repeats nothing of the answer`, async () => {
    await using upstream = await provider((_request, response) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(body),
    );
    await assert.rejects(collect(upstream.client.stream(request())), (error: Error) => {
      assert.ok(error instanceof ModelError);
      assert.equal(error.code, code);
      assert.ok(!error.message.includes('sk-canary'));
      return true;
    });
    assert.equal(upstream.bodies.length, requests);
  });

test('a failure before the first chunk is tried again, and then works', async () => {
  let calls = 0;
  await using upstream = await provider((_request, response) => {
    if (++calls === 1) return response.writeHead(503, { 'retry-after': '1' }).end();
    open(response);
    return response.end(`${data({ choices: [{ delta: { content: 'ok' }, finish_reason: 'stop' }] })}data: [DONE]\n\n`);
  });
  const chunks = await collect(upstream.client.stream(request()));
  assert.deepEqual(chunks[0], { type: 'text', text: 'ok' });
});

test('who leaves closes the request to the provider', async () => {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  await using upstream = await provider((incoming, response) => {
    open(response);
    response.write(data({ choices: [{ delta: { content: 'x' } }] }));
    incoming.socket.once('close', () => resolve());
  });
  const controller = new AbortController();
  await assert.rejects(
    (async () => {
      for await (const chunk of upstream.client.stream(request(controller.signal)))
        if (chunk.type === 'text') controller.abort(new Error('left'));
    })(),
    /left/,
  );
  await closed;
});

test('a provider that cannot be reached is unavailable', async () => {
  const upstream = await provider(() => undefined);
  await upstream[Symbol.asyncDispose]();
  const egress = createEgress({ privateNetworks: ['127.0.0.1/32'] });
  const client = createOpenAiClient({
    egress,
    baseUrl: 'http://127.0.0.1:9/v1',
    model: 'm',
    credential: async () => undefined,
  });
  await assert.rejects(collect(client.stream(request())), { code: 'model_unavailable' });
  await egress.close();
});
