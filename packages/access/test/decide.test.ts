import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ACTIONS,
  type Action,
  compileTable,
  type DecisionContext,
  decide,
  decideTool,
  findResource,
  grantsFor,
  type PolicyGrant,
  type PolicyResource,
  type PolicyTable,
  type Principal,
  type ToolCall,
  visible,
} from '@onbehalf/access';
import fc from 'fast-check';

const ours = 'https://issuer.example';
const partner = 'https://partner.example';
const now = 1_000;

function principal(subject: string, more: Partial<Principal> = {}): Principal {
  return {
    issuer: ours,
    subject,
    kind: 'person',
    role: 'REGULAR',
    groups: [],
    groupsUnknown: false,
    delegated: false,
    credential: { kind: 'bearer' },
    ...more,
  };
}

function agent(uid: string, more: Partial<PolicyResource> = {}): PolicyResource {
  return { kind: 'Agent', namespace: 'default', name: uid, uid, enabled: true, ...more };
}

let grants = 0;
function grant(
  to: PolicyGrant['to'],
  verbs: PolicyGrant['verbs'],
  on: PolicyGrant['on'],
  more: Partial<PolicyGrant> = {},
): PolicyGrant {
  grants += 1;
  return { uid: `g${grants}`, to, on, verbs, ...more };
}

const to = (subject: string, issuer = ours) => ({ principal: { issuer, subject } });
const onAgent = (uid: string) => ({ kind: 'Agent', uid });
const alice = principal('alice');
const bob = principal('bob');
const admin = principal('root', { role: 'ADMIN' });

function table(resources: PolicyResource[], given: PolicyGrant[], more: object = {}): PolicyTable {
  return compileTable({ revision: 1, resources, grants: given, ...more });
}

function ask(
  t: PolicyTable,
  who: Principal,
  action: Action,
  uid: string,
  context: Partial<DecisionContext> = {},
  kind = 'Agent',
) {
  const { effect, rule } = decide(t, who, action, { kind, uid }, { now, ...context });
  return `${effect} ${rule}`;
}

test('no grant hides, read without the verb denies, the verb allows and implies read', () => {
  const t = table(
    [agent('a1')],
    [grant(to('alice'), ['run'], onAgent('a1')), grant(to('carol'), ['read'], onAgent('a1'))],
  );
  assert.equal(ask(t, bob, 'run', 'a1'), 'hide unreadable');
  assert.equal(ask(t, bob, 'run', 'does-not-exist'), 'hide unknown');
  assert.equal(ask(t, principal('carol'), 'run', 'a1'), 'deny verb');
  assert.equal(ask(t, principal('carol'), 'read', 'a1'), 'allow grant');
  assert.equal(ask(t, alice, 'run', 'a1'), 'allow grant');
  assert.equal(ask(t, alice, 'read', 'a1'), 'allow grant');
  assert.equal(ask(t, alice, 'write', 'a1'), 'deny verb');
});

test('admin implies every verb, ownership and ADMIN too', () => {
  const t = table(
    [agent('a1', { owner: { issuer: ours, subject: 'bob' } })],
    [grant(to('alice'), ['admin'], onAgent('a1'))],
  );
  for (const verb of ['read', 'run', 'use', 'write', 'admin', 'decide'] as const) {
    assert.equal(ask(t, alice, verb, 'a1'), 'allow grant');
    assert.equal(ask(t, bob, verb, 'a1'), 'allow owner');
    assert.equal(ask(t, admin, verb, 'a1'), 'allow admin');
    assert.equal(ask(t, principal('bob', { issuer: partner }), verb, 'a1'), 'hide unreadable');
  }
});

test('INACTIVE and disabled are denied before any look-up', () => {
  const t = table([agent('a1')], [grant(to('alice'), ['admin'], onAgent('a1'))], {
    disabled: [{ issuer: ours, subject: 'alice' }],
  });
  for (const uid of ['a1', 'does-not-exist']) {
    assert.equal(ask(t, principal('x', { role: 'INACTIVE' }), 'read', uid), 'deny inactive');
    assert.equal(ask(t, alice, 'read', uid), 'deny inactive');
  }
  assert.equal(ask(t, principal('alice', { issuer: partner }), 'read', 'a1'), 'hide unreadable');
});

test('RESTRICTED may sign in and read what it once said, and nothing else; what it may not see is hidden all the same', () => {
  const restricted = principal('alice', { role: 'RESTRICTED' });
  const t = table([agent('a1'), agent('a2')], [grant(to('alice'), ['admin'], onAgent('a1'))]);
  for (const verb of ['read', 'run', 'use', 'write', 'admin', 'decide', 'ticket.create'] as const)
    assert.equal(ask(t, restricted, verb, 'a1'), 'deny role');
  assert.equal(ask(t, restricted, 'run', 'a2'), 'hide unreadable');
  for (const action of ['login', 'me.read', 'session.list'] as const)
    assert.equal(ask(t, restricted, action, ''), 'allow role');
  for (const action of ['list', 'resources.list', 'apply', 'access.can-i', 'audit.export'] as const)
    assert.equal(ask(t, restricted, action, ''), 'deny role');
  const own = { kind: 'Session', owner: { issuer: ours, subject: 'alice' } };
  const say = (action: Action) => decide(t, restricted, action, own, { now }).effect;
  assert.equal(say('session.read'), 'allow');
  for (const action of ['session.post', 'session.stop', 'session.update', 'session.delete', 'exchanges.read'] as const)
    assert.equal(say(action), 'deny', action);
  assert.deepEqual(visible(t, restricted, [{ kind: 'Agent', uid: 'a1' }], { now }), []);
});

test('AUDITOR reads evidence: it neither lists agents, nor runs one, whatever the grants say', () => {
  const auditor = principal('alice', { role: 'AUDITOR' });
  const t = table([agent('a1'), agent('a2')], [grant(to('alice'), ['admin'], onAgent('a1'))]);
  for (const verb of ['run', 'ticket.create'] as const) assert.equal(ask(t, auditor, verb, 'a1'), 'deny role');
  assert.equal(ask(t, auditor, 'run', 'a2'), 'hide unreadable');
  assert.equal(ask(t, auditor, 'list', ''), 'deny role');
  for (const action of ['resources.list', 'audit.export', 'access.review'] as const)
    assert.equal(ask(t, auditor, action, ''), 'allow role');
  const own = { kind: 'Session', owner: { issuer: ours, subject: 'alice' } };
  assert.equal(decide(t, auditor, 'session.post', own, { now }).effect, 'deny');
});

test('an agent that is switched off, and the switches of the installation', () => {
  const given = [
    grant({ everyone: { issuer: ours } }, ['run'], { namespace: 'default' }),
    grant({ everyone: { issuer: ours } }, ['run'], { namespace: 'other' }),
  ];
  const resources = [agent('on'), agent('off', { enabled: false }), agent('far', { namespace: 'other' })];
  const t = table(resources, given);
  assert.equal(ask(t, alice, 'run', 'off'), 'deny disabled');
  assert.equal(ask(t, admin, 'run', 'off'), 'deny disabled');
  assert.equal(ask(t, alice, 'read', 'off'), 'allow grant');
  const part = table(resources, given, { switches: { stoppedNamespaces: ['other'] } });
  assert.equal(ask(part, alice, 'run', 'on'), 'allow grant');
  assert.equal(ask(part, alice, 'run', 'far'), 'deny stopped');
  const all = table(resources, given, { switches: { stopAll: true } });
  assert.equal(ask(all, admin, 'run', 'on'), 'deny stopped');
  assert.equal(ask(all, alice, 'read', 'on'), 'allow grant');
});

test('the grants that are for somebody: their own, of their groups, their role, their issuer and the namespace, no other', () => {
  const given = [
    grant(to('alice'), ['run'], onAgent('a1')),
    grant(to('bob'), ['run'], onAgent('a1')),
    grant({ group: { issuer: ours, name: 'finance' } }, ['run'], onAgent('a1')),
    grant({ group: { issuer: partner, name: 'finance' } }, ['run'], onAgent('a1')),
    grant({ role: 'REGULAR' }, ['read'], onAgent('a1')),
    grant({ everyone: { issuer: partner } }, ['read'], onAgent('a1')),
    grant({ everyone: { issuer: ours } }, ['read'], { namespace: 'default' }),
    grant(to('alice'), ['run'], onAgent('a1'), { expiresAt: now }),
    grant(to('alice'), ['run'], onAgent('a2')),
  ];
  const t = table([agent('a1'), agent('a2')], given);
  const a1 = { kind: 'Agent', namespace: 'default', uid: 'a1' };
  const uids = (...at: number[]) => at.map((index) => given[index]?.uid ?? '').sort();
  const of = (who: Principal) => grantsFor(t, who, a1, now).sort();
  assert.deepEqual(of(principal('alice', { groups: ['finance'] })), uids(0, 2, 4, 6));
  assert.deepEqual(of(bob), uids(1, 4, 6));
  assert.deepEqual(of(principal('alice', { issuer: partner })), uids(4, 5));
});

test('grants to a group, a role, everyone, a namespace; and until they expire', () => {
  const t = table(
    [agent('g'), agent('r'), agent('e'), agent('n', { namespace: 'team' }), agent('x')],
    [
      grant({ group: { issuer: ours, name: 'finance' } }, ['run'], onAgent('g')),
      grant({ role: 'ADMIN' }, ['run'], onAgent('r')),
      grant({ role: 'AUDITOR' }, ['read'], onAgent('r')),
      grant({ everyone: { issuer: ours } }, ['run'], onAgent('e')),
      grant(to('alice'), ['run'], { namespace: 'team' }),
      grant(to('alice'), ['run'], onAgent('x'), { expiresAt: now + 1 }),
    ],
  );
  assert.equal(ask(t, principal('x', { groups: ['a', 'finance'] }), 'run', 'g'), 'allow grant');
  assert.equal(ask(t, alice, 'run', 'g'), 'hide unreadable');
  assert.equal(ask(t, principal('x', { role: 'AUDITOR' }), 'read', 'r'), 'allow grant');
  assert.equal(ask(t, principal('x', { role: 'ADMIN' }), 'run', 'r'), 'allow admin');
  assert.equal(ask(t, alice, 'run', 'r'), 'hide unreadable');
  assert.equal(ask(t, bob, 'run', 'e'), 'allow grant');
  assert.equal(ask(t, principal('bob', { issuer: partner }), 'run', 'e'), 'hide unreadable');
  assert.equal(ask(t, alice, 'run', 'n'), 'allow grant');
  assert.equal(ask(t, alice, 'run', 'x'), 'allow grant');
  assert.equal(ask(t, alice, 'run', 'x', { now: now + 1 }), 'hide unreadable');
});

test('P3 a group of another issuer has none of our grants', () => {
  const t = table([agent('a1')], [grant({ group: { issuer: ours, name: 'finance' } }, ['run'], onAgent('a1'))]);
  assert.equal(ask(t, principal('x', { groups: ['finance'] }), 'run', 'a1'), 'allow grant');
  assert.equal(ask(t, principal('x', { issuer: partner, groups: ['finance'] }), 'run', 'a1'), 'hide unreadable');
});

test('P5 an agent made again under one name has none of the old grants, nor has another kind of one uid', () => {
  const given = [grant(to('alice'), ['admin'], onAgent('old'))];
  const t = table([agent('new', { name: 'assistant' })], given);
  assert.equal(findResource(t, 'Agent', 'default', 'assistant')?.uid, 'new');
  assert.equal(ask(t, alice, 'run', 'new'), 'hide unreadable');
  assert.equal(ask(t, alice, 'run', 'old'), 'hide unknown');
  const reused = table([{ ...agent('old'), kind: 'Secret' }], given);
  assert.equal(ask(reused, alice, 'use', 'old', {}, 'Secret'), 'hide unreadable');
  assert.equal(ask(reused, alice, 'run', 'old'), 'hide unknown');
});

test('D4 a delegated caller reads and runs agents, and nothing else', () => {
  const delegated = principal('alice', { delegated: true });
  const server = { kind: 'RemoteMCPServer', namespace: 'default', name: 's', uid: 's1', enabled: true };
  const t = table([agent('a1'), agent('a2'), server], [grant(to('alice'), ['admin'], { namespace: 'default' })]);
  const own = { kind: 'Session', owner: { issuer: ours, subject: 'alice' } };
  const allowed = (Object.keys(ACTIONS) as Action[]).filter((action) =>
    [
      { kind: 'Agent', uid: 'a1' },
      { ...server },
      { kind: 'Namespace', name: 'default', namespace: 'default' },
      own,
    ].some(
      (resource) => decide(t, delegated, action, resource, { now, invited: true, reason: 'x' }).effect === 'allow',
    ),
  );
  assert.deepEqual(allowed, ['read', 'run', 'list']);
  assert.equal(ask(t, delegated, 'use', 's1', {}, 'RemoteMCPServer'), 'deny delegated');
  assert.equal(ask(t, delegated, 'read', 's1', {}, 'RemoteMCPServer'), 'deny delegated');
  assert.deepEqual(
    visible(t, delegated, [agent('a1'), server], { now }).map(({ uid }) => uid),
    ['a1'],
  );
  assert.equal(decide(t, delegated, 'session.post', own, { now, ownThread: true }).effect, 'allow');
  assert.equal(decide(t, delegated, 'session.read', own, { now }).effect, 'deny');
  const service = principal('alice', { delegated: true, kind: 'service' });
  assert.equal(ask(t, service, 'decide', 'a1'), 'allow grant');
});

test('a delegated administrator is delegated first', () => {
  const t = table([agent('a1')], []);
  const act = principal('root', { role: 'ADMIN', delegated: true });
  assert.equal(ask(t, act, 'run', 'a1'), 'allow admin');
  for (const action of ['write', 'principals.write', 'system.write', 'audit.export', 'grant.write', 'login'] as const) {
    assert.equal(ask(t, act, action, 'a1'), 'deny delegated');
  }
});

test("another person's conversation is hidden; ADMIN reads with a reason, stops and deletes, and never posts", () => {
  const t = table([], []);
  const session = { kind: 'Session', owner: { issuer: ours, subject: 'alice' } };
  const say = (who: Principal, action: Action, context: Partial<DecisionContext> = {}) => {
    const { effect, rule } = decide(t, who, action, session, { now, ...context });
    return `${effect} ${rule}`;
  };
  for (const action of [
    'session.read',
    'session.post',
    'session.stop',
    'session.delete',
    'session.share',
    'session.token',
    'approval.decide',
  ] as const) {
    assert.equal(say(alice, action), 'allow owner');
    assert.equal(say(bob, action, { reason: 'x' }), 'hide foreign');
    assert.equal(say(principal('alice', { issuer: partner }), action), 'hide foreign');
    assert.equal(say(principal('y', { role: 'AUDITOR' }), action, { reason: 'x' }), 'hide foreign');
  }
  assert.equal(say(admin, 'session.read'), 'deny reason');
  assert.equal(say(admin, 'session.read', { reason: '  ' }), 'deny reason');
  assert.equal(say(admin, 'session.read', { reason: 'incident 4711' }), 'allow admin');
  assert.equal(say(admin, 'session.stop'), 'allow admin');
  assert.equal(say(admin, 'session.delete'), 'allow admin');
  for (const action of ['session.post', 'session.share', 'session.token', 'approval.decide'] as const)
    assert.equal(say(admin, action, { reason: 'x' }), 'hide foreign');
  assert.equal(say(bob, 'session.read', { invited: true }), 'allow invited');
  assert.equal(say(bob, 'session.post', { invited: true }), 'hide foreign');
  assert.equal(say(bob, 'approval.decide', { invited: true }), 'allow invited');
});

test('making and changing: namespaces, privileged properties, kinds of administrators', () => {
  const issuerResource = {
    kind: 'TrustedIssuer',
    namespace: '',
    name: 'i',
    uid: 'i1',
    enabled: true,
    owner: { issuer: ours, subject: 'alice' },
  };
  const t = table(
    [agent('a1'), issuerResource],
    [grant(to('alice'), ['write'], { namespace: 'default' }), grant(to('bob'), ['read'], { namespace: 'default' })],
  );
  const make = (who: Principal, kind: string, namespace: string, privileged = false) => {
    const { effect, rule } = decide(t, who, 'create', { kind, namespace }, { now, privileged });
    return `${effect} ${rule}`;
  };
  assert.equal(make(alice, 'Agent', 'default'), 'allow grant');
  assert.equal(make(alice, 'Agent', 'default', true), 'deny privileged');
  assert.equal(make(alice, 'Agent', 'other'), 'deny verb');
  assert.equal(make(bob, 'Agent', 'default'), 'deny verb');
  assert.equal(make(admin, 'Agent', 'other', true), 'allow admin');
  assert.equal(make(alice, 'Budget', 'default'), 'deny admin_kind');
  assert.equal(make(alice, 'TokenService', ''), 'deny verb');
  assert.equal(make(admin, 'TokenService', ''), 'allow admin');
  assert.equal(ask(t, alice, 'write', 'a1'), 'allow grant');
  assert.equal(ask(t, alice, 'write', 'a1', { privileged: true }), 'deny privileged');
  assert.equal(ask(t, alice, 'write', 'i1', {}, 'TrustedIssuer'), 'deny admin_kind');
  assert.equal(ask(t, alice, 'grant.write', 'a1'), 'deny verb');
  const namespace = { kind: 'Namespace', name: 'default' };
  assert.equal(decide(t, alice, 'grant.write', namespace, { now }).effect, 'deny');
  assert.equal(decide(t, admin, 'grant.write', namespace, { now }).effect, 'allow');
});

test('roles without a resource', () => {
  const t = table([], []);
  const auditor = principal('y', { role: 'AUDITOR' });
  const rows: [Action, Principal, string][] = [
    ['audit.export', alice, 'deny'],
    ['audit.export', auditor, 'allow'],
    ['access.review', auditor, 'allow'],
    ['principals.write', auditor, 'deny'],
    ['principals.write', admin, 'allow'],
    ['system.write', auditor, 'deny'],
    ['me.read', principal('x', { role: 'RESTRICTED' }), 'allow'],
  ];
  for (const [action, who, effect] of rows)
    assert.equal(decide(t, who, action, { kind: 'None' }, { now }).effect, effect, action);
  const entry = { kind: 'AuditEntry', owner: { issuer: ours, subject: 'alice' } };
  assert.equal(decide(t, alice, 'audit.read', entry, { now }).effect, 'allow');
  assert.equal(decide(t, bob, 'audit.read', entry, { now }).effect, 'hide');
  assert.equal(decide(t, auditor, 'audit.read', entry, { now }).rule, 'auditor');
});

test('an unknown action and an error deny', () => {
  const broken = { ...table([], []), resources: undefined } as unknown as PolicyTable;
  assert.equal(ask(broken, alice, 'run', 'a1'), 'deny error');
  for (const action of ['constructor', '__proto__', 'anything']) {
    assert.equal(ask(table([], []), admin, action as Action, 'a1'), 'deny default');
  }
});

test('P4 tools: user and agent and grant; unknown groups match deny and no allow', () => {
  const server = { uid: 's1', namespace: 'default', name: 'orders', enabled: true };
  const call = (tool: string, more: Partial<ToolCall> = {}): ToolCall => ({
    agents: [{ uid: 'a1' }],
    server,
    tool,
    bound: true,
    offered: true,
    ...more,
  });
  const tool = (t: PolicyTable, who: Principal, asked: ToolCall) => {
    const { effect, rule } = decideTool(t, who, asked, { now });
    return `${effect} ${rule}`;
  };
  const run = grant({ everyone: { issuer: ours } }, ['run'], onAgent('a1'));
  const plain = table([agent('a1')], [run]);
  assert.equal(tool(plain, alice, call('list')), 'allow tool');
  assert.equal(tool(plain, alice, call('list', { bound: false })), 'deny tool_bound');
  assert.equal(tool(plain, alice, call('list', { offered: false })), 'deny tool_offered');
  assert.equal(tool(plain, alice, call('list', { server: { ...server, enabled: false } })), 'deny tool_server');
  assert.equal(tool(plain, alice, call('list', { agents: [] })), 'deny tool_chain');
  assert.equal(tool(plain, principal('x', { issuer: partner }), call('list')), 'deny tool_run');
  assert.equal(tool(plain, principal('x', { role: 'RESTRICTED' }), call('list')), 'deny role');
  assert.equal(tool(plain, principal('x', { role: 'INACTIVE' }), call('list')), 'deny inactive');

  const interns = { group: { issuer: ours, name: 'interns' } };
  const denying = table(
    [agent('a1')],
    [run, grant(interns, ['read'], onAgent('a1'), { tools: { deny: ['orders/refund'] } })],
  );
  assert.equal(tool(denying, alice, call('refund')), 'allow tool');
  assert.equal(tool(denying, principal('x', { groups: ['interns'] }), call('refund')), 'deny tool_denied');
  assert.equal(tool(denying, principal('x', { groups: ['interns'] }), call('list')), 'allow tool');
  assert.equal(tool(denying, principal('x', { groupsUnknown: true }), call('refund')), 'deny tool_denied');

  const listing = table(
    [agent('a1')],
    [run, grant(interns, ['run'], onAgent('a1'), { tools: { allow: ['orders/list'] } })],
  );
  assert.equal(tool(listing, principal('x', { groups: ['interns'] }), call('list')), 'allow tool');
  assert.equal(tool(listing, principal('x', { groups: ['interns'] }), call('refund')), 'deny tool_not_listed');
  assert.equal(tool(listing, principal('x', { groupsUnknown: true }), call('list')), 'deny tool_not_listed');
  assert.equal(tool(listing, alice, call('refund')), 'allow tool');
});

test('tools: names of servers in other namespaces, patterns, grants on server and namespace', () => {
  const far = { uid: 's2', namespace: 'far', name: 'orders', enabled: true };
  const near = { uid: 's1', namespace: 'default', name: 'orders', enabled: true };
  const effect = (tools: PolicyGrant['tools'], server: typeof far, on: PolicyGrant['on'] = onAgent('a1')) => {
    const t = table(
      [agent('a1')],
      [
        grant({ everyone: { issuer: ours } }, ['run'], onAgent('a1')),
        grant(to('alice'), ['read'], on, tools === undefined ? {} : { tools }),
      ],
    );
    return decideTool(t, alice, { agents: [{ uid: 'a1' }], server, tool: 'list', bound: true, offered: true }, { now })
      .effect;
  };
  assert.equal(effect({ allow: ['orders/list'] }, near), 'allow');
  assert.equal(effect({ allow: ['orders/list'] }, far), 'deny');
  assert.equal(effect({ allow: ['far.orders/list'] }, far), 'allow');
  assert.equal(effect({ allow: ['orders/*'] }, near), 'allow');
  assert.equal(effect({ allow: ['*/list'] }, far), 'allow');
  assert.equal(effect({ allow: [] }, near), 'deny');
  assert.equal(effect({ deny: ['orders/list'] }, far), 'deny');
  assert.equal(effect({ deny: ['default.orders/list'] }, far), 'allow');
  assert.equal(effect({ deny: ['orders/*'] }, far, { kind: 'RemoteMCPServer', uid: 's2' }), 'deny');
  assert.equal(effect({ deny: ['*/*'] }, far, { namespace: 'far' }), 'deny');
});

test("D7 every agent of the chain must exist, be on, and be the user's to run", () => {
  const server = { uid: 's1', namespace: 'default', name: 'orders', enabled: true };
  const chain = { agents: [{ uid: 'child' }, { uid: 'parent' }], server, tool: 'list', bound: true, offered: true };
  const both = [grant(to('alice'), ['run'], onAgent('child')), grant(to('alice'), ['run'], onAgent('parent'))];
  const rule = (resources: PolicyResource[], given: PolicyGrant[], more = {}) =>
    decideTool(table(resources, given, more), alice, chain, { now }).rule;
  assert.equal(rule([agent('child'), agent('parent')], both), 'tool');
  assert.equal(rule([agent('child'), agent('parent')], both.slice(0, 1)), 'tool_run');
  assert.equal(rule([agent('child'), agent('parent')], both.slice(1)), 'tool_run');
  assert.equal(rule([agent('child'), agent('parent', { enabled: false })], both), 'disabled');
  assert.equal(rule([agent('child')], both), 'tool_chain');
  assert.equal(rule([agent('child'), agent('parent')], both, { switches: { stopAll: true } }), 'stopped');
});

test('whoever has no grant, owns nothing and is no ADMIN or AUDITOR is allowed nothing on any resource', () => {
  const others = fc.array(
    fc.record({
      subject: fc.string(),
      issuer: fc.constantFrom(ours, partner),
      uid: fc.constantFrom('a1', 'a2'),
      verb: fc.constantFrom('read', 'run', 'use', 'write', 'admin', 'decide'),
    }),
  );
  fc.assert(
    fc.property(
      others,
      fc.string({ minLength: 1 }),
      fc.constantFrom(...(Object.keys(ACTIONS) as Action[])),
      (given, subject, action) => {
        const mine = given.filter((g) => !(g.issuer === ours && g.subject === subject));
        const t = table(
          [agent('a1'), agent('a2')],
          mine.map((g) => grant(to(g.subject, g.issuer), [g.verb as 'read'], onAgent(g.uid))),
        );
        const { effect } = decide(t, principal(subject), action, { kind: 'Agent', uid: 'a1' }, { now });
        assert.ok(effect !== 'allow' || ACTIONS[action].on === 'role', action);
      },
    ),
  );
});
