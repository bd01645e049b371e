import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authorizeFor, authorizeTarget } from '../../src/policy/index.ts';
import { type ControlFixture, controlFixture, doc, docs, grant, ISSUER, toPerson } from '../control/fixture.ts';

const server = (name: string, more = '') =>
  doc(
    'RemoteMCPServer',
    name,
    `{url: "https://${name}.example/mcp", auth: {mode: Exchange, audience: [${name}]}${more}}`,
    'team',
  );
const agent = (name: string, tools: string, more = '') =>
  doc('Agent', name, `{type: Declarative, declarative: {systemMessage: x, tools: [${tools}]}${more}}`, 'team');
const binds = (name: string) => `{type: McpServer, mcpServer: {name: ${name}}}`;
const calls = (name: string) => `{type: Agent, agent: {name: ${name}}}`;
const on = (kind: string, name: string) => `{kind: ${kind}, name: ${name}, namespace: team}`;

/** boss → clerk → orders; hr is bound to nobody. alice runs both agents, bob the clerk alone. */
async function withChain(): Promise<ControlFixture> {
  const f = await controlFixture();
  await f.apply('ada', docs(server('orders'), server('hr')));
  await f.apply('ada', docs(agent('clerk', binds('orders')), agent('boss', calls('clerk'))));
  await f.apply(
    'local',
    docs(
      grant('a1', toPerson('alice'), on('Agent', 'clerk'), 'run', '', 'team'),
      grant('a2', toPerson('alice'), on('Agent', 'boss'), 'run', '', 'team'),
      grant('b1', toPerson('bob'), on('Agent', 'clerk'), 'run', '', 'team'),
    ),
  );
  return f;
}

const uid = (f: ControlFixture, kind: 'Agent' | 'RemoteMCPServer', name: string) => ({
  uid: f.get(kind, name, 'team').metadata.uid,
});

function target(
  f: ControlFixture,
  who: string | undefined,
  agent: string,
  server: string | undefined,
  ...chain: string[]
) {
  return authorizeTarget(f, {
    subject: who === undefined ? undefined : { issuer: ISSUER, subject: who },
    agent: uid(f, 'Agent', agent),
    server: server === undefined ? undefined : uid(f, 'RemoteMCPServer', server),
    chain: chain.map((name) => uid(f, 'Agent', name)),
  });
}

test('a token is issued for a server that the agent is bound to, to people who may run it and every agent above it', async () => {
  await using f = await withChain();
  for (const [who, acting, wanted, chain, right] of [
    ['alice', 'clerk', 'orders', [], true],
    ['bob', 'clerk', 'orders', [], true],
    ['rita', 'clerk', 'orders', [], false],
    ['nobody', 'clerk', 'orders', [], false],
    ['alice', 'clerk', 'hr', [], false],
    ['alice', 'boss', 'orders', [], false],
    ['alice', 'clerk', 'orders', ['boss'], true],
    ['bob', 'clerk', 'orders', ['boss'], false],
    // A chain that nobody has bound is none, whatever a token says of it.
    ['alice', 'boss', 'orders', ['clerk'], false],
    ['ada', 'clerk', 'orders', ['clerk'], false],
    // A delegation to the child; the parent must have it as a tool.
    ['alice', 'clerk', undefined, ['boss'], true],
    ['bob', 'clerk', undefined, ['boss'], false],
    ['alice', 'boss', undefined, ['clerk'], false],
    // The agent's own token: only what it is bound to counts.
    [undefined, 'clerk', 'orders', [], true],
    [undefined, 'clerk', 'hr', [], false],
  ] as const)
    assert.equal(target(f, who, acting, wanted, ...chain), right, `${who} ${acting} ${wanted} ${chain}`);
  const gone = { subject: { issuer: ISSUER, subject: 'ada' }, agent: { uid: 'gone' }, server: undefined, chain: [] };
  assert.equal(authorizeTarget(f, gone), false);
});

test('no token for a server that is switched off, for an agent that is, for one unbound meanwhile, or whose writer lost it', async () => {
  await using f = await withChain();
  const may = () => target(f, 'alice', 'clerk', 'orders', 'boss');
  const without = async (change: () => Promise<unknown>, back: () => Promise<unknown>, says: string) => {
    assert.equal(may(), true, `before: ${says}`);
    await change();
    assert.equal(may(), false, says);
    await back();
  };
  const again = () =>
    f.apply('ada', docs(server('orders'), agent('clerk', binds('orders')), agent('boss', calls('clerk'))));
  await without(() => f.apply('ada', server('orders', ', enabled: false')), again, 'the server is switched off');
  await without(
    () => f.apply('ada', agent('clerk', binds('orders'), ', enabled: false')),
    again,
    'the agent is switched off',
  );
  await without(
    () => f.apply('ada', agent('boss', calls('clerk'), ', enabled: false')),
    again,
    'the agent above is switched off',
  );
  await without(() => f.apply('ada', agent('boss', '')), again, 'the one above has the child no more');
  await without(() => f.apply('ada', agent('clerk', binds('hr'))), again, 'it is bound to another');
  await without(
    () => f.users.disable(ISSUER, 'ada', true),
    () => f.users.disable(ISSUER, 'ada', false),
    'the writer of the binding is disabled',
  );
  await without(
    () => f.users.disable(ISSUER, 'alice', true),
    () => f.users.disable(ISSUER, 'alice', false),
    'the person is disabled',
  );
  assert.equal(may(), true);
});

test('a turn is told why it ends: the person, the agent, or the right; and which policy said so', async () => {
  await using f = await withChain();
  const turn = authorizeFor(f.policy, f.person('alice'), f.now);
  const chain = () => ['clerk', 'boss'].map((name) => uid(f, 'Agent', name));
  const verdict = () => {
    const { effect, code, revision } = turn.run(chain());
    assert.equal(revision, f.policy.table().revision);
    return [effect, code];
  };
  assert.deepEqual(verdict(), ['allow', undefined]);
  await f.apply('ada', agent('boss', calls('clerk'), ', enabled: false'));
  assert.deepEqual(verdict(), ['deny', 'agent_disabled']);
  await f.apply('ada', agent('boss', calls('clerk')));
  await f.users.setRole(ISSUER, 'alice', 'RESTRICTED');
  assert.deepEqual(verdict(), ['deny', 'access_revoked']);
  await f.users.setRole(ISSUER, 'alice', 'REGULAR');
  await f.remove('local', 'Grant', 'a2', 'team');
  assert.deepEqual(verdict(), ['hide', 'access_revoked']);
  assert.deepEqual(turn.run([uid(f, 'Agent', 'clerk')]).effect, 'allow', 'the other agent is still theirs');
  await f.users.disable(ISSUER, 'alice', true);
  assert.deepEqual(verdict(), ['deny', 'principal_revoked']);
  assert.equal(authorizeFor(f.policy, f.person('bob'), f.now).run([uid(f, 'Agent', 'clerk')]).effect, 'allow');
});

test('a tool call is the person ∩ the agents ∩ the grants, as they are at that moment', async () => {
  await using f = await withChain();
  const turn = authorizeFor(f.policy, f.person('alice'), f.now);
  const call = (tool: string, more = {}) => {
    const { uid: id } = uid(f, 'RemoteMCPServer', 'orders');
    const orders = { uid: id, namespace: 'team', name: 'orders', enabled: true };
    const { effect, revision } = turn.tool({
      agents: [uid(f, 'Agent', 'clerk')],
      server: orders,
      tool,
      bound: true,
      offered: true,
      ...more,
    });
    assert.equal(revision, f.policy.table().revision);
    return effect;
  };
  assert.deepEqual(
    [call('list'), call('list', { bound: false }), call('list', { offered: false })],
    ['allow', 'deny', 'deny'],
  );
  await f.apply(
    'local',
    grant('a1', toPerson('alice'), on('Agent', 'clerk'), 'run', ', tools: {deny: [orders/refund]}', 'team'),
  );
  assert.deepEqual([call('list'), call('refund')], ['allow', 'deny']);
  await f.users.disable(ISSUER, 'alice', true);
  assert.equal(call('list'), 'deny');
});
