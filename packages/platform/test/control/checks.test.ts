import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDocuments, type ResourceOf } from '@onbehalf/resources';
import { check, type World } from '../../src/control/checks.ts';
import { doc, docs } from './fixture.ts';

const ISSUER = 'https://onbehalf.example';

/** A world of documents, as a write lays them over what is stored. */
function worldOf(
  yaml: string,
  embedded: World['embedded'] = { issuer: ISSUER, doorAudiences: [`${ISSUER}/mcp`] },
): World {
  const all = yaml === '' ? [] : parseDocuments(yaml).documents.map(({ input }) => input);
  const find = (kind: string, name: string, namespace?: string) =>
    all.find(
      (one) =>
        one.kind === kind &&
        one.metadata.name === name &&
        (namespace === undefined || (one.metadata.namespace ?? 'default') === namespace),
    ) as never;
  return {
    embedded,
    server: (namespace, name) => find('RemoteMCPServer', name, namespace),
    agent: (namespace, name) => find('Agent', name, namespace),
    tokenService: (name) => find('TokenService', name),
    issuers: () => all.filter(({ kind }) => kind === 'TrustedIssuer') as unknown as ResourceOf<'TrustedIssuer'>[],
  };
}

function mistakes(yaml: string, world: World): [path: string, message: string][] {
  const { documents, errors } = parseDocuments(yaml);
  assert.deepEqual(errors, []);
  return documents.flatMap(({ input }) =>
    check(input, world).map(({ path, message }): [string, string] => [path, message]),
  );
}
const paths = (yaml: string, world: World) => mistakes(yaml, world).map(([path]) => path);

const EMBEDDED = doc('TokenService', 'default', `{issuer: "${ISSUER}", profile: onbehalf}`);
const KEYCLOAK = doc(
  'TokenService',
  'kc',
  '{issuer: "https://kc.example/realms/a", profile: keycloak, client: {id: x, auth: SecretBasic, secretRef: {env: KC}}}',
);
const server = (name: string, auth: string, url = `https://${name}.example/mcp`) =>
  doc('RemoteMCPServer', name, `{url: "${url}", auth: ${auth}}`);
const agent = (name: string, tools: string, more = '') =>
  doc('Agent', name, `{type: Declarative, declarative: {systemMessage: x, tools: [${tools}]}${more}}`);
const bind = (name: string, auth = '') => `{type: McpServer, mcpServer: {name: ${name}${auth}}}`;

test('our own doors are no tool server and no target, however they are spelled', () => {
  const world = worldOf(EMBEDDED);
  for (const url of [
    ISSUER,
    `${ISSUER}/mcp`,
    `${ISSUER}:443/x`,
    'https://onbehalf.example./mcp',
    'HTTPS://ONBEHALF.example/mcp',
  ])
    assert.deepEqual(paths(server('a', '{mode: None}', url), world), ['spec.url'], url);
  for (const url of [
    'https://onbehalf.example:8443/mcp',
    'http://onbehalf.example/mcp',
    'https://notonbehalf.example/mcp',
  ])
    assert.deepEqual(paths(server('a', '{mode: None}', url), world), [], url);
  const targets = (auth: string) => paths(server('a', `{mode: Exchange, ${auth}}`), world);
  assert.deepEqual(targets(`audience: ["${ISSUER}/mcp"]`), ['spec.auth.audience']);
  assert.deepEqual(targets(`resource: ["${ISSUER}/anything"]`), ['spec.auth.resource']);
  assert.deepEqual(targets(`audience: [a], allowOverride: {audience: [a, "${ISSUER}/mcp"]}`), ['spec.auth.audience']);
  // On this machine every name of it is the same place.
  const local = worldOf(EMBEDDED, { issuer: 'http://localhost:8484', doorAudiences: [] });
  for (const host of [
    'localhost',
    'localhost.',
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '2130706433',
  ])
    assert.deepEqual(paths(server('a', '{mode: None}', `http://${host}:8484/mcp`), local), ['spec.url'], host);
  assert.deepEqual(paths(server('a', '{mode: None}', 'http://127.0.0.1:9000/mcp'), local), []);
});

test('the embedded token service takes one target in a request: two are refused at the server and at the binding', () => {
  const world = worldOf(
    docs(EMBEDDED, server('wide', '{mode: Exchange, audience: [a], allowOverride: {audience: [a, b]}}')),
  );
  assert.deepEqual(paths(server('x', '{mode: Exchange, audience: [a, b]}'), world), ['spec.auth.audience']);
  assert.deepEqual(
    paths(server('x', '{mode: Workload, audience: [a], resource: ["https://a.example", "https://b.example"]}'), world),
    ['spec.auth.resource'],
  );
  assert.deepEqual(mistakes(agent('one', bind('wide', ', auth: {audience: [a, b]}')), world), [
    [
      'spec.declarative.tools[0].mcpServer.auth',
      'chooses more than one value: profile onbehalf takes one target per request',
    ],
  ]);
  assert.deepEqual(paths(agent('one', bind('wide', ', auth: {audience: [b]}')), world), []);
});

test('what a token service’s dialect cannot say is refused at apply, with the profile’s name', () => {
  const world = worldOf(
    docs(
      KEYCLOAK,
      server(
        'kc',
        '{mode: Exchange, tokenServiceRef: {name: kc}, audience: [a], allowOverride: {resource: ["https://a.example"]}}',
      ),
    ),
  );
  const [[path, message] = []] = mistakes(
    server('x', '{mode: Exchange, tokenServiceRef: {name: kc}, resource: ["https://a.example"]}'),
    world,
  );
  assert.equal(path, 'spec.auth');
  assert.match(message ?? '', /\(profile keycloak\)$/);
  // What a binding leaves of the server's values is asked about too.
  const cleared = agent('one', bind('kc', ', auth: {audience: [], resource: ["https://a.example"]}'));
  const [[at, why] = []] = mistakes(cleared, world);
  assert.equal(at, 'spec.declarative.tools[0].mcpServer.auth');
  assert.match(why ?? '', /\(profile keycloak\)$/);
  assert.deepEqual(paths(server('x', '{mode: Exchange, tokenServiceRef: {name: kc}, audience: [a]}'), world), []);
  // One that is not there yet is a reference that does not resolve, and no mistake.
  assert.deepEqual(paths(server('x', '{mode: Exchange, tokenServiceRef: {name: later}, audience: [a]}'), world), []);
  assert.deepEqual(paths(KEYCLOAK, world), []);
  // Keycloak's exchange cannot nest who acts.
  const [[field, problem] = []] = mistakes(
    KEYCLOAK.replace('profile: keycloak', 'profile: keycloak, delegation: act'),
    world,
  );
  assert.equal(field, 'spec.delegation');
  assert.ok(problem);
});

test('a binding, and an agent’s default, choose from what the server lists, and mean nothing where no token is exchanged', () => {
  const world = worldOf(
    docs(
      EMBEDDED,
      server('orders', '{mode: Exchange, audience: [orders], scopes: [read], allowOverride: {scopes: [read, refund]}}'),
      server('open', '{mode: None}'),
    ),
  );
  assert.deepEqual(paths(agent('a', bind('orders', ', auth: {scopes: [refund]}')), world), []);
  assert.deepEqual(paths(agent('a', bind('orders', ', auth: {scopes: [delete]}')), world), [
    'spec.declarative.tools[0].mcpServer.auth.scopes',
  ]);
  assert.deepEqual(mistakes(agent('a', `${bind('orders')}, ${bind('open', ', auth: {scopes: [x]}')}`), world), [
    ['spec.declarative.tools[1].mcpServer.auth', "has no meaning: the server's mode is None"],
  ]);
  assert.deepEqual(paths(agent('a', bind('open')), world), []);
  // What the writer may not see, or is not there, says nothing.
  assert.deepEqual(paths(agent('a', bind('hidden', ', auth: {scopes: [x]}')), world), []);
  assert.deepEqual(mistakes(agent('a', bind('orders'), ', auth: {scopes: [read, delete]}'), world), [
    ['spec.auth.scopes', `"delete" is not allowed by any of the agent's servers`],
  ]);
  assert.deepEqual(paths(agent('a', bind('orders'), ', auth: {scopes: [refund]}'), world), []);
  assert.deepEqual(paths(agent('a', bind('open'), ', auth: {scopes: [refund]}'), world), []);
});

test('agents that lead back to themselves are refused, of either type and over namespaces', () => {
  const call = (name: string, namespace = 'default') =>
    `{type: Agent, agent: {name: ${name}, namespace: ${namespace}}}`;
  const byo = (name: string, tools: string) =>
    doc('Agent', name, `{type: BYO, byo: {endpoint: "https://p.example", tools: [${tools}]}}`);
  const world = worldOf(
    docs(agent('b', call('c')), byo('c', call('a')), agent('d', call('d2')), agent('d2', call('d'))),
  );
  assert.deepEqual(paths(agent('a', call('b')), world), ['spec.declarative.tools']);
  assert.deepEqual(paths(byo('a', call('b')), world), ['spec.byo.tools']);
  assert.deepEqual(paths(agent('a', call('a')), world), ['spec.declarative.tools']);
  assert.deepEqual(paths(agent('a', call('a', 'other')), world), []);
  // A circle of others is theirs, and ends the walk.
  assert.deepEqual(paths(agent('a', call('d')), world), []);
  assert.deepEqual(paths(agent('a', call('missing')), world), []);
});

test('P2 no two issuers write the same subject, and none takes the name of what is no issuer', () => {
  const issuer = (name: string, url: string, more = '') => doc('TrustedIssuer', name, `{issuer: "${url}"${more}}`);
  const world = worldOf(
    docs(
      issuer('onbehalf', ISSUER),
      issuer('office', 'https://office.example'),
      issuer('plain', 'https://plain.example', ', subjectPrefix: ""'),
    ),
  );
  for (const [document, expected] of [
    [issuer('office', 'https://office.example'), []],
    [issuer('second', 'https://office.example'), ['spec.issuer']],
    [issuer('second', 'https://second.example', ', subjectPrefix: office'), ['spec.subjectPrefix']],
    [issuer('second', 'https://second.example', ', subjectPrefix: ""'), ['spec.subjectPrefix']],
    [issuer('second', 'https://second.example', ', subjectPrefix: "a:b"'), ['spec.subjectPrefix']],
    [issuer('agent', 'https://second.example'), ['metadata.name']],
    [issuer('second', 'local'), ['spec.issuer']],
    [issuer('second', 'legacy:env'), ['spec.issuer']],
    [issuer('second', 'legacy:env', ', legacyHs256: {secretRef: {env: KEY}}'), []],
    // The embedded issuer's people have no prefix: its resource's name is free as one.
    [issuer('second', 'https://second.example', ', subjectPrefix: onbehalf'), []],
  ] as const)
    assert.deepEqual(paths(document, world), expected, document);
});
