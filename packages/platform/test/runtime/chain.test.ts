import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { holdsToken } from '../../../../tests/holds-token.ts';
import { type Chain, startChain } from './chain.ts';

const BOTH = 'What have I ordered, show the details of the latest one, and how many vacation days do I have left?';

describe('a turn through real tool servers', () => {
  let chain: Chain;
  before(async () => {
    chain = await startChain();
    await chain.ready();
  });
  after(() => chain.close());

  test('nothing is exchanged before the first tool call; then once per session and target, and the servers see it', async () => {
    const count = () =>
      chain.sts.requests.filter((request) => request.form.get('grant_type')?.includes('token-exchange')).length;
    const start = count();
    const plain = await chain.say('alice', 'hello');
    assert.equal(plain.state, 'completed');
    assert.equal(count(), start);
    const result = await chain.say('alice', BOTH);
    assert.equal(result.state, 'completed', JSON.stringify(result));
    assert.deepEqual(
      result.toolCalls.map((call) => `${call.server}.${call.tool} ${call.exchange?.result}`),
      ['orders.list_orders exchanged', 'hr.get_balance exchanged', 'orders.get_order cached'],
    );
    assert.equal(count() - start, 2);
    const [orders] = chain.seen.orders.slice(-1);
    const [hr] = chain.seen.hr.slice(-1);
    assert.equal(orders?.sub, 'alice');
    assert.deepEqual([orders?.aud, hr?.aud].flat(), [chain.orders.url, chain.hr.url]);
    assert.deepEqual(Object(orders?.act).sub, 'agent:default/assistant');
    assert.match(result.text, /Desk lamp for alice/);
  });

  test('two people interleaved never see each other', async () => {
    const turns = await Promise.all(
      Array.from({ length: 20 }, (_, index) => chain.say(index % 2 === 0 ? 'alice' : 'bob', BOTH)),
    );
    turns.forEach((turn, index) => {
      const [own, other] = index % 2 === 0 ? ['alice', 'bob'] : ['bob', 'alice'];
      assert.ok(turn.text.includes(`Desk lamp for ${own}`), turn.text);
      assert.ok(!turn.text.includes(`for ${other}`), turn.text);
    });
  });

  test('X6 X10 a token service that misbehaves: nothing reaches the tool server, a tool error in the turn, a line in the audit', async () => {
    const expected = {
      wrong_audience: 'untrusted_response',
      extra_audience: 'untrusted_response',
      other_subject: 'untrusted_response',
      no_act: 'untrusted_response',
      foreign_key: 'untrusted_response',
      redirect_307: 'untrusted_response',
    } as const;
    for (const [anomaly, code] of Object.entries(expected) as [keyof typeof expected, string][]) {
      const before = chain.seen.orders.length + chain.seen.hr.length;
      chain.sts.always(anomaly);
      const result = await chain.say('alice', 'list my orders');
      chain.sts.always(undefined);
      assert.equal(chain.seen.orders.length + chain.seen.hr.length, before, anomaly);
      assert.deepEqual(
        result.toolCalls.map((call) => [call.isError, call.code]),
        [[true, code]],
        anomaly,
      );
      assert.equal(result.state, 'completed');
      const lines = await chain.audit.trace(result.turn);
      assert.ok(
        lines.some(({ entry }) => entry.type === 'exchange' && entry.outcome === 'refused'),
        anomaly,
      );
      assert.ok(
        lines.some(({ entry }) => entry.type === 'tool.call' && entry.phase === 'outcome' && entry.outcome === 'error'),
        anomaly,
      );
    }
  });

  test('a tool that needs an approval is not called', async () => {
    const before = chain.seen.orders.length;
    const result = await chain.say('alice', 'refund my order A-1001 please');
    assert.deepEqual(
      result.toolCalls.map((call) => [call.tool, call.code]),
      [['refund_order', 'approval_unavailable']],
    );
    assert.equal(chain.seen.orders.length, before);
  });

  test('the model may call in parallel, wrongly, or without end: the turn stays in hand', async () => {
    const parallel = await chain.say('bob', 'list my orders !parallel');
    assert.equal(parallel.toolCalls.length, 5);
    assert.ok(parallel.toolCalls.every((call) => call.isError === false));
    assert.equal(parallel.toolCalls.filter((call) => call.exchange?.result === 'exchanged').length, 1);
    const unknown = await chain.say('bob', 'list my orders !unknown-tool');
    assert.deepEqual(
      unknown.toolCalls.map((call) => call.code),
      ['tool_unknown'],
    );
    const bad = await chain.say('bob', 'list my orders !bad-arguments');
    assert.deepEqual(
      bad.toolCalls.map((call) => call.code),
      ['bad_arguments'],
    );
    const loop = await chain.say('bob', 'list my orders !loop');
    assert.deepEqual([loop.state, loop.code], ['failed', 'max_steps']);
    const error = await chain.say('bob', 'list my orders !error');
    assert.deepEqual([error.state, error.code], ['failed', 'model_unavailable']);
    const truncated = await chain.say('bob', 'what can you do !truncated');
    assert.deepEqual([truncated.state, truncated.code], ['failed', 'upstream_truncated']);
    assert.ok(truncated.text.length > 0, 'what was said so far is kept');
    assert.ok(truncated.usage.outputTokens > 0, 'and booked');
  });

  test('what was refused by the policy is a tool error and an audit line', async () => {
    const deny = { effect: 'deny', rule: 'tool_denied', reason: 'a grant forbids the tool' } as const;
    const allow = { effect: 'allow', rule: 'x', reason: 'x' } as const;
    const result = await chain.say('alice', 'list my orders', {
      input: { authorize: { run: () => allow, tool: () => deny } },
    });
    assert.deepEqual(
      result.toolCalls.map((call) => call.code),
      ['tool_denied'],
    );
    const lines = await chain.audit.trace(result.turn);
    assert.ok(lines.some(({ entry }) => entry.type === 'refusal' && entry.rule === 'tool_denied'));
  });

  test('stop stops the server’s work, and a second turn runs at once', async () => {
    const session = (await chain.session('alice')).id;
    const subject = await chain.sts.user('alice');
    const turn = await chain.runtime.start(
      chain.input(session, 'alice', 'what can you do for me !slow', subject),
      chain.agent(),
    );
    await assert.rejects(chain.runtime.start(chain.input(session, 'alice', 'again', subject), chain.agent()), {
      code: 'turn_running',
    });
    assert.equal(await chain.runtime.stop(session), turn);
    const result = await chain.runtime.finished(session, turn);
    assert.equal(result.state, 'stopped');
    if (result.text !== '') assert.ok(result.usage.outputTokens > 0, 'what was aborted is booked');
    assert.equal(await chain.runtime.stop(session), undefined);
    assert.equal((await chain.say('alice', 'hello', { session })).state, 'completed');
  });

  test('a message that is sent again with its key is one turn', async () => {
    const session = (await chain.session('alice')).id;
    const subject = await chain.sts.user('alice');
    const once = await chain.runtime.start(
      chain.input(session, 'alice', 'hello', subject, { idempotencyKey: 'k' }),
      chain.agent(),
    );
    await chain.runtime.finished(session, once);
    assert.equal(
      await chain.runtime.start(
        chain.input(session, 'alice', 'hello', subject, { idempotencyKey: 'k' }),
        chain.agent(),
      ),
      once,
    );
  });

  test('events are dense, resumable after any number, and follow live', async () => {
    const session = await chain.session('bob');
    const controller = new AbortController();
    const live: number[] = [];
    const following = (async () => {
      for await (const event of chain.runtime.follow(session, 0, controller.signal)) {
        live.push(event.seq);
        if (event.type === 'turn.ended') controller.abort();
      }
    })();
    await chain.say('bob', BOTH, { session: session.id });
    await following;
    const stored = await chain.runtime.sessions.get(session.id);
    const all = await chain.runtime.events(stored, 0, 500);
    assert.deepEqual(
      all.map((event) => event.seq),
      all.map((_, index) => index + 1),
    );
    assert.deepEqual(
      live,
      all.map((event) => event.seq),
    );
    assert.deepEqual(
      (await chain.runtime.events(stored, 5, 500)).map((event) => event.seq),
      all.slice(5).map((event) => event.seq),
    );
    await assert.rejects(chain.runtime.events(stored, 10_000), { code: 'after_beyond_end' });
    const order = all.filter((event) => event.callId !== undefined).map((event) => event.type);
    assert.ok(
      order.indexOf('tool.call') < order.indexOf('exchange') &&
        order.indexOf('exchange') < order.indexOf('tool.result'),
    );
    assert.ok(!holdsToken(JSON.stringify(all)), 'an event holds a token');
  });
});
