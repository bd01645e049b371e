import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TokenExchangeError } from '@onbehalf/token-exchange';
import type { TurnRow } from '../../src/store/index.ts';
import { type Chain, startChain } from './chain.ts';
import { aborted, END, gate, USAGE } from './scripted-model.ts';

const call = (name: string, values: object = {}) => ({
  callId: crypto.randomUUID(),
  name,
  arguments: JSON.stringify(values),
});

describe('a turn that is addressed by its id', () => {
  let chain: Chain;
  before(async () => {
    chain = await startChain();
    await chain.ready();
  });
  after(() => chain?.close());

  const row = async (id: string) => {
    const query = chain.store.builder.selectFrom('turns').selectAll().where('id', '=', id).compile();
    const [found] = await chain.store.read<TurnRow>(query);
    assert.ok(found);
    return found;
  };
  const eventsOf = async (session: string, turn: string) =>
    (await chain.runtime.history(session)).filter((event) => event.turn === turn);

  /** A turn whose model says `text` and then waits for `more`, or for the end of the turn. */
  async function running(user: string, text = 'so far', options: { more?: Promise<void>; session?: string } = {}) {
    const said = gate();
    chain.model.script = async function* ({ signal }) {
      yield { type: 'text', text };
      said.open();
      await Promise.race([options.more ?? new Promise(() => undefined), aborted(signal)]);
      yield { type: 'usage', usage: USAGE };
      yield END;
    };
    const session = options.session ?? (await chain.session(user)).id;
    const turn = await chain.runtime.start(
      chain.input(session, user, 'hello', await chain.sts.user(user)),
      chain.agent(),
    );
    await said.opened;
    return { session, turn };
  }

  test('T1 a tool is called from outside of the loop, with the token of the turn’s own person, and no more after its end', async () => {
    const alice = await running('alice');
    const bob = await running('bob');
    const asAlice = await chain.runtime.callTool(alice.turn, 1, call('orders__list_orders'));
    const asBob = await chain.runtime.callTool(bob.turn, 1, call('orders__list_orders'));
    assert.match(asAlice.output, /Desk lamp for alice/);
    assert.match(asBob.output, /Desk lamp for bob/);
    assert.deepEqual(
      chain.seen.orders.slice(-2).map(({ sub }) => sub),
      ['alice', 'bob'],
    );
    const sent = chain.seen.orders.length;
    await chain.runtime.stop(alice.session);
    await chain.runtime.ended(alice.turn);
    await assert.rejects(chain.runtime.callTool(alice.turn, 1, call('orders__list_orders')), { code: 'turn_ended' });
    await assert.rejects(chain.runtime.callTool(crypto.randomUUID(), 1, call('orders__list_orders')), {
      code: 'turn_ended',
    });
    assert.equal(chain.seen.orders.length, sent);
    await chain.runtime.stop(bob.session);
    await chain.runtime.ended(bob.turn);
  });

  test('T1 while a turn waits for its person no new call is made in it', async () => {
    const { session, turn } = await running('alice');
    const bare = await chain.runtime.callTool(turn, 1, call('nothing'));
    assert.equal(bare.isError, true);
    await chain.runtime.stop(session);
    await chain.runtime.ended(turn);
    const over = {
      principal: { issuer: chain.sts.issuer, subject: 'alice' },
      refreshable: false,
      current: () => Promise.reject(new TokenExchangeError('user_token_required', 'it has ended')),
    };
    chain.model.script = undefined;
    const waits = await chain.say('alice', 'list my orders', { subject: over });
    assert.equal(waits.state, 'awaiting_auth');
    const sent = chain.seen.hr.length;
    await assert.rejects(chain.runtime.callTool(waits.turn, 2, call('hr__get_balance')), { code: 'turn_waiting' });
    assert.equal(chain.seen.hr.length, sent);
    await chain.runtime.stop(waits.session);
    await chain.runtime.ended(waits.turn);
  });

  test('a call from outside is decided, sent and written like the loop’s own', async () => {
    const { session, turn } = await running('bob');
    const refused = await chain.runtime.callTool(turn, 3, call('orders__refund_order', { id: 'B-1001' }));
    assert.equal(refused.isError, true);
    await chain.runtime.callTool(turn, 3, call('hr__get_balance'));
    await chain.runtime.stop(session);
    await chain.runtime.ended(turn);
    const types = (await eventsOf(session, turn)).filter(({ step }) => step === 3).map(({ type }) => type);
    assert.deepEqual(types, ['tool.call', 'tool.result', 'tool.call', 'tool.sent', 'exchange', 'tool.result']);
    const lines = (await chain.audit.trace(turn)).map(({ entry }) => entry).filter(({ step }) => step === 3);
    assert.deepEqual(
      lines.map(({ type, phase }) => `${type} ${phase}`),
      ['refusal single', 'tool.call intent', 'exchange single', 'tool.call outcome'],
    );
  });

  test('a call that is under way when its turn ends is ended first, and its outcome is written as unknown', async () => {
    const { session, turn } = await running('alice');
    const entered = gate();
    const orders = chain.tools.call;
    chain.tools.call = (request) => {
      entered.open();
      return aborted(request.signal);
    };
    const outside = chain.runtime.callTool(turn, 2, call('orders__list_orders'));
    const failed = assert.rejects(outside);
    await entered.opened;
    chain.tools.call = orders;
    await chain.runtime.stop(session);
    await failed;
    await chain.runtime.ended(turn);
    const lines = (await chain.audit.trace(turn)).map(({ entry }) => entry).filter(({ type }) => type === 'tool.call');
    assert.deepEqual(
      lines.map(({ phase, outcome }) => [phase, outcome]),
      [
        ['intent', undefined],
        ['outcome', 'unknown'],
      ],
    );
    assert.equal((await eventsOf(session, turn)).at(-1)?.type, 'turn.ended');
  });

  test('a holder that lost its lease cannot write: no event, no tool call, no end, and its own work stops', async () => {
    const more = gate();
    const { session, turn } = await running('alice', 'kept by the next holder', { more: more.opened });
    // A write of any kind stores the text so far with it.
    await chain.runtime.callTool(turn, 1, call('nothing'));
    // Half a minute later by the other server's clock: the lease is long over.
    const other = await chain.replica(() => Date.now() + 30_000);
    const ended = await row(turn);
    assert.deepEqual([ended.state, ended.code, Number(ended.fence)], ['interrupted', 'server_restarted', 2]);
    const before = await chain.runtime.history(session);
    const sent = chain.seen.orders.length;
    await assert.rejects(chain.runtime.callTool(turn, 1, call('orders__list_orders')), { code: 'turn_lost' });
    more.open();
    await chain.runtime.ended(turn);
    assert.equal(chain.seen.orders.length, sent);
    assert.deepEqual(await chain.runtime.history(session), before);
    assert.deepEqual(await row(turn), ended);
    assert.equal((await chain.runtime.finished(session, turn)).text, 'kept by the next holder');
    const lines = (await chain.audit.trace(turn)).map(({ entry }) => entry);
    assert.deepEqual(
      lines.filter(({ type }) => type === 'tool.call'),
      [],
      'an intent was written by who holds nothing',
    );
    // The session takes new input at once, at the other server as well.
    chain.model.script = undefined;
    assert.equal((await chain.say('alice', 'hello', { session })).state, 'completed');
    other.close();
  });

  test('a turn that another server holds is not called into here, and its lease is not renewed from here', async () => {
    const { session, turn } = await running('bob');
    const other = await chain.replica(Date.now);
    await assert.rejects(other.callTool(turn, 1, call('hr__get_balance')), { code: 'turn_elsewhere' });
    await chain.runtime.stop(session);
    await chain.runtime.ended(turn);
    assert.equal((await row(turn)).state, 'stopped');
    other.close();
  });

  test('what somebody told the session meanwhile moves the turn’s numbers, and ends nothing', async () => {
    const more = gate();
    const { session, turn } = await running('alice', 'hello', { more: more.opened });
    const note = chain.store.builder.updateTable('sessions').set((of) => ({ last_seq: of('last_seq', '+', 1) }));
    await chain.store.commit({ statements: [{ query: note.where('id', '=', session).compile(), expect: 1 }] });
    more.open();
    assert.equal((await chain.runtime.finished(session, turn)).state, 'completed');
    const last = (await chain.runtime.history(session)).at(-1);
    assert.equal(last?.type, 'turn.ended');
    assert.equal(last?.seq, (await chain.runtime.sessions.get(session)).lastSeq);
  });
});
