import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controlFixture, doc, docs, grant, ISSUER, OTHER, toPerson, until } from './fixture.ts';

const AGENT = doc(
  'Agent',
  'assistant',
  '{type: Declarative, declarative: {systemMessage: Hello, modelConfigRef: {name: m}}}',
  'team',
);
const MODEL = doc(
  'ModelConfig',
  'm',
  '{provider: OpenAICompatible, model: m, openAICompatible: {baseUrl: "https://m.example/v1"}}',
  'team',
);
const server = (auth: string, more = 'url: "https://tools.example/mcp"') =>
  doc('RemoteMCPServer', 'tools', `{${more}, auth: ${auth}}`, 'team');

test('an agent whose last writer was disabled or lost a role has no references that resolve, until they have it again', async () => {
  await using f = await controlFixture();
  await f.apply('local', docs(MODEL, grant('a', toPerson('alice'), '{namespace: team}', 'write, use')));
  await f.apply('alice', AGENT);
  const says = () => f.condition('Agent', 'assistant', 'ResolvedRefs', 'team');
  assert.equal((await says())?.[0], 'True');
  // Nothing is written but the principal: the reconciler comes by itself.
  const stands = () =>
    f.get('Agent', 'assistant', 'team').status.conditions?.find(({ type }) => type === 'ResolvedRefs')?.status;
  await f.users.disable(ISSUER, 'alice', true);
  await until(() => stands() === 'False');
  assert.equal((await f.condition('Agent', 'assistant', 'Ready', 'team'))?.[1], 'WaitsForReferences');
  await f.users.disable(ISSUER, 'bob', true);
  await f.users.disable(ISSUER, 'alice', false);
  await until(() => stands() === 'True');
  await f.users.setRole(ISSUER, 'alice', 'RESTRICTED');
  await until(() => stands() === 'False');
});

test('a Grant that ends says so by itself, and so does what rested on it', async () => {
  await using f = await controlFixture();
  const expiresAt = new Date(f.now() + 400).toISOString();
  await f.apply('local', docs(MODEL, grant('writes', toPerson('alice'), '{namespace: team}', 'write')));
  await f.apply(
    'local',
    grant(
      'uses',
      toPerson('alice'),
      '{kind: ModelConfig, name: m, namespace: team}',
      'use',
      `, expiresAt: "${expiresAt}"`,
      'team',
    ),
  );
  await f.apply('alice', AGENT);
  const stands = (kind: 'Agent' | 'Grant', name: string, type: string) =>
    f.get(kind, name, 'team').status.conditions?.find((one) => one.type === type);
  await until(() => stands('Grant', 'uses', 'Ready')?.status === 'False');
  assert.equal(stands('Grant', 'uses', 'Ready')?.reason, 'Expired');
  await until(() => stands('Agent', 'assistant', 'ResolvedRefs')?.status === 'False');
  assert.match(
    stands('Agent', 'assistant', 'ResolvedRefs')?.message ?? '',
    /last writer of this resource may not use|there is no ModelConfig/,
  );
});

test('what a server’s mode makes true is not said any more once the mode is another', async () => {
  await using f = await controlFixture();
  const says = (type: 'ForwardRisk' | 'ActorNotBound' | 'Ready') =>
    f.condition('RemoteMCPServer', 'tools', type, 'team');
  await f.apply('ada', server('{mode: Forward}'));
  assert.equal((await says('ForwardRisk'))?.[0], 'True');
  const service = (delegation: string) =>
    doc('TokenService', 'default', `{issuer: "https://sts.example", profile: rfc8693, delegation: ${delegation}}`);
  await f.apply('ada', docs(service('none'), server('{mode: Exchange, audience: [a]}')));
  assert.equal(await says('ForwardRisk'), undefined);
  assert.deepEqual((await says('ActorNotBound'))?.slice(0, 2), ['True', 'DelegationNone']);
  await f.apply('ada', service('act'));
  assert.deepEqual((await says('ActorNotBound'))?.slice(0, 2), ['False', 'Bound']);
  await f.apply('ada', server('{mode: None}'));
  assert.equal(await says('ActorNotBound'), undefined);
  await f.apply('ada', doc('RemoteMCPServer', 'tools', '{protocol: Stdio, stdio: {command: [x]}}', 'team'));
  assert.deepEqual((await says('Ready'))?.slice(0, 2), ['False', 'NotSupported']);
  await f.apply('ada', server('{mode: None}'));
  assert.equal(await says('Ready'), undefined);
});

test('a Grant says whether it gives somebody something, and if not, why', async () => {
  await using f = await controlFixture();
  await f.apply('ada', docs(MODEL, AGENT));
  await f.apply('local', doc('TrustedIssuer', 'office', `{issuer: "${OTHER}", jwksUri: "${OTHER}/jwks"}`));
  await f.apply(
    'local',
    doc(
      'TrustedIssuer',
      'tenants',
      '{issuer: "https://login.example/{tenantid}/v2", tenants: [t1], jwksUri: "https://login.example/jwks"}',
    ),
  );
  await f.apply('local', doc('TrustedIssuer', 'old', '{issuer: "legacy:old", legacyHs256: {secretRef: {env: KEY}}}'));
  const on = '{kind: Agent, name: assistant, namespace: team}';
  for (const [to, target, reason] of [
    [toPerson('alice'), on, 'Ready'],
    [toPerson('nobody'), on, 'NobodyThere'],
    [toPerson('somebody', OTHER), on, 'Ready'],
    [toPerson('somebody', `${OTHER}/`), on, 'IssuerNotTrusted'],
    [toPerson('somebody', 'https://login.example/t1/v2'), on, 'Ready'],
    [toPerson('somebody', 'https://login.example/t2/v2'), on, 'IssuerNotTrusted'],
    [toPerson('somebody', 'https://login.example/{tenantid}/v2'), on, 'IssuerNotTrusted'],
    [toPerson('"7"', 'legacy:old'), on, 'Ready'],
    [toPerson('"7"', 'legacy:new'), on, 'IssuerNotTrusted'],
    [toPerson('local-admin', 'local'), on, 'Ready'],
    [`{group: {issuer: "${OTHER}", name: staff}}`, on, 'Ready'],
    ['{everyone: {issuer: "https://nowhere.example"}}', on, 'IssuerNotTrusted'],
    ['{role: REGULAR}', on, 'Ready'],
    ['{role: REGULAR}', '{kind: Agent, name: nobody, namespace: team}', 'WaitsForReferences'],
  ] as const) {
    await f.apply('ada', grant('g', to, target, 'run', '', 'team'));
    assert.equal((await f.condition('Grant', 'g', 'Ready', 'team'))?.[1], reason, `${to} ${target}`);
  }
});

test('a Grant holds its first target: what is made again under the name has nothing of it until an administrator of it says so', async () => {
  await using f = await controlFixture();
  await f.apply('local', docs(MODEL, grant('writes', toPerson('alice'), '{namespace: team}', 'write, use')));
  await f.apply('alice', AGENT);
  const give = grant('g', toPerson('bob'), '{kind: Agent, name: assistant, namespace: team}', 'run', '', 'team');
  await f.apply('alice', give);
  const mayRun = () =>
    f.policy.decide(f.person('bob'), 'run', { kind: 'Agent', uid: f.get('Agent', 'assistant', 'team').metadata.uid })
      .effect;
  assert.equal(mayRun(), 'allow');
  const { uid: first } = f.get('Agent', 'assistant', 'team').metadata;
  await f.remove('alice', 'Agent', 'assistant', 'team');
  assert.equal((await f.condition('Grant', 'g', 'Ready', 'team'))?.[1], 'TargetGone');
  await f.apply('ada', AGENT);
  const { uid: second } = f.get('Agent', 'assistant', 'team').metadata;
  assert.deepEqual((await f.condition('Grant', 'g', 'AgentReplaced', 'team'))?.slice(0, 2), ['True', 'MadeAgain']);
  assert.deepEqual((await f.condition('Grant', 'g', 'Ready', 'team'))?.slice(0, 2), ['False', 'AgentReplaced']);
  // An unchanged nightly apply hands nothing on, and says what `rebind` would.
  const nightly = await f.apply('ada', give);
  assert.deepEqual(
    [nightly.results[0]?.action, nightly.results[0]?.rebind],
    ['unchanged', { from: first, to: second, done: false }],
  );
  assert.equal(mayRun(), 'hide');
  // Whoever had the first one has no say over the second.
  assert.equal((await f.refusal('alice', give, { rebind: true }))[0], 'forbidden');
  const bound = await f.apply('ada', give, { rebind: true });
  assert.deepEqual(bound.results[0]?.rebind, { from: first, to: second, done: true });
  assert.equal(mayRun(), 'allow');
  assert.equal((await f.condition('Grant', 'g', 'AgentReplaced', 'team'))?.[0], 'False');
  const [line] = (await f.audit.query({ type: 'change', limit: 100 })).filter(
    ({ entry }) => entry.data?.reboundTo !== undefined,
  );
  assert.deepEqual(
    [line?.entry.principal?.subject, line?.entry.data?.reboundFrom, line?.entry.data?.reboundTo],
    ['ada', first, second],
  );
});

test('a reference says why it does not resolve, and resolves by itself when that is mended', async () => {
  await using f = await controlFixture();
  await f.apply('ada', AGENT);
  assert.deepEqual(await f.condition('Agent', 'assistant', 'ResolvedRefs', 'team'), [
    'False',
    'NotResolved',
    'spec.declarative.modelConfigRef: there is no ModelConfig team/m',
  ]);
  await f.apply('ada', MODEL);
  assert.equal((await f.condition('Agent', 'assistant', 'ResolvedRefs', 'team'))?.[0], 'True');
  assert.equal((await f.condition('Agent', 'assistant', 'Ready', 'team'))?.[0], 'True');
  const bedrock = doc('ModelConfig', 'm', '{provider: Bedrock, model: m, bedrock: {region: eu-west-1}}', 'team');
  const byo = doc('Agent', 'program', '{type: BYO, byo: {endpoint: "https://p.example"}}', 'team');
  await f.apply('ada', docs(byo, bedrock));
  assert.deepEqual((await f.condition('Agent', 'program', 'Ready', 'team'))?.slice(0, 2), ['False', 'NotSupported']);
  assert.deepEqual((await f.condition('ModelConfig', 'm', 'Ready', 'team'))?.slice(0, 2), ['False', 'NotSupported']);
  // Running it again changes nothing.
  const { resourceVersion } = f.get('Agent', 'assistant', 'team').metadata;
  await f.control.reconcile();
  assert.equal(f.get('Agent', 'assistant', 'team').metadata.resourceVersion, resourceVersion);
});

test('conditions that a full disk refused are written once there is room again', async () => {
  await using f = await controlFixture();
  const names = Array.from({ length: 60 }, (_, n) => `agent-${n}`);
  const agent = (name: string) => AGENT.replace('name: assistant', `name: ${name}`);
  await f.apply('ada', docs(MODEL, ...names.map(agent)));
  f.store.setMaxBytes(1);
  await assert.rejects(f.control.reconcile(), { code: 'store_full' });
  f.store.setMaxBytes(1e9);
  await f.control.reconcile();
  for (const name of names) assert.equal((await f.condition('Agent', name, 'Ready', 'team'))?.[0], 'True', name);
  assert.deepEqual(f.errors, []);
});
