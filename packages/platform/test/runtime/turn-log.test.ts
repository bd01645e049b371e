import assert from 'node:assert/strict';
import { after, before, describe, mock, test } from 'node:test';
import type { SessionEvent } from '@onbehalf/resources';
import { EventLog } from '../../src/runtime/event-log.ts';
import type { EventDraft } from '../../src/runtime/index.ts';
import { Sessions } from '../../src/runtime/sessions.ts';
import { TurnClock } from '../../src/runtime/turn-clock.ts';
import { TurnLog } from '../../src/runtime/turn-log.ts';
import { turnStatements } from '../../src/runtime/turn-rows.ts';
import { type SqliteStore, StoreError } from '../../src/store/index.ts';
import { storeFolder } from '../store/folder.ts';

const AGENT = { uid: 'agent-1', namespace: 'default', name: 'assistant' };
const ALICE = { issuer: 'https://i.example', subject: 'alice' };
const BOB = { issuer: 'https://i.example', subject: 'bob' };
const delta = (text: string, messageId = 'm'): EventDraft => ({ type: 'delta', step: 1, messageId, data: { text } });
const ended: EventDraft = { type: 'turn.ended', data: { state: 'completed' } };
const step: EventDraft = { type: 'step.ended', step: 1, data: { finishReason: 'stop', toolCalls: 0 } };

describe('the log of a session, and of a turn in it', () => {
  const data = storeFolder();
  let store: SqliteStore;
  let log: EventLog;
  let sessions: Sessions;
  before(async () => {
    store = await data.open();
    log = new EventLog(store, Date.now);
    sessions = new Sessions(store, Date.now);
  });
  after(() => data[Symbol.asyncDispose]());

  const session = async (owner = ALICE) => (await sessions.create({ agent: AGENT, owner, door: 'api' })).id;

  /** A session with a turn that is held here, and that turn's log. */
  async function turn(holder = store.writer) {
    const rows = turnStatements(store);
    const held = { id: crypto.randomUUID(), holder, fence: 1 };
    const id = await session();
    await store.commit({
      statements: [
        rows.claimSession(id, held.id),
        rows.insert({
          ...held,
          ...{ session: id, seq: 1, state: 'running', code: null, lease_until: 1, agent_uid: 'agent-1' },
          ...{ agent_generation: 1, principal: '{}', login_session: null, door: 'api', idempotency_key: null },
          ...{ started_at: 1, ended_at: null, usage: null },
        }),
      ],
    });
    const failed: unknown[] = [];
    const own = { ...held, session: id };
    const of = (turnHeld = own) =>
      new TurnLog({ log, rows, turn: turnHeld, lastSeq: 0, onFailed: (error) => failed.push(error) });
    return { id, held: own, turnLog: of(), of, failed, events: () => log.readAll(id) };
  }
  /** What is refused until the returned function is called. */
  function full() {
    const { commit } = store;
    store.commit = () => Promise.reject(new StoreError('store_full', 'no space left for the store'));
    return () => {
      store.commit = commit;
    };
  }
  const typesOf = (events: readonly SessionEvent[]) => events.map(({ type }) => type);

  test('text is gathered, and stands before whatever is written after it', async () => {
    const { turnLog, events } = await turn();
    for (const word of ['one ', 'two ', 'three']) await turnLog.emit(delta(word));
    await turnLog.write([step]);
    const [gathered, second] = await events();
    assert.deepEqual(
      [gathered?.type, gathered?.data, second?.type],
      ['delta', { text: 'one two three' }, 'step.ended'],
    );
  });

  test('texts of two messages are two events, and a long one is not held back', async () => {
    const { turnLog, events } = await turn();
    await turnLog.emit(delta('a', 'm1'));
    await turnLog.emit(delta('b', 'm2'));
    await turnLog.emit(delta('x'.repeat(1_025), 'm2'));
    await turnLog.emit(delta('y', 'm2'));
    await turnLog.settled();
    assert.deepEqual(
      (await events()).map((event) => (event.type === 'delta' ? event.data.text.length : 0)),
      [1, 1_026, 1],
    );
  });

  test('what is only told is kept where it cannot be written, and goes with the end, in its order; what is asked for is refused', async () => {
    const { turnLog, events, failed } = await turn();
    const mend = full();
    await turnLog.emit(delta('half '));
    await turnLog.emit(delta('an answer'));
    await turnLog.emit({
      type: 'message',
      step: 1,
      messageId: 'm',
      data: { role: 'assistant', text: 'half an answer' },
    });
    await assert.rejects(turnLog.write([step]), { code: 'store_full' });
    assert.deepEqual(
      turnLog.kept.map(({ type }) => type),
      ['delta', 'message'],
    );
    assert.ok(failed.length > 0);
    await assert.rejects(turnLog.end([ended], {}), { code: 'store_full' });
    mend();
    await turnLog.end([ended], {});
    const stored = await events();
    assert.deepEqual(typesOf(stored), ['delta', 'message', 'turn.ended']);
    assert.deepEqual(
      stored.map(({ seq }) => seq),
      [1, 2, 3],
    );
  });

  test('every way of writing is fenced: by the number of the fence and by the holder', async () => {
    const { held, of, events } = await turn();
    for (const stale of [
      { ...held, fence: 0 },
      { ...held, fence: 2 },
      { ...held, holder: 'somebody else' },
    ]) {
      const late = of(stale);
      await assert.rejects(late.write([step]), { code: 'turn_lost' });
      await late.emit(step);
      await late.emit(delta('x'));
      await late.settled();
      await assert.rejects(late.end([ended], {}), { code: 'turn_lost' });
      await assert.rejects(late.write([], { statements: [turnStatements(store).setState(held.id, 'awaiting_auth')] }), {
        code: 'turn_lost',
      });
    }
    assert.deepEqual(await events(), []);
    const [row] = await store.read<{ state: string }>(
      store.builder.selectFrom('turns').select('state').where('id', '=', held.id).compile(),
    );
    assert.equal(row?.state, 'running');
  });

  test('nothing is written to a session that was removed', async () => {
    const { id, turnLog } = await turn();
    await sessions.remove(id);
    await assert.rejects(turnLog.write([step]), { code: 'turn_lost' });
    await assert.rejects(sessions.get(id), { code: 'session_not_found' });
    await assert.rejects(sessions.rename(id, 'x'), { code: 'precondition_failed' });
  });

  test('two who append at once get numbers without a gap: one of them is told to look again', async () => {
    const id = await session();
    const append = () => log.append({ session: id, turn: '', lastSeq: 0 }, [{ type: 'cleared', data: {} }]);
    const both = await Promise.allSettled([append(), append()]);
    assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    assert.deepEqual(
      (await log.readAll(id)).map(({ seq }) => seq),
      [1],
    );
  });

  test('a follower sees what was there, however much, and what comes, each once; it leaves no listener behind', async () => {
    const id = await session();
    const cleared: EventDraft = { type: 'cleared', data: {} };
    for (let page = 0; page < 3; page++)
      await log.append(
        { session: id, turn: '', lastSeq: page * 400 },
        Array.from({ length: 400 }, () => cleared),
      );
    const controller = new AbortController();
    const seen: number[] = [];
    for await (const { seq } of log.follow(id, 100, controller.signal)) {
      seen.push(seq);
      if (seq === 1_200) await log.append({ session: id, turn: '', lastSeq: 1_200 }, [cleared]);
      if (seq === 1_201) controller.abort();
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 1_101 }, (_, index) => index + 101),
    );
    const gone = new AbortController();
    gone.abort();
    for await (const _event of log.follow(id, 0, gone.signal)) assert.fail('it was told something after it had left');
  });

  test('people see their own sessions, newest first, of one agent or of all', async () => {
    const mine = [await session(BOB), await session(BOB)];
    await log.append({ session: mine[0] ?? '', turn: '', lastSeq: 0 }, [{ type: 'cleared', data: {} }]);
    await sessions.rename(mine[1] ?? '', 'Second');
    const listed = await sessions.list({ owner: BOB });
    assert.deepEqual(new Set(listed.map(({ id }) => id)), new Set(mine));
    assert.equal(listed.find(({ id }) => id === mine[1])?.title, 'Second');
    assert.equal(await sessions.count(BOB), 2);
    assert.equal((await sessions.list({ owner: BOB, agentUid: 'another' })).length, 0);
    assert.equal((await sessions.list({ owner: BOB, limit: 1 })).length, 1);
  });
});

test('running and waiting are counted apart: what a turn waits for its person takes nothing of its time', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let at = 0;
  const now = mock.method(performance, 'now', () => at);
  const pass = (ms: number) => {
    at += ms;
    mock.timers.tick(ms);
  };
  try {
    const late: string[] = [];
    const clock = new TurnClock({ running: 1_000, waiting: 5_000 }, ({ code }) => late.push(code));
    pass(600);
    clock.wait();
    pass(4_999);
    assert.equal(late.length, 0);
    clock.run();
    pass(399);
    assert.equal(late.length, 0);
    pass(1);
    assert.deepEqual(late, ['max_duration']);
    clock.stop();
    const waits = new TurnClock({ running: 1_000, waiting: 5_000 }, ({ code }) => late.push(code));
    waits.wait();
    pass(5_000);
    assert.deepEqual(late, ['max_duration', 'user_token_required']);
    const stopped = new TurnClock({ running: 10, waiting: 10 }, ({ code }) => late.push(code));
    stopped.stop();
    pass(100);
    assert.equal(late.length, 2);
  } finally {
    now.mock.restore();
    mock.timers.reset();
  }
});
