import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { startWorld, type World } from './world.ts';

const agent = (name: string) => `apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: ${name}}
spec: {type: Declarative, declarative: {systemMessage: Be brief., modelConfigRef: {name: default}}}
`;
const grant = (name: string, to: string, on = 'kind: Agent, name: clerk') => `apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: ${name}}
spec:
  to: ${to}
  on: {${on}}
  verbs: [run]
`;

type Conditions = { status: { conditions: { type: string; status: string; reason: string; message: string }[] } };
type Applied = { results: { kind: string; action: string; rebind?: { from: string; to: string; done: boolean } }[] };

describe('a Grant says whether it gives anything', () => {
  let world: World;
  let alice: string;
  let root: string;
  before(async () => {
    world = await startWorld();
    [alice, root] = await Promise.all([world.token('alice'), world.token('root')]);
  });
  after(() => world[Symbol.asyncDispose]());

  const apply = (documents: string, more: object = {}) =>
    world.as<Applied>(root, 'POST', '/apply', { documents, ...more });
  const runs = async () => (await world.as(alice, 'POST', '/agents/clerk/sessions', {})).status;
  async function condition(name: string, type: string, reason: string) {
    for (let tries = 0; ; tries++) {
      const { body } = await world.as<Conditions>(root, 'GET', `/grants/${name}`);
      const found = body.status.conditions?.find((one) => one.type === type);
      if (found?.reason === reason) return found;
      if (tries === 100) assert.fail(`${type} is ${JSON.stringify(found)}, not ${reason}`);
      await wait(20);
    }
  }

  test('a Grant on an agent of another namespace is resolved, and who may not see what was made again there is not told its uid', async () => {
    const there = agent('vault').replace('{name: vault}', '{name: vault, namespace: north}');
    const file = grant('vaults', '{role: REGULAR}', 'kind: Agent, namespace: north, name: vault').replace(
      '{name: vaults}',
      '{name: vaults, namespace: south}',
    );
    const south = grant('south', `{principal: {issuer: ${world.url}, subject: bob}}`, 'namespace: south');
    assert.equal((await apply(`${there}---\n${file}---\n${south.replace('[run]', '[admin]')}`)).status, 200);
    await condition('south.vaults', 'Ready', 'Ready');
    await condition('south.vaults', 'ResolvedRefs', 'Resolved');
    assert.equal((await world.as(root, 'DELETE', '/agents/north.vault')).status, 204);
    assert.equal((await apply(there)).status, 200);
    await condition('south.vaults', 'Ready', 'AgentReplaced');
    const bob = await world.token('bob');
    const { status, body } = await world.as<Applied>(bob, 'POST', '/apply', { documents: file });
    assert.deepEqual([status, body.results[0]?.action, body.results[0]?.rebind], [200, 'unchanged', undefined]);
    assert.equal((await world.as(bob, 'POST', '/apply', { documents: file, rebind: true })).status, 403);
    assert.equal((await world.as(bob, 'POST', '/grants/south.vaults/actions/confirm')).status, 403);
    assert.notEqual((await apply(file)).body.results[0]?.rebind?.to, undefined);
  });

  test('P5 an agent that was made again under its name does not have what the old one had, however often the file is applied', async () => {
    const file = `${agent('clerk')}---\n${grant('clerks', `{principal: {issuer: ${world.url}, subject: alice}}`)}`;
    assert.equal((await apply(file)).status, 200);
    assert.equal(await runs(), 201);
    await condition('clerks', 'Ready', 'Ready');
    assert.equal((await world.as(root, 'DELETE', '/agents/clerk')).status, 204);
    await condition('clerks', 'Ready', 'TargetGone');
    const nightly = await apply(file);
    assert.equal(nightly.status, 200);
    const [, again] = nightly.body.results;
    assert.equal(again?.action, 'unchanged');
    assert.equal(again?.rebind?.done, false);
    assert.notEqual(again?.rebind?.from, again?.rebind?.to);
    assert.equal(await runs(), 404);
    assert.equal((await condition('clerks', 'Ready', 'AgentReplaced')).status, 'False');
    const replaced = await condition('clerks', 'AgentReplaced', 'MadeAgain');
    assert.equal(replaced.status, 'True');
    assert.match(replaced.message, /onbehalf confirm grant\/clerks, or apply --rebind/);
    const tried = await apply(file, { dryRun: true, rebind: true });
    assert.equal(tried.body.results[1]?.rebind?.done, false, 'a dry run binds nothing');
    assert.equal(await runs(), 404);

    const bound = await apply(file, { rebind: true });
    assert.equal(bound.body.results[1]?.rebind?.done, true);
    assert.equal(await runs(), 201);
    assert.equal((await condition('clerks', 'AgentReplaced', 'Same')).status, 'False');
    await condition('clerks', 'Ready', 'Ready');
    type Lines = { items: { outcome?: string; data?: { reboundTo?: string } }[] };
    const { body } = await world.admin<Lines>('GET', '/audit?type=change&limit=50');
    assert.ok(body.items.some(({ data }) => data?.reboundTo === bound.body.results[1]?.rebind?.to));
  });

  test('confirm binds it as well, and takes admin on what it is bound to', async () => {
    assert.equal((await world.as(root, 'DELETE', '/agents/clerk')).status, 204);
    assert.equal((await apply(agent('clerk'))).status, 200);
    assert.equal(await runs(), 404);
    const refused = await world.as(alice, 'POST', '/grants/clerks/actions/confirm');
    assert.ok([403, 404].includes(refused.status), String(refused.status));
    assert.equal(await runs(), 404);
    assert.equal((await world.as(root, 'POST', '/grants/clerks/actions/confirm')).status, 200);
    assert.equal(await runs(), 201);
  });

  test('to an issuer that nobody trusts, to nobody, on what is not there, and one that has ended', async () => {
    await apply(
      [
        grant('stranger', '{everyone: {issuer: https://nobody.example}}'),
        grant('nobody', `{principal: {issuer: ${world.url}, subject: zoe}}`),
        grant('nowhere', '{role: REGULAR}', 'kind: Agent, name: not-there'),
        grant('over', '{role: REGULAR}').replace('verbs: [run]', "verbs: [run]\n  expiresAt: '2020-01-01T00:00:00Z'"),
      ].join('---\n'),
    );
    assert.match((await condition('stranger', 'Ready', 'IssuerNotTrusted')).message, /https:\/\/nobody\.example/);
    assert.match((await condition('nobody', 'Ready', 'NobodyThere')).message, /no user zoe/);
    await condition('nowhere', 'Ready', 'WaitsForReferences');
    await condition('over', 'Ready', 'Expired');
    await world.admin('POST', '/principals', { subject: 'zoe', role: 'REGULAR' });
    await condition('nobody', 'Ready', 'Ready');
    await apply(agent('not-there'));
    await condition('nowhere', 'Ready', 'Ready');
  });
});
