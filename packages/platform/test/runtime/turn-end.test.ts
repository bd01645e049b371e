import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { SessionEvent } from '@onbehalf/resources';
import { ModelError } from '../../src/models/index.ts';
import { StoreError, type TurnRow } from '../../src/store/index.ts';
import { type Chain, startChain } from './chain.ts';
import { aborted, END, gate, type Script, USAGE } from './scripted-model.ts';

describe('how a turn ends when something goes wrong', () => {
  let chain: Chain;
  beforeEach(async () => {
    chain = await startChain();
    await chain.ready();
  });
  afterEach(() => chain?.close());

  const row = async (id: string) => {
    const query = chain.store.builder.selectFrom('turns').selectAll().where('id', '=', id).compile();
    const [found] = await chain.store.read<TurnRow>(query);
    assert.ok(found);
    return found;
  };
  async function start(user: string, script: Script, session?: string) {
    chain.model.script = script;
    const id = session ?? (await chain.session(user)).id;
    const turn = await chain.runtime.start(chain.input(id, user, 'hello', await chain.sts.user(user)), chain.agent());
    return { session: id, turn };
  }
  const said = (events: readonly SessionEvent[]) =>
    events.flatMap((event) => (event.type === 'message' && event.data.role === 'assistant' ? [event.data] : []));
  /** Every commit whose unit says `what` fails as on a full disk, until the returned function is called. */
  function refuse(what: string) {
    const { commit } = chain.store;
    const state = { refused: 0 };
    chain.store.commit = (unit) => {
      if (!JSON.stringify(unit).includes(what)) return commit(unit);
      state.refused++;
      return Promise.reject(new StoreError('store_full', 'no space left for the store'));
    };
    const mend = () => {
      chain.store.commit = commit;
    };
    return { state, mend };
  }

  test('a stop keeps what was said and books it, wherever between two chunks it comes', async () => {
    // The moments of one answer: after the text, after its usage, after the end was told.
    const chunks = [
      { type: 'text', text: 'Hello ' },
      { type: 'text', text: 'Alice' },
      { type: 'usage', usage: USAGE },
    ] as const;
    for (let moment = 1; moment <= chunks.length; moment++) {
      const reached = gate();
      const { session, turn } = await start('alice', async function* ({ signal }) {
        for (const [index, chunk] of chunks.entries()) {
          yield chunk;
          if (index + 1 < moment) continue;
          reached.open();
          // The model itself notices nothing, and goes on.
          await aborted(signal).catch(() => undefined);
        }
        yield END;
      });
      await reached.opened;
      await chain.runtime.stop(session);
      const result = await chain.runtime.finished(session, turn);
      assert.equal(result.state, 'stopped', `${moment}`);
      const [message] = said(await chain.runtime.history(session));
      assert.ok(message?.truncated === true && message.text.startsWith('Hello '), `${moment}: ${message?.text}`);
      assert.ok(result.usage.outputTokens > 0, `${moment}: nothing was booked`);
      assert.equal(JSON.parse((await row(turn)).usage ?? '{}').outputTokens, result.usage.outputTokens);
      const calls = (await chain.audit.trace(turn)).filter(({ entry }) => entry.type === 'model.call');
      assert.equal(calls.length, 1, `${moment}: booked once`);
    }
  });

  test('how the last answer ended is told with the turn, and an answer that is not whole is marked', async () => {
    const ends = { stop: undefined, length: 'length', content_filter: 'content_filter', refusal: 'refusal' };
    for (const [finishReason, code] of Object.entries(ends)) {
      const { session, turn } = await start('alice', async function* () {
        yield { type: 'text', text: 'an answer' };
        yield { type: 'usage', usage: USAGE };
        yield { type: 'end', finishReason };
      });
      const result = await chain.runtime.finished(session, turn);
      assert.deepEqual([result.state, result.code, result.text], ['completed', code, 'an answer']);
      const history = await chain.runtime.history(session);
      const ended = history.find(({ type }) => type === 'turn.ended');
      assert.equal(
        ended?.type === 'turn.ended' && typeof ended.data.message,
        code === undefined ? 'undefined' : 'string',
      );
      assert.equal(said(history)[0]?.truncated, code === 'length' || code === 'content_filter' ? true : undefined);
    }
  });

  test('a model call that is refused is one line of the audit, with its code and the provider’s own words', async () => {
    // biome-ignore lint/correctness/useYield: it is refused before its first word.
    const { session, turn } = await start('alice', async function* () {
      throw new ModelError('model_rejected', 'the provider refused the request with 400 (no tools here)');
    });
    const result = await chain.runtime.finished(session, turn);
    assert.deepEqual([result.state, result.code, result.usage.totalTokens], ['failed', 'model_rejected', 0]);
    const calls = (await chain.audit.trace(turn)).filter(({ entry }) => entry.type === 'model.call');
    assert.deepEqual(
      calls.map(({ entry }) => [entry.outcome, entry.code, entry.reason, entry.data?.totalTokens]),
      [['failed', 'model_rejected', 'the provider refused the request with 400 (no tools here)', 0]],
    );
  });

  test('a turn whose last commit fails is ended as soon as it can be written, with its text and its usage; others run meanwhile', async () => {
    const { state, mend } = refuse('turn.ended');
    const { session, turn } = await start('alice', async function* () {
      yield { type: 'text', text: 'the answer' };
      yield { type: 'usage', usage: USAGE };
      yield END;
    });
    while (state.refused === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await row(turn)).state, 'running');
    mend();
    // Another turn runs all the while.
    const other = gate();
    const second = await start('bob', async function* () {
      yield { type: 'text', text: 'x' };
      await other.opened;
      yield END;
    });
    const result = await chain.runtime.finished(session, turn);
    assert.deepEqual([result.state, result.text, result.usage], ['completed', 'the answer', USAGE]);
    assert.equal((await chain.runtime.sessions.get(session)).turn, undefined);
    other.open();
    assert.equal((await chain.runtime.finished(second.session, second.turn)).state, 'completed');
  });

  test('what could not be written in the turn goes with its end: the disk is full from the first word on', async () => {
    const full = gate();
    const told = gate();
    const { session, turn } = await start('alice', async function* () {
      yield { type: 'text', text: 'before the disk was full' };
      told.open();
      await full.opened;
      yield { type: 'text', text: ' and after' };
      yield { type: 'usage', usage: USAGE };
      yield END;
    });
    await told.opened;
    const { state, mend } = refuse(turn);
    full.open();
    while (state.refused === 0) await new Promise((resolve) => setImmediate(resolve));
    mend();
    const result = await chain.runtime.finished(session, turn);
    assert.deepEqual([result.state, result.code], ['failed', 'store_unavailable']);
    assert.match(result.text, /^before the disk was full/);
    assert.ok(result.usage.outputTokens > 0);
    const calls = (await chain.audit.trace(turn)).filter(({ entry }) => entry.type === 'model.call');
    assert.equal(calls.length, 1);
    const seqs = (await chain.runtime.history(session)).map(({ seq }) => seq);
    assert.deepEqual(
      seqs,
      seqs.map((_, index) => index + 1),
    );
  });

  test('a server that stops does not wait for an end that cannot be written: the next one interrupts the turn', async () => {
    const { state, mend } = refuse('turn.ended');
    const { session, turn } = await start('alice', async function* () {
      yield { type: 'text', text: 'the answer' };
      yield END;
    });
    while (state.refused === 0) await new Promise((resolve) => setImmediate(resolve));
    const began = performance.now();
    await chain.runtime.drain(50);
    assert.ok(performance.now() - began < 900);
    mend();
    const next = await chain.replica(() => Date.now() + 30_000);
    const result = await next.finished(session, turn);
    assert.deepEqual([result.state, result.text], ['interrupted', 'the answer']);
    next.close();
  });

  test('a turn that nobody holds any more keeps its text, marked, and its cost is booked', async () => {
    const { session, turn } = await start('alice', async function* ({ signal }) {
      yield { type: 'text', text: 'half an ans' };
      await aborted(signal);
    });
    while (!(await chain.runtime.history(session)).some(({ type }) => type === 'delta'))
      await new Promise((resolve) => setImmediate(resolve));
    const next = await chain.replica(() => Date.now() + 30_000);
    const result = await next.finished(session, turn);
    assert.deepEqual([result.state, result.text], ['interrupted', 'half an ans']);
    const history = await next.history(session);
    assert.deepEqual(said(history), [{ role: 'assistant', text: 'half an ans', truncated: true }]);
    assert.ok(result.usage.outputTokens > 0);
    assert.equal(JSON.parse((await row(turn)).usage ?? '{}').outputTokens, result.usage.outputTokens);
    const [line] = (await chain.audit.trace(turn)).filter(({ entry }) => entry.type === 'model.call');
    assert.deepEqual(
      [line?.entry.outcome, line?.entry.principal?.subject, line?.entry.data?.estimated],
      ['unknown', 'alice', true],
    );
    next.close();
  });

  test('a session that is removed under its turn ends it, and leaves no row that is swept for ever', async () => {
    const { session, turn } = await start('alice', async function* ({ signal }) {
      yield { type: 'text', text: 'x' };
      await aborted(signal);
    });
    await chain.runtime.sessions.remove(session);
    await chain.runtime.ended(turn);
    const ended = await row(turn);
    assert.deepEqual([ended.state, ended.lease_until], ['stopped', null]);
  });

  test('rows that nobody can end do not keep the others from their end: 450 of removed sessions, one whose log is damaged, one that is refused', async () => {
    const { builder } = chain.store;
    const { turn: model, session } = await start('alice', async function* () {
      yield { type: 'text', text: 'x' };
      yield END;
    });
    await chain.runtime.finished(session, model);
    const pattern = await row(model);
    const [known] = await chain.store.read(
      builder.selectFrom('sessions').selectAll().where('id', '=', session).compile(),
    );
    assert.ok(known);
    const abandon = (id: string, more: { deleted_at: number | null; damaged?: boolean }) => [
      {
        query: builder
          .insertInto('sessions')
          .values({ ...known, id: `s-${id}`, turn: id, last_seq: 1, deleted_at: more.deleted_at })
          .compile(),
      },
      {
        query: builder
          .insertInto('turns')
          .values({
            ...pattern,
            ...{ id, session: `s-${id}`, seq: 1, state: 'running', lease_until: 1, ended_at: null, usage: null },
          })
          .compile(),
      },
      {
        query: builder
          .insertInto('events')
          .values({
            ...{ session: `s-${id}`, seq: 1, turn: id, step: null, at: '', message_id: null, part_index: null },
            ...{ call_id: null, type: more.damaged ? 'no such type' : 'cleared', data: '{}' },
          })
          .compile(),
      },
    ];
    const ids = Array.from({ length: 450 }, (_, index) => `a-${index}`);
    await chain.store.commit({
      statements: [
        ...ids.flatMap((id) => abandon(id, { deleted_at: 1 })),
        ...abandon('b-damaged', { deleted_at: null, damaged: true }),
        ...abandon('b-refused', { deleted_at: null }),
        ...abandon('c-last', { deleted_at: null }),
      ],
    });
    const { commit } = chain.store;
    chain.store.commit = (unit) =>
      JSON.stringify(unit).includes('b-refused')
        ? Promise.reject(new StoreError('statement_invalid', 'no such statement'))
        : commit(unit);
    const problems: unknown[] = [];
    const next = await chain.replica(Date.now, (error) => problems.push(error));
    assert.equal((await row('c-last')).state, 'interrupted');
    assert.equal((await row('b-damaged')).state, 'interrupted');
    assert.ok(
      problems.length >= 1 && problems.every((error) => /no such statement/.test(String(error))),
      'told to the log',
    );
    const open = builder.selectFrom('turns').select('id').where('state', '=', 'running');
    assert.deepEqual(await chain.store.read(open.compile()), [{ id: 'b-refused' }]);
    next.close();
  });

  test('a command that comes while the ones before it are read is not marked as obeyed', async () => {
    const { session, turn } = await start('alice', async function* ({ signal }) {
      yield { type: 'text', text: 'x' };
      await aborted(signal);
    });
    const { builder, commit } = chain.store;
    const late = builder
      .insertInto('turn_commands')
      .values({ turn, command: 'approve', data: null, at: '', consumed_at: null });
    let once = false;
    chain.store.commit = async (unit) => {
      if (!once && JSON.stringify(unit).includes('consumed_at\\" = ')) {
        once = true;
        await commit({ statements: [{ query: late.compile(), expect: 1 }] });
      }
      return commit(unit);
    };
    await chain.runtime.stop(session);
    await chain.runtime.ended(turn);
    const commands = builder.selectFrom('turn_commands').select(['command', 'consumed_at']).where('turn', '=', turn);
    let found: { command: string; consumed_at: number | null }[] = [];
    while (!found.some(({ consumed_at }) => consumed_at !== null)) {
      await new Promise((resolve) => setImmediate(resolve));
      found = await chain.store.read(commands.compile());
    }
    assert.ok(once);
    assert.deepEqual(
      found.map(({ command, consumed_at }) => [command, consumed_at !== null]),
      [
        ['stop', true],
        ['approve', false],
      ],
    );
  });
});
