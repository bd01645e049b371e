import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Verdict } from '../../src/runtime/index.ts';
import { deleteResource, type StoredResource, type TurnRow } from '../../src/store/index.ts';
import { type Chain, startChain } from './chain.ts';
import { aborted, END, gate, USAGE } from './scripted-model.ts';

const ALLOW: Verdict = { effect: 'allow', rule: 'test', reason: 'test' };

describe('a turn under way, and what happens around it', () => {
  let chain: Chain;
  before(async () => {
    chain = await startChain();
    await chain.ready();
  });
  after(() => chain?.close());

  /** A turn that goes on until it is ended. */
  async function running(user: string, run: () => Verdict = () => ALLOW, name?: string) {
    const said = gate();
    chain.model.script = async function* ({ signal }) {
      yield { type: 'text', text: 'x' };
      said.open();
      await aborted(signal);
    };
    const session = (await chain.session(user, name)).id;
    const authorize = { run, tool: () => ALLOW };
    const input = chain.input(session, user, 'hello', await chain.sts.user(user), { authorize });
    const turn = await chain.runtime.start(input, chain.agent(name));
    await said.opened;
    return { session, turn };
  }
  const endOf = async ({ session, turn }: { session: string; turn: string }) => {
    const { state, code } = await chain.runtime.finished(session, turn);
    return [state, code];
  };

  test('W9 a grant that goes ends the turns that stood on it, and no other; who was disabled is told so', async () => {
    const verdicts: Record<string, Verdict> = { alice: ALLOW, bob: ALLOW, carol: ALLOW };
    const turns = {
      alice: await running('alice', () => verdicts.alice ?? ALLOW),
      bob: await running('bob', () => verdicts.bob ?? ALLOW),
      carol: await running('carol', () => verdicts.carol ?? ALLOW),
    };
    verdicts.alice = { effect: 'hide', rule: 'default', reason: 'no rule allows this', code: 'access_revoked' };
    verdicts.carol = { effect: 'deny', rule: 'inactive', reason: 'disabled', code: 'principal_revoked' };
    chain.runtime.reconsider();
    assert.deepEqual(await endOf(turns.alice), ['failed', 'access_revoked']);
    assert.deepEqual(await endOf(turns.carol), ['failed', 'principal_revoked']);
    const [bob] = await chain.store.read<TurnRow>(
      chain.store.builder.selectFrom('turns').selectAll().where('id', '=', turns.bob.turn).compile(),
    );
    assert.equal(bob?.state, 'running');
    await chain.runtime.stop(turns.bob.session);
    assert.deepEqual(await endOf(turns.bob), ['stopped', undefined]);
  });

  test('an agent that is removed ends its turns; what it was called before counts for nothing', async () => {
    await chain.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: brief}
spec: {type: Declarative, declarative: {}}
`);
    const turn = await running('alice', () => ALLOW, 'brief');
    const agent = chain.agent('brief') as StoredResource;
    const { revision } = await chain.store.commit({
      statements: [deleteResource(chain.store, agent)],
      changes: [{ kind: 'Agent', key: agent.metadata.uid, op: 'delete' }],
    });
    await chain.registry.settled(revision);
    chain.runtime.reconsider();
    assert.deepEqual(await endOf(turn), ['failed', 'agent_removed']);
  });

  test('who may not run the agent makes no turn, no row and no event: the answer is that of an agent that is not there', async () => {
    const session = await chain.session('alice');
    const authorize = { run: () => ({ ...ALLOW, effect: 'hide' }) as Verdict, tool: () => ALLOW };
    const input = chain.input(session.id, 'alice', 'hello', await chain.sts.user('alice'), { authorize });
    await assert.rejects(chain.runtime.start(input, chain.agent()), { code: 'agent_not_found' });
    assert.equal((await chain.runtime.sessions.get(session.id)).lastSeq, 0);
    await assert.rejects(chain.runtime.start({ ...input, session: 'none' }, chain.agent()), {
      code: 'agent_not_found',
    });
    await assert.rejects(chain.runtime.start({ ...input, session: 'none', authorize: chain.allowAll }, chain.agent()), {
      code: 'session_not_found',
    });
    const off = { ...chain.agent(), spec: { ...chain.agent().spec, enabled: false } };
    await assert.rejects(chain.runtime.start(input, off), { code: 'agent_disabled' });
    const byo = { ...chain.agent(), spec: { type: 'BYO' as const, byo: {} } };
    await assert.rejects(chain.runtime.start(input, byo), { code: 'agent_unsupported' });
  });

  test('of the calls of one step five run at once, and the others follow', async () => {
    let now = 0;
    let most = 0;
    const { call } = chain.tools;
    chain.tools.call = async () => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 30));
      now--;
      return { isError: false, output: 'ok', truncated: false, ms: 0 };
    };
    chain.model.script = async function* ({ messages }) {
      if (messages.at(-1)?.role === 'user')
        for (let index = 0; index < 12; index++)
          yield { type: 'tool-call', call: { callId: `c${index}`, name: 'orders__list_orders', arguments: '' } };
      yield { type: 'usage', usage: USAGE };
      yield END;
    };
    const result = await chain.say('alice', 'twelve').finally(() => {
      chain.tools.call = call;
    });
    assert.deepEqual([result.toolCalls.length, most], [12, 5]);
  });

  test('an hour is the most that a turn may run unless its agent says otherwise; then it ends, with what it said', async () => {
    await chain.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: hasty}
spec: {type: Declarative, declarative: {maxTurnDuration: 300ms}}
`);
    const turn = await running('alice', () => ALLOW, 'hasty');
    assert.deepEqual(await endOf(turn), ['failed', 'max_duration']);
    assert.equal((await chain.runtime.finished(turn.session, turn.turn)).text, 'x');
  });

  test('`clear` and `note` wait for no turn and disturb none; a note is told once', async () => {
    const { session, turn } = await running('bob');
    await assert.rejects(chain.runtime.clear(session), { code: 'turn_running' });
    await chain.runtime.note(session, 'seen', 'somebody looked');
    await chain.runtime.stop(session);
    await chain.runtime.ended(turn);
    await chain.runtime.note(session, 'seen', 'somebody looked');
    await chain.runtime.note(session, 'seen', 'somebody looked');
    await chain.runtime.clear(session);
    const types = (await chain.runtime.history(session)).map(({ type }) => type);
    assert.deepEqual(types.slice(-3), ['turn.ended', 'warning', 'cleared']);
  });

  test('a server that is stopping takes no new turn, and interrupts what does not end by itself', async () => {
    const other = await startChain();
    await other.ready();
    other.model.script = async function* ({ signal }) {
      yield { type: 'text', text: 'half' };
      await aborted(signal);
    };
    const session = (await other.session('alice')).id;
    const input = other.input(session, 'alice', 'hello', await other.sts.user('alice'));
    const turn = await other.runtime.start(input, other.agent());
    await other.runtime.drain(20);
    const result = await other.runtime.finished(session, turn);
    assert.deepEqual([result.state, result.code, result.text], ['interrupted', 'server_restarted', 'half']);
    await assert.rejects(other.runtime.start(input, other.agent()), { code: 'shutting_down' });
    await other.close();
  });
});
