import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ModelConfigSpec } from '@onbehalf/resources';
import type { ModelChunk, ModelRequest } from '../../src/models/index.ts';
import { createDeclarativeExecutor, type EventDraft, type TurnContext } from '../../src/runtime/index.ts';
import { END, USAGE } from './scripted-model.ts';

type Step = readonly ModelChunk[] | ((request: ModelRequest) => AsyncIterable<ModelChunk>);

/** Runs one turn of the loop over what the model says step by step; the runtime around it is left out. */
async function run(
  steps: readonly Step[],
  more: {
    declarative?: object;
    prices?: NonNullable<ModelConfigSpec['prices']>;
    signal?: AbortSignal;
    callTool?: TurnContext['callTool'];
    onEvent?: (event: EventDraft) => void;
  } = {},
) {
  const requests: ModelRequest[] = [];
  const executor = createDeclarativeExecutor({
    modelFor: () => ({
      model: 'm-1',
      ...(more.prices && { prices: more.prices }),
      client: {
        async *stream(request) {
          requests.push(structuredClone({ ...request, signal: undefined }) as unknown as ModelRequest);
          const step = steps[requests.length - 1] ?? [{ type: 'text', text: 'end' }, USED, END];
          yield* typeof step === 'function' ? step(request) : step;
        },
      },
    }),
    systemMessage: async () => 'Be careful.',
  });
  const called: string[] = [];
  const context = {
    ...{ session: 's', turn: 't', tools: [], caller: { issuer: 'i', subject: 'alice', endUser: 'hash' } },
    agent: { metadata: { name: 'assistant', uid: 'u' }, spec: { type: 'Declarative', declarative: more.declarative } },
    events: [
      {
        ...{ v: 1, session: 's', seq: 2, turn: 't', at: '', type: 'message', messageId: 'u' },
        data: { role: 'user', text: 'hello' },
      },
    ],
    signal: more.signal ?? new AbortController().signal,
    prompted: () => undefined,
    callTool:
      more.callTool ??
      (async (step, call) => {
        called.push(`${step} ${call.callId}`);
        return { callId: call.callId, name: call.name, output: `result of ${call.callId}`, isError: false };
      }),
  } as unknown as TurnContext;
  const events: EventDraft[] = [];
  let error: unknown;
  try {
    for await (const event of executor.run(context)) {
      events.push(event);
      more.onEvent?.(event);
    }
  } catch (thrown) {
    error = thrown;
  }
  return { events, requests, called, error, executor };
}

const USED: ModelChunk = { type: 'usage', usage: USAGE };
const text = (words: string): ModelChunk => ({ type: 'text', text: words });
const call = (callId: string): ModelChunk => ({
  type: 'tool-call',
  call: { callId, name: 'orders__list', arguments: '{}' },
});
const usagesOf = (events: readonly EventDraft[]) =>
  events.flatMap((event) => (event.type === 'usage' ? [event.data] : []));
const textsOf = (events: readonly EventDraft[]) =>
  events.flatMap((event) => (event.type === 'message' ? [[event.data.text, event.data.truncated === true]] : []));

describe('the own loop', () => {
  test('a step is a model call with the tool calls that follow; their results go back with the next, the system first', async () => {
    const { requests, called, events } = await run([[text('let me look'), call('c1'), call('c2'), USED, END]]);
    assert.deepEqual(called, ['1 c1', '1 c2']);
    assert.deepEqual(
      requests[1]?.messages.map(({ role }) => role),
      ['system', 'user', 'assistant', 'tool', 'tool'],
    );
    assert.deepEqual(
      events.map(({ type, step }) => `${type} ${step}`),
      [...['delta 1', 'usage 1', 'message 1', 'step.ended 1'], ...['delta 2', 'usage 2', 'message 2', 'step.ended 2']],
    );
  });

  test('two calls with one id, or without any, are two in the log', async () => {
    const { called } = await run([[call('c'), call('c'), call(''), USED, END]]);
    assert.equal(new Set(called).size, 3);
    assert.equal(called[0], '1 c');
  });

  test('what nobody counted is estimated, with what was read, and marked; what was counted is taken as it is', async () => {
    const { events } = await run([[text('12345678'), END]]);
    const [usage] = usagesOf(events);
    assert.deepEqual([usage?.outputTokens, usage?.estimated], [2, true]);
    assert.ok((usage?.inputTokens ?? 0) >= Math.ceil('Be careful.hello'.length / 4));
    const counted = await run([[text('12345678'), USED, END]]);
    assert.deepEqual(usagesOf(counted.events), [{ ...USAGE, model: 'm-1' }]);
  });

  test('the prices of the ModelConfig make a cost of each usage, an estimated one too', async () => {
    const prices = { inputPerMillion: 1_000_000, outputPerMillion: 2_000_000 };
    const counted = await run([[text('x'), USED, END]], { prices });
    assert.equal(usagesOf(counted.events)[0]?.costUsd, USAGE.inputTokens + 2 * USAGE.outputTokens);
    const [estimated] = usagesOf((await run([[text('x'), END]], { prices })).events);
    assert.equal(estimated?.costUsd, (estimated?.inputTokens ?? 0) + 2 * (estimated?.outputTokens ?? 0));
  });

  test('a model that breaks off: what it said is kept and marked, what it cost is booked once, and the reason goes on', async () => {
    const broken = new TypeError('gone');
    for (const counted of [true, false]) {
      const { events, error } = await run([
        async function* () {
          yield text('half');
          if (counted) yield USED;
          throw broken;
        },
      ]);
      assert.equal(error, broken);
      assert.deepEqual(textsOf(events), [['half', true]]);
      assert.equal(usagesOf(events).length, 1);
    }
    const silent = await run([
      // biome-ignore lint/correctness/useYield: it breaks before its first word.
      async function* () {
        throw broken;
      },
    ]);
    assert.deepEqual([textsOf(silent.events), silent.error], [[], broken]);
    assert.equal(usagesOf(silent.events)[0]?.estimated, true);
  });

  test('an abort closes the step after whatever came last, even where the model does not notice it', async () => {
    for (const last of ['delta', 'usage'] as const) {
      const controller = new AbortController();
      const reason = new Error('stopped');
      const { events, error, called } = await run([[text('a'), text('b'), USED, call('c'), END]], {
        signal: controller.signal,
        onEvent: (event) => {
          if (event.type === last) controller.abort(reason);
        },
      });
      assert.equal(error, reason);
      assert.deepEqual(textsOf(events), [[last === 'delta' ? 'a' : 'ab', true]]);
      assert.equal(usagesOf(events).length, 1);
      assert.deepEqual(called, []);
    }
  });

  test('every call of a step is waited for before its failure goes on', async () => {
    const done: string[] = [];
    const { error } = await run([[call('bad'), call('slow'), USED, END]], {
      async callTool(_step, { callId, name }) {
        if (callId === 'bad') throw new Error('lost');
        await new Promise((resolve) => setImmediate(resolve));
        done.push(callId);
        return { callId, name, output: '', isError: false };
      },
    });
    assert.deepEqual([done, String(error)], [['slow'], 'Error: lost']);
  });

  test('the number of steps has an end, and an agent may say which', async () => {
    const again = Array.from({ length: 5 }, () => [call(crypto.randomUUID()), USED, END]);
    const { error, requests } = await run(again, { declarative: { maxSteps: 3 } });
    assert.equal((error as { code?: string }).code, 'max_steps');
    assert.equal(requests.length, 3);
  });

  test('what the history had to drop is told; the time that an agent may take is its own', async () => {
    const { events, executor } = await run([[text('x'), USED, END]], {
      declarative: { context: { keepLastSteps: 1 } },
    });
    assert.equal(events[0]?.type, 'delta', 'nothing had to be dropped');
    const agent = (declarative: object) => ({ spec: { type: 'Declarative', declarative } }) as never;
    assert.equal(executor.maxDurationMs?.(agent({ maxTurnDuration: '90s' })), 90_000);
    assert.equal(executor.maxDurationMs?.(agent({})), undefined);
  });
});
