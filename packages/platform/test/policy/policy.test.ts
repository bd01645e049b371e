import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Principal } from '@onbehalf/access';
import { LOCAL_ADMIN } from '../../src/people/index.ts';
import { createPolicy } from '../../src/policy/index.ts';
import {
  type ControlFixture,
  controlFixture,
  doc,
  docs,
  grant,
  ISSUER,
  OTHER,
  toPerson,
  until,
} from '../control/fixture.ts';

const AGENT = doc('Agent', 'assistant', '{type: Declarative, declarative: {systemMessage: Hello}}', 'team');
const ON = '{kind: Agent, name: assistant, namespace: team}';
const trusted = (name: string, issuer: string, more = '') =>
  doc('TrustedIssuer', name, `{issuer: "${issuer}", jwksUri: "https://keys.example/jwks"${more}}`);

/** As a verifier hands it over. */
const foreign = (f: ControlFixture, subject: string, more: Partial<Principal> = {}, issuer = OTHER): Principal => ({
  ...{ issuer, subject, kind: 'person', role: 'REGULAR', groups: [], groupsUnknown: false, delegated: false },
  credential: { kind: 'bearer', expiresAt: f.now() + 60_000 },
  ...more,
});
const run = (f: ControlFixture, principal: Principal) => {
  const { uid } = f.get('Agent', 'assistant', 'team').metadata;
  return f.policy.decide(principal, 'run', { kind: 'Agent', uid }).effect;
};

test('a grant is for (issuer, subject) and (issuer, group): the same names at another issuer have nothing of it', async () => {
  await using f = await controlFixture();
  const annex = 'https://annex.example';
  await f.apply('ada', docs(AGENT, trusted('office', OTHER), trusted('annex', annex)));
  await f.apply(
    'local',
    docs(
      grant('person', toPerson('alice', OTHER), ON, 'run', '', 'team'),
      grant('group', `{group: {issuer: "${OTHER}", name: staff}}`, ON, 'run', '', 'team'),
    ),
  );
  const staff = { groups: ['staff'] };
  for (const [principal, effect] of [
    [foreign(f, 'alice'), 'allow'],
    [foreign(f, 'alice', {}, annex), 'hide'],
    [f.person('alice'), 'hide'],
    [foreign(f, 'bob'), 'hide'],
    [foreign(f, 'bob', staff), 'allow'],
    [foreign(f, 'bob', staff, annex), 'hide'],
    [foreign(f, 'bob', { ...staff, role: 'RESTRICTED' }), 'deny'],
    [foreign(f, 'bob', { ...staff, role: 'INACTIVE' }), 'deny'],
    [LOCAL_ADMIN, 'allow'],
  ] as const)
    assert.equal(run(f, principal), effect, JSON.stringify(principal));
});

test('groups are known from a verified token, of that person alone and until it ends', async () => {
  await using f = await controlFixture();
  await f.apply('ada', docs(AGENT, trusted('office', OTHER)));
  await f.apply('local', grant('group', `{group: {issuer: "${OTHER}", name: staff}}`, ON, 'run', '', 'team'));
  const later = (subject: string) => f.policy.principalOf({ issuer: OTHER, subject });
  assert.equal(run(f, later('carla')), 'hide');
  f.policy.note(foreign(f, 'carla', { groups: ['staff'] }));
  assert.deepEqual(
    ['carla', 'dan'].map((subject) => run(f, later(subject))),
    ['allow', 'hide'],
  );
  f.policy.note(foreign(f, 'carla', { groups: [] }));
  assert.equal(run(f, later('carla')), 'hide', 'the newest token counts');
  f.policy.note(foreign(f, 'carla', { groups: ['staff'] }));
  f.clock.ahead = 61_000;
  assert.equal(run(f, later('carla')), 'hide');
  assert.equal(later('carla').groupsUnknown, true);
});

test('people are decided about as they are known now: role, disabled, what their issuer can make of them, and whether it is trusted', async () => {
  await using f = await controlFixture();
  await f.apply('ada', docs(AGENT, trusted('office', OTHER, ', maxRole: ADMIN')));
  const office = foreign(f, 'olga', { role: 'ADMIN' });
  const role = (principal: Principal) => f.policy.current(principal).role;
  f.policy.note(office);
  assert.deepEqual([role(office), f.policy.principalOf(office).role], ['ADMIN', 'ADMIN']);
  let asked = 0;
  f.policy.onChange(() => asked++);
  await f.apply('ada', trusted('office', OTHER));
  assert.deepEqual(
    [role(office), f.policy.principalOf(office).role],
    ['REGULAR', 'REGULAR'],
    'maxRole is REGULAR by default',
  );
  assert.equal(asked, 1);
  await f.remove('ada', 'TrustedIssuer', 'office');
  assert.deepEqual([role(office), f.policy.principalOf(office).role], ['INACTIVE', 'INACTIVE']);

  const alice = f.person('alice');
  await f.users.setRole(ISSUER, 'alice', 'RESTRICTED');
  assert.deepEqual([role(alice), role(f.person('bob'))], ['RESTRICTED', 'REGULAR']);
  await f.users.disable(ISSUER, 'alice', true);
  assert.deepEqual([role(alice), f.person('alice').role, run(f, alice)], ['INACTIVE', 'INACTIVE', 'deny']);
  assert.equal(f.policy.principalOf({ issuer: 'local', subject: 'local-admin' }), LOCAL_ADMIN);
  assert.equal(f.policy.current(LOCAL_ADMIN), LOCAL_ADMIN);
});

test('an issuer of many tenants stands for those that it lists, and one of shared secrets for `legacy:NAME`', async () => {
  await using f = await controlFixture();
  const tenants = 'https://login.example/{tenantid}/v2';
  await f.apply(
    'ada',
    docs(
      trusted('many', tenants, ', tenants: [t1, t2], maxRole: ADMIN'),
      doc('TrustedIssuer', 'old', '{issuer: "legacy:old", maxRole: AUDITOR, legacyHs256: {secretRef: {env: KEY}}}'),
      trusted('none', 'https://empty.example/{tenantid}'),
    ),
  );
  const role = (issuer: string) => f.policy.current(foreign(f, '7', { role: 'ADMIN' }, issuer)).role;
  assert.deepEqual(
    [
      'https://login.example/t1/v2',
      'https://login.example/t3/v2',
      tenants,
      'legacy:old',
      'legacy:other',
      'https://empty.example/{tenantid}',
    ].map(role),
    ['ADMIN', 'INACTIVE', 'INACTIVE', 'AUDITOR', 'INACTIVE', 'INACTIVE'],
  );
});

test('a grant that ends takes the right with it, and everybody is told at that moment', async () => {
  await using f = await controlFixture();
  await f.apply('ada', AGENT);
  const expiresAt = new Date(f.now() + 300).toISOString();
  await f.apply('local', grant('short', toPerson('alice'), ON, 'run', `, expiresAt: "${expiresAt}"`, 'team'));
  assert.equal(run(f, f.person('alice')), 'allow');
  let told = '';
  f.policy.onChange(() => {
    told = run(f, f.person('alice'));
  });
  await until(() => told === 'hide');
});

test('nobody is asked again for a status, or for something new that gives nothing; for a grant, and for what was changed or removed, everybody', async () => {
  await using f = await controlFixture();
  await f.control.reconcile();
  let told = 0;
  const stop = f.policy.onChange(() => told++);
  const counted = async (work: () => Promise<unknown>) => {
    const before = told;
    await work();
    return told - before;
  };
  assert.equal(await counted(() => f.apply('ada', AGENT)), 0);
  assert.equal(await counted(() => f.control.reconcile()), 0);
  assert.equal(await counted(() => f.apply('local', grant('g', toPerson('alice'), ON, 'run', '', 'team'))), 1);
  assert.equal(await counted(() => f.apply('ada', AGENT.replace('type:', 'enabled: false, type:'))), 1);
  assert.equal(await counted(() => f.remove('ada', 'Agent', 'assistant', 'team')), 1);
  assert.equal(await counted(() => f.users.disable(ISSUER, 'bob', true)), 1);
  stop();
  assert.equal(await counted(() => f.users.disable(ISSUER, 'bob', false)), 0);
});

test('the last writer of a resource is asked about as they are known now; what has none comes from the server itself', async () => {
  await using f = await controlFixture();
  await f.apply('ada', doc('ModelConfig', 'm', '{provider: Demo, model: m}', 'team'));
  const model = { kind: 'ModelConfig', uid: f.get('ModelConfig', 'm', 'team').metadata.uid } as const;
  const asks = (subject: string) => f.policy.writerMayUse({ issuer: ISSUER, subject }, model);
  assert.deepEqual([asks('ada'), asks('alice'), f.policy.writerMayUse(undefined, model)], ['allow', 'hide', 'allow']);
  await f.apply(
    'local',
    grant('reads', toPerson('alice'), '{kind: ModelConfig, name: m, namespace: team}', 'read', '', 'team'),
  );
  assert.equal(asks('alice'), 'deny');
  await f.users.disable(ISSUER, 'ada', true);
  assert.equal(asks('ada'), 'deny');
});

test('an incremental table is the table that a new start compiles', async () => {
  await using f = await controlFixture();
  await f.apply('ada', docs(AGENT, trusted('office', OTHER)));
  await f.apply(
    'local',
    docs(
      grant('a', toPerson('alice'), ON, 'run', '', 'team'),
      grant('b', `{group: {issuer: "${OTHER}", name: staff}}`, '{namespace: team}', 'write'),
      grant('c', '{role: REGULAR}', ON, 'read', ', tools: {deny: [orders/refund]}', 'team'),
      grant('d', `{everyone: {issuer: "${OTHER}"}}`, '{kind: Agent, name: later, namespace: team}', 'run', '', 'team'),
    ),
  );
  await f.remove('local', 'Grant', 'a', 'team');
  await f.apply('ada', AGENT.replace('name: assistant', 'name: later'));
  await f.control.reconcile();
  const fresh = createPolicy({ registry: f.registry, principals: f.principals, issuer: ISSUER, now: f.now });
  const people = [f.person('alice'), foreign(f, 'x', { groups: ['staff'] }), foreign(f, 'y'), f.person('ada')];
  for (const resource of f.registry.all())
    for (const principal of people)
      for (const action of ['read', 'run', 'write', 'use'] as const) {
        const asked = { kind: resource.kind, uid: resource.metadata.uid };
        assert.deepEqual(f.policy.decide(principal, action, asked), fresh.decide(principal, action, asked));
      }
  const later = f.get('Agent', 'later', 'team').metadata.uid;
  assert.equal(f.policy.decide(foreign(f, 'y'), 'run', { kind: 'Agent', uid: later }).effect, 'allow');
  fresh.close();
});
