import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { SessionEvent } from '@onbehalf/resources';
import { type SubjectSource, TokenExchangeError } from '@onbehalf/token-exchange';
import { type Chain, startChain } from './chain.ts';

describe('a turn whose person has to sign in again', () => {
  let chain: Chain;
  before(async () => {
    chain = await startChain();
    await chain.ready();
  });
  after(() => chain?.close());

  /** A sign-in that can end, and be another one's. */
  async function signIn(user: string, loginSession: string) {
    const good = await chain.sts.user(user);
    const state = { over: false, code: 'user_token_required' as const };
    const source: SubjectSource = {
      ...good,
      loginSession,
      current: (signal) =>
        state.over ? Promise.reject(new TokenExchangeError(state.code, 'it has ended')) : good.current(signal),
    };
    return { source, state };
  }
  const offer = (subject: SubjectSource, only?: { session: string }, authorize = chain.allowAll) =>
    chain.runtime.offer({ subject, authorize }, only);
  const typesOf = (events: readonly SessionEvent[], turn: string) =>
    events.filter((event) => event.turn === turn).map(({ type }) => type);
  const calls = (server: 'orders' | 'hr') => chain.seen[server].length;

  test('X14 the subject runs out: nothing is exchanged or sent, the turn waits; another sign-in of the same person resumes it', async () => {
    const { source, state } = await signIn('alice', 'login-1');
    state.over = true;
    const exchanges = chain.sts.counts.token;
    const sent = calls('orders');
    const waits = await chain.say('alice', 'list my orders', { subject: source });
    assert.equal(waits.state, 'awaiting_auth');
    assert.deepEqual([chain.sts.counts.token, calls('orders')], [exchanges, sent]);
    assert.equal((await chain.runtime.sessions.get(waits.session)).turn?.state, 'awaiting_auth');
    // Nobody else's token, and not the login that has just failed.
    const bob = await signIn('bob', 'login-2');
    assert.equal(offer(bob.source), false);
    assert.equal(offer(bob.source, { session: waits.session }), false);
    assert.equal(offer(source), false);
    assert.equal((await chain.runtime.sessions.get(waits.session)).turn?.state, 'awaiting_auth');
    const fresh = await signIn('alice', 'login-3');
    assert.equal(offer(fresh.source), true);
    assert.equal(offer(fresh.source), false, 'once');
    const done = await chain.runtime.finished(waits.session, waits.turn);
    assert.deepEqual([done.state, done.toolCalls.length, done.toolCalls[0]?.isError], ['completed', 1, false]);
    assert.match(done.toolCalls[0]?.output ?? '', /alice/);
    assert.equal(calls('orders'), sent + 1);
    const types = typesOf(await chain.runtime.history(waits.session), waits.turn);
    assert.deepEqual(
      types.filter((type) => /^tool|^auth|^exchange|ended$/.test(type)),
      [
        'tool.call',
        'tool.sent',
        'auth.required',
        'tool.sent',
        'exchange',
        'tool.result',
        'step.ended',
        'step.ended',
        'turn.ended',
      ],
    );
    const lines = await chain.audit.query({ turn: waits.turn });
    const of = (type: string) => lines.flatMap(({ entry }) => (entry.type === type ? entry : []));
    assert.deepEqual(
      of('tool.call').map(({ phase, outcome, code }) => [phase, outcome, code]),
      [
        ['intent', undefined, undefined],
        ['outcome', 'error', 'user_token_required'],
        ['intent', undefined, undefined],
        ['outcome', 'ok', undefined],
      ],
    );
    assert.deepEqual(
      of('login').map(({ outcome }) => outcome),
      ['turn goes on'],
    );
  });

  test('X14 several calls wait together and ask once; a grant that is gone meanwhile is a refusal afterwards', async () => {
    const { source, state } = await signIn('alice', 'login-1');
    state.over = true;
    const waits = await chain.say('alice', 'list my orders and my vacation days balance', { subject: source });
    assert.equal(waits.state, 'awaiting_auth');
    const asked = (await chain.runtime.history(waits.session)).filter(({ type }) => type === 'auth.required');
    assert.equal(asked.length, 1);
    const before = [calls('orders'), calls('hr')];
    // Decided again, as the new token has it.
    const less = { ...chain.allowAll, tool: () => ({ effect: 'deny', rule: 'grant', reason: 'taken away' }) as const };
    assert.equal(offer((await signIn('alice', 'login-4')).source, undefined, less), true);
    const done = await chain.runtime.finished(waits.session, waits.turn);
    assert.deepEqual(
      done.toolCalls.map(({ code }) => code),
      ['tool_denied', 'tool_denied'],
    );
    assert.deepEqual([calls('orders'), calls('hr')], before);
  });

  test('X14 another sign-in that comes while it is being written that the turn waits: it waits no more', async () => {
    const { source, state } = await signIn('alice', 'login-1');
    state.over = true;
    const fresh = await signIn('alice', 'login-12');
    const { commit } = chain.store;
    chain.store.commit = async (unit) => {
      const done = await commit(unit);
      if (JSON.stringify(unit).includes('auth.required')) assert.equal(offer(fresh.source), true);
      return done;
    };
    const said = await chain.say('alice', 'list my orders', { subject: source }).finally(() => {
      chain.store.commit = commit;
    });
    assert.equal(said.state, 'completed');
  });

  test('a token service that says the person must sign in again is believed; the same login brought on purpose is tried', async () => {
    const { source } = await signIn('bob', 'login-1');
    chain.sts.always({ error: 'invalid_request', description: 'subject_token has expired' });
    const waits = await chain.say('bob', 'list my orders', { subject: source });
    chain.sts.always(undefined);
    assert.equal(waits.state, 'awaiting_auth', JSON.stringify(waits));
    assert.equal(offer(source), false);
    assert.equal(offer(source, { session: waits.session }), true);
    const done = await chain.runtime.finished(waits.session, waits.turn);
    assert.deepEqual([done.state, done.toolCalls[0]?.isError], ['completed', false]);
  });

  test('a turn that waits can be stopped, and holds up no end of the server; another message is refused meanwhile', async () => {
    const { source, state } = await signIn('alice', 'login-1');
    state.over = true;
    const waits = await chain.say('alice', 'list my orders', { subject: source });
    const again = chain.input(waits.session, 'alice', 'hello', source);
    await assert.rejects(chain.runtime.start(again, chain.agent()), { code: 'turn_running' });
    assert.equal(await chain.runtime.stop(waits.session), waits.turn);
    await chain.runtime.ended(waits.turn);
    assert.equal((await chain.runtime.finished(waits.session, waits.turn)).state, 'stopped');
    assert.equal(offer((await signIn('alice', 'login-9')).source), false);
    const other = await startChain();
    await other.ready();
    const over: SubjectSource = {
      principal: { issuer: other.sts.issuer, subject: 'alice' },
      refreshable: false,
      current: () => Promise.reject(new TokenExchangeError('user_token_required', 'it has ended')),
    };
    assert.equal((await other.say('alice', 'list my orders', { subject: over })).state, 'awaiting_auth');
    const began = performance.now();
    await other.runtime.drain(20_000);
    assert.ok(performance.now() - began < 5_000);
    await other.close();
  });

  test('who has no token at all waits for none: a tool error, and the turn goes on', async () => {
    const turn = await chain.runtime.start(
      chain.input((await chain.session('alice')).id, 'alice', 'list my orders', undefined),
      chain.agent(),
    );
    const [session] = await chain.runtime.sessions.list({ owner: { issuer: chain.sts.issuer, subject: 'alice' } });
    const done = await chain.runtime.finished(session?.id ?? '', turn);
    assert.deepEqual([done.state, done.toolCalls[0]?.code], ['completed', 'user_token_required']);
  });
});
