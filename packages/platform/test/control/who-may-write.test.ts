import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ControlFixture, controlFixture, doc, docs, grant, toPerson } from './fixture.ts';

const agent = (name: string, more = '', namespace = 'team') =>
  doc('Agent', name, `{type: Declarative, declarative: {systemMessage: Hello${more}}}`, namespace);
const server = (name: string, auth: string, more = '') =>
  doc('RemoteMCPServer', name, `{url: "https://tools.example/${name}", auth: ${auth}${more}}`, 'team');
const model = (name: string, more = '') =>
  doc(
    'ModelConfig',
    name,
    `{provider: OpenAICompatible, model: m, openAICompatible: {baseUrl: "https://m.example/v1"}${more}}`,
    'team',
  );
const EXCHANGE = '{mode: Exchange, audience: [orders]}';

/** What `alice` has in the namespace `team` is `write`; bob has nothing there. */
async function withTeam(): Promise<ControlFixture> {
  const fixture = await controlFixture();
  await fixture.apply('local', grant('alice-writes', toPerson('alice'), '{namespace: team}', 'write'));
  return fixture;
}

const names = ({ registry }: ControlFixture) =>
  [...registry.all()].map(({ kind, metadata }) => `${kind}/${metadata.name}`).sort();

test('who may make what: `write` in a namespace makes agents, models, secrets and plain servers; the rest is for ADMIN', async () => {
  await using f = await withTeam();
  const administrators = 'only an administrator may';
  for (const [document, refused] of [
    [doc('TrustedIssuer', 'office', '{issuer: "https://office.example", jwksUri: "https://office.example/jwks"}'), ''],
    [doc('TokenService', 'sts', '{issuer: "https://sts.example", profile: rfc8693}'), ''],
    [server('exchange', EXCHANGE), 'mode Exchange'],
    [server('workload', '{mode: Workload, audience: [orders]}'), 'mode Workload'],
    [server('forward', '{mode: Forward}'), 'mode Forward'],
    [doc('RemoteMCPServer', 'stdio', '{protocol: Stdio, stdio: {command: [x]}}', 'team'), 'protocol Stdio'],
    [server('header', '{mode: Static, static: {header: x-key, secretRef: {env: KEY}}}'), 'secretRef.env'],
    [doc('Agent', 'program', '{type: BYO, byo: {process: {command: [x]}}}', 'team'), 'byo.process'],
    [doc('Agent', 'pod', '{type: BYO, byo: {deployment: {image: x}}}', 'team'), 'byo.deployment'],
    [model('env', ', credentialRef: {env: KEY}'), 'credentialRef.env'],
    [model('file', ', credentialRef: {file: /run/key}'), 'credentialRef.file'],
  ] as const) {
    for (const who of ['alice', 'bob', 'audrey', 'rita']) {
      const before = names(f);
      const [code, mistake = '', ...more] = await f.refusal(who, document);
      assert.deepEqual([code, more], ['forbidden', []], `${who}: ${document}`);
      assert.match(mistake, /not allowed: /);
      if (who === 'alice' && refused !== '')
        assert.ok(mistake.includes(administrators) && mistake.includes(refused), mistake);
      assert.deepEqual(names(f), before);
    }
    assert.deepEqual(await f.refusal('ada', document), ['written'], document);
  }
  for (const document of [
    agent('assistant'),
    model('plain'),
    server('open', '{mode: None}'),
    doc('Secret', 'key', '{data: {value: s3cret-s3cret}}', 'team'),
  ]) {
    for (const who of ['bob', 'audrey', 'rita']) assert.equal((await f.refusal(who, document))[0], 'forbidden', who);
    assert.deepEqual(await f.refusal('alice', document), ['written']);
  }
  assert.equal(f.get('Agent', 'assistant', 'team').metadata.owner?.subject, 'alice');
});

test('a plain server does not become one that gets people’s tokens, nor such a one a plain one, by whoever has `write` on it', async () => {
  await using f = await withTeam();
  await f.apply('alice', server('orders', '{mode: None}'));
  await f.apply('ada', server('hr', EXCHANGE));
  for (const [document, says] of [
    [server('orders', EXCHANGE), 'mode Exchange'],
    [server('hr', '{mode: None}'), 'change of url, auth, tls or headers'],
    [server('hr', EXCHANGE, ', headers: [{name: x-a, value: b}]'), 'mode Exchange'],
  ] as const) {
    const [code, mistake = ''] = await f.refusal('alice', document);
    assert.equal(code, 'forbidden');
    assert.ok(mistake.includes(says), mistake);
  }
  assert.equal(f.get('RemoteMCPServer', 'orders', 'team').spec.auth?.mode, 'None');
  assert.equal(f.get('RemoteMCPServer', 'hr', 'team').spec.auth?.mode, 'Exchange');
});

test('grants: by `admin` on the target, which its owner has; on a namespace, and on what is not there, by ADMIN', async () => {
  await using f = await withTeam();
  await f.apply('alice', agent('assistant'));
  await f.apply('ada', agent('hers'));
  const on = (name: string) => `{kind: Agent, name: ${name}, namespace: team}`;
  const give = (name: string, target: string) => grant(name, toPerson('bob'), target, 'run', '', 'team');
  assert.equal((await f.refusal('bob', give('g1', on('assistant'))))[0], 'forbidden');
  assert.deepEqual(await f.refusal('alice', give('g1', on('assistant'))), ['written']);
  assert.match(
    (await f.refusal('alice', give('g2', on('hers'))))[1] ?? '',
    /^spec\.on: not allowed: no grant gives this verb/,
  );
  for (const target of ['{namespace: team}', on('nobody')])
    assert.equal((await f.refusal('alice', give('g3', target)))[0], 'forbidden', target);
  // With what is made in the same write, whoever may make it there.
  assert.deepEqual(await f.refusal('alice', docs(agent('second'), give('g4', on('second')))), ['written']);
  assert.equal((await f.refusal('bob', docs(agent('third'), give('g5', on('third')))))[0], 'forbidden');
  // Moving it takes something from the first target, too.
  await f.apply('ada', give('g6', on('hers')));
  const [code, ...mistakes] = await f.refusal('alice', give('g6', on('assistant')));
  assert.deepEqual([code, mistakes.length], ['forbidden', 1]);
  await assert.rejects(f.remove('alice', 'Grant', 'g6', 'team'), { code: 'forbidden' });
  await f.remove('alice', 'Grant', 'g1', 'team');
  assert.equal(f.registry.get('Grant', 'team', 'g1'), undefined);
  // Who has `run` only learns of it, and gives nothing on.
  assert.deepEqual(await f.refusal('bob', give('g7', on('second'))), [
    'forbidden',
    'spec.on: not allowed: no grant gives this verb',
  ]);
});

test('a write is all or nothing: one document that is refused, mistaken or a twin leaves the others unwritten', async () => {
  await using f = await withTeam();
  const before = names(f);
  const good = agent('assistant');
  const [code, mistake] = await f.refusal('alice', docs(good, server('orders', EXCHANGE)));
  assert.deepEqual([code, mistake?.includes('mode Exchange')], ['forbidden', true]);
  const [mixed, ...two] = await f.refusal('alice', docs(good, good, server('orders', EXCHANGE)));
  assert.deepEqual(
    [mixed, two[0], two.length],
    ['invalid_documents', 'metadata.name: Agent assistant stands here twice', 2],
  );
  const lines = await f.audit.query({ type: 'change', limit: 100 });
  assert.deepEqual(names(f), before);
  assert.equal(lines.filter(({ entry }) => entry.target?.name === 'assistant').length, 0);
  // As a trial it says what it would do, and does nothing.
  const { results } = await f.apply('alice', good, { dryRun: true });
  assert.deepEqual(
    results.map(({ action, name }) => [action, name]),
    [['created', 'assistant']],
  );
  assert.deepEqual(names(f), before);
});

test('a reference is used by whoever writes it: what they may see and not use is refused, what they may not see is not there', async () => {
  await using f = await withTeam();
  await f.apply('ada', docs(model('theirs'), model('hidden').replace('namespace: team', 'namespace: other')));
  await f.apply(
    'local',
    grant('alice-reads', toPerson('alice'), '{kind: ModelConfig, name: theirs, namespace: team}', 'read', '', 'team'),
  );
  const uses = (ref: string) => agent('assistant', `, modelConfigRef: ${ref}`);
  const [code, mistake] = await f.refusal('alice', uses('{name: theirs}'));
  // `write` on the namespace is not `use` on what somebody else made there.
  assert.equal(code, 'forbidden');
  assert.match(mistake ?? '', /^spec\.declarative\.modelConfigRef: not allowed: .*\(use on ModelConfig theirs\)/);
  const { results } = await f.apply('alice', uses('{name: hidden, namespace: other}'));
  assert.deepEqual(results[0]?.unresolved, ['spec.declarative.modelConfigRef: there is no ModelConfig other/hidden']);
  // The same words as for what is nowhere.
  const nowhere = await f.apply('alice', uses('{name: nowhere, namespace: other}'));
  assert.deepEqual(nowhere.results[0]?.unresolved, [
    'spec.declarative.modelConfigRef: there is no ModelConfig other/nowhere',
  ]);
  // Who may use it is still not admitted from another namespace by whoever owns it.
  await f.apply(
    'local',
    grant('alice-uses', toPerson('alice'), '{kind: ModelConfig, name: hidden, namespace: other}', 'use', '', 'other'),
  );
  const [closed, why] = await f.refusal('alice', uses('{name: hidden, namespace: other}').replace('Hello', 'Again'));
  assert.deepEqual(
    [closed, why],
    [
      'invalid_documents',
      'spec.declarative.modelConfigRef: ModelConfig hidden does not admit other namespaces: its owner can set `consumers`',
    ],
  );
});

test('a name that is taken by what somebody may not see is refused in the words for what they may not make', async () => {
  await using f = await withTeam();
  await f.apply('ada', agent('secret-plan', '', 'board'));
  assert.deepEqual(
    await f.refusal('bob', agent('secret-plan', '', 'board')),
    await f.refusal('bob', agent('free', '', 'board')),
  );
});

test('what a file or the environment has is changed there, and what was read before is not written over', async () => {
  await using f = await withTeam();
  await f.apply('local', agent('from-file'), { managedBy: 'file', source: 'agents.yaml' });
  await f.apply('local', agent('from-cluster'), { managedBy: 'cluster' });
  await f.apply('local', agent('from-env'), { managedBy: 'environment', source: 'environment' });
  for (const [name, says] of [
    ['from-file', /is managed by agents\.yaml: change it there/],
    ['from-cluster', /kubectl edit agent from-cluster/],
    ['from-env', /comes from the server's environment/],
  ] as const) {
    const managed = { code: 'managed_elsewhere', message: says };
    await assert.rejects(f.apply('ada', agent(name, ', maxSteps: 3')), managed);
    await assert.rejects(f.remove('ada', 'Agent', name, 'team'), managed);
  }
  await f.apply('alice', agent('assistant'));
  await assert.rejects(f.apply('alice', agent('assistant'), { expect: 'create' }), { code: 'already_exists' });
  await assert.rejects(f.apply('alice', agent('missing'), { expect: 'replace' }), { code: 'not_found' });
  const { resourceVersion } = f.get('Agent', 'assistant', 'team').metadata;
  const versioned = (text: string) =>
    agent('assistant', text).replace('namespace: team', `namespace: team, resourceVersion: "${resourceVersion}"`);
  await f.apply('alice', versioned(', maxSteps: 3'));
  await assert.rejects(f.apply('alice', versioned(', maxSteps: 4')), { code: 'stale_resource_version' });
  assert.equal(f.get('Agent', 'assistant', 'team').spec.declarative?.maxSteps, 3);
});

test('`prune` takes away what the same file made before and leaves out now, and nothing of anybody else', async () => {
  await using f = await withTeam();
  const source = { source: 'a.yaml' };
  await f.apply('alice', docs(agent('one'), agent('two')), source);
  await f.apply('alice', agent('elsewhere'), { source: 'b.yaml' });
  await f.apply('ada', server('orders', EXCHANGE), source);
  // Of what alice may see and may not delete, she is told; nothing is changed.
  const refusal = await f.refusal('alice', agent('one'), { ...source, prune: true });
  assert.deepEqual(refusal, [
    'forbidden',
    ': not allowed: RemoteMCPServer orders may not be deleted: only an administrator may set this',
  ]);
  assert.ok(f.registry.get('Agent', 'team', 'two'));
  const { results } = await f.apply('ada', agent('one'), { ...source, prune: true });
  assert.deepEqual(results.map(({ action, name }) => [action, name]).sort(), [
    ['deleted', 'orders'],
    ['deleted', 'two'],
    ['unchanged', 'one'],
  ]);
  assert.ok(f.registry.get('Agent', 'team', 'elsewhere'));
  const deleted = (await f.audit.query({ type: 'change', limit: 100 })).filter(
    ({ entry }) => entry.outcome === 'deleted',
  );
  assert.deepEqual(deleted.map(({ entry }) => [entry.principal?.subject, entry.target?.name]).sort(), [
    ['ada', 'orders'],
    ['ada', 'two'],
  ]);
});

test('whether something may be deleted is asked of what is there at that moment, not of what was read', async () => {
  await using f = await withTeam();
  await f.apply('alice', server('orders', '{mode: None}'));
  const read = f.registry.byUid(f.get('RemoteMCPServer', 'orders', 'team').metadata.uid);
  assert.ok(read);
  await f.apply('ada', server('orders', EXCHANGE));
  await assert.rejects(f.control.remove(f.writer('alice'), read, 'r'), { code: 'forbidden' });
  await assert.rejects(f.control.remove(f.writer('bob'), read, 'r'), { code: 'not_found' });
  assert.ok(f.registry.get('RemoteMCPServer', 'team', 'orders'));
  await f.control.remove(f.writer('ada'), read, 'r');
  // What is gone already is no mistake of whoever wanted it gone.
  await f.control.remove(f.writer('ada'), read, 'r');
});

test('a Secret’s values are sealed on their own: no row, view or audit line holds one, and the view says which fields are set', async () => {
  await using f = await withTeam();
  await f.apply(
    'alice',
    doc('Secret', 'key', '{data: {value: correct-horse-battery}, usableBy: [ModelConfig]}', 'team'),
  );
  const stored = f.registry.byUid(f.get('Secret', 'key', 'team').metadata.uid);
  assert.ok(stored);
  const view = await f.control.view(stored);
  assert.deepEqual(view.spec, { usableBy: ['ModelConfig'] });
  assert.deepEqual(Object.keys((view.status as { fields: object }).fields), ['value']);
  assert.equal('writer' in view, false);
  const all = JSON.stringify([view, [...f.registry.all()], await f.audit.query({ limit: 1_000 })]);
  assert.equal(all.includes('correct-horse-battery'), false);
  assert.equal(stored.writer?.subject, 'alice');
});
