import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TokenExchangeError } from '@onbehalf/token-exchange';
import { nextVersion, replaceResource, type StoredResource, type TurnRow } from '../../src/store/index.ts';
import { type Chain, startChain } from './chain.ts';
import { aborted } from './scripted-model.ts';

describe('how many turns may run', () => {
  let chain: Chain;
  const allowed = new Map<string, number>();
  before(async () => {
    chain = await startChain({ runtime: { budget: { turnsRunning: ({ subject }) => allowed.get(subject) ?? 20 } } });
    await chain.ready();
    chain.model.script = async function* ({ signal }) {
      yield { type: 'text', text: 'x' };
      await aborted(signal);
    };
  });
  after(() => chain?.close());

  async function atOnce(most: number | undefined) {
    const before = chain.agent();
    const { maxConcurrentTurns: _, ...spec } = before.spec;
    const next = {
      ...before,
      spec: { ...spec, ...(most !== undefined && { maxConcurrentTurns: most }) },
      metadata: nextVersion(before, Date.now(), true),
    };
    const { revision } = await chain.store.commit({
      statements: [replaceResource(chain.store, next, before as StoredResource)],
      changes: [{ kind: 'Agent', key: before.metadata.uid, op: 'put' }],
    });
    await chain.registry.settled(revision);
  }
  async function start(user: string) {
    const { id } = await chain.session(user);
    await chain.runtime.start(chain.input(id, user, 'hello', await chain.sts.user(user)), chain.agent());
    return id;
  }
  /** What came of as many starts that come together. */
  async function together(user: string, count: number) {
    const started = await Promise.allSettled(Array.from({ length: count }, () => start(user)));
    return {
      sessions: started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])),
      codes: started.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : [])),
      messages: started.flatMap((one) => (one.status === 'rejected' ? [one.reason.message] : [])),
    };
  }
  async function stop(...sessions: string[]) {
    for (const session of sessions) {
      const turn = await chain.runtime.stop(session);
      if (turn) await chain.runtime.ended(turn);
    }
  }
  const count = async (state: string) => {
    const query = chain.store.builder.selectFrom('turns').selectAll().where('state', '=', state);
    return (await chain.store.read<TurnRow>(query.compile())).length;
  };

  test('an agent that runs one turn at once runs one, of five that are asked for together', async () => {
    await atOnce(1);
    const { sessions, codes, messages } = await together('alice', 5);
    assert.deepEqual([sessions.length, codes], [1, Array(4).fill('too_many_turns')]);
    assert.equal(await count('running'), 1);
    assert.match(messages[0], /assistant runs one turn at once, and every place is taken/);
    await stop(...sessions);
    await stop(await start('bob'));
  });

  test('one person takes at most half of the places, so that others have theirs', async () => {
    await atOnce(4);
    const alice = await together('alice', 6);
    assert.deepEqual([alice.sessions.length, alice.codes.length], [2, 4]);
    assert.match(alice.messages[0], /one person has at most 2/);
    const bob = await together('bob', 6);
    assert.equal(bob.sessions.length, 2);
    const carol = await together('carol', 1);
    assert.match(carol.messages[0], /every place is taken/);
    await stop(...alice.sessions, ...bob.sessions);
    await atOnce(undefined);
  });

  test('the budget "turns running" is each person’s own, over all agents, and is counted in the commit', async () => {
    allowed.set('alice', 3);
    const alice = await together('alice', 10);
    assert.deepEqual([alice.sessions.length, alice.codes], [3, Array(7).fill('over_budget')]);
    assert.match(alice.messages[0], /"turns running" is used up: you have 3/);
    const bob = await together('bob', 10);
    assert.equal(bob.sessions.length, 10);
    const { issuer } = chain.sts;
    const counts = ['alice', 'bob', 'carol'].map((subject) => chain.runtime.runningOf({ issuer, subject }));
    assert.deepEqual(await Promise.all(counts), [3, 10, 0], 'what /api/me says');
    await stop(...alice.sessions, ...bob.sessions);
    assert.equal((await together('alice', 1)).sessions.length, 1);
  });

  test('a turn that waits for its person to sign in again takes no place from the others', async () => {
    await atOnce(1);
    for (const { id } of await chain.runtime.sessions.list({})) await stop(id);
    const { script } = chain.model;
    chain.model.script = undefined;
    const over = {
      principal: { issuer: chain.sts.issuer, subject: 'alice' },
      refreshable: false,
      current: () => Promise.reject(new TokenExchangeError('user_token_required', 'it has ended')),
    };
    const waits = await chain.say('alice', 'list my orders', { subject: over });
    assert.equal(waits.state, 'awaiting_auth');
    assert.equal((await chain.say('bob', 'list my orders')).state, 'completed');
    await stop(waits.session);
    chain.model.script = script;
    await atOnce(undefined);
  });
});

describe('a message that is sent again', () => {
  let chain: Chain;
  before(async () => {
    chain = await startChain();
    await chain.ready();
  });
  after(() => chain?.close());

  test('with its key it is one turn, however many come together; another message with that key is refused, and both are named', async () => {
    const session = (await chain.session('alice')).id;
    const subject = await chain.sts.user('alice');
    const send = (content: string, source?: string) =>
      chain.runtime.start(
        chain.input(session, 'alice', content, subject, {
          idempotencyKey: 'k',
          ...(source !== undefined && { source }),
        }),
        chain.agent(),
      );
    const turns = await Promise.all(Array.from({ length: 5 }, () => send('hello')));
    assert.equal(new Set(turns).size, 1);
    await chain.runtime.finished(session, turns[0] ?? '');
    assert.equal(await send('hello'), turns[0]);
    for (const [content, source] of [['hello you'], ['hello', 'elsewhere']] as const)
      await assert.rejects(
        send(content, source),
        (error: { code?: string; message?: string }) =>
          error.code === 'idempotency_key_reused' &&
          /sha256 ([0-9a-f]{64}) then, (?!\1)[0-9a-f]{64} now/.test(error.message ?? ''),
      );
    const started = (await chain.runtime.history(session)).filter(({ type }) => type === 'turn.started');
    assert.equal(started.length, 1);
  });

  test('a key is one session’s own: in another it makes another turn', async () => {
    const subject = await chain.sts.user('alice');
    const turns = new Set<string>();
    for (let index = 0; index < 2; index++) {
      const session = (await chain.session('alice')).id;
      const input = chain.input(session, 'alice', `hello ${index}`, subject, { idempotencyKey: 'same' });
      turns.add(await chain.runtime.start(input, chain.agent()));
    }
    assert.equal(turns.size, 2);
  });
});
