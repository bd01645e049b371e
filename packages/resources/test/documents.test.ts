import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checkDocument,
  jsonSchema,
  kindNames,
  kindOf,
  parseDocuments,
  RESERVED_AGENT_NAMES,
} from '@onbehalf/resources';

const agent = (body: string) => `apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: assistant}
spec:
  type: Declarative
${body}`;

const server = (auth: string) => `apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: orders}
spec:
  url: https://orders.example/mcp
  auth: ${auth}`;

function errorsOf(text: string) {
  const { documents, errors } = parseDocuments(text, 'file.yaml');
  if (errors.length > 0) assert.ok(documents.length >= 0);
  return errors;
}

const mistakes: [name: string, text: string, line: number, path: string, says: RegExp][] = [
  ['tabs', agent('  declarative:\n\t  stream: true'), 7, '', /tab/],
  ['duplicate keys', agent('  declarative: {}\n  declarative: {}'), 7, '', /unique/i],
  ['an unknown field', agent('  declarativ: {}'), 6, 'spec.declarativ', /did you mean `declarative`/],
  [
    'an unknown nested field',
    agent('  declarative:\n    tools:\n      - type: Agent\n        agent: {nam: x}'),
    9,
    'spec.declarative.tools[0].agent.nam',
    /did you mean `name`/,
  ],
  [
    'a wrong kind',
    'apiVersion: onbehalf.dev/v1alpha1\nkind: Agnet\nmetadata: {name: a}\nspec: {}',
    2,
    'kind',
    /did you mean Agent/,
  ],
  [
    'a wrong apiVersion',
    agent('  declarative: {}').replace('onbehalf.dev/v1alpha1', 'v1'),
    1,
    'apiVersion',
    /onbehalf\.dev\/v1alpha1/,
  ],
  ['a scalar document', 'hello', 1, '', /mapping/],
  ['nothing', '# only a comment\n', 1, '', /no document/],
  [
    'a resource with a fragment',
    server('{mode: Exchange, resource: ["https://o.example/mcp#x"]}'),
    6,
    'spec.auth.resource[0]',
    /no fragment/,
  ],
  ['a relative resource', server('{mode: Exchange, resource: ["/mcp"]}'), 6, 'spec.auth.resource[0]', /absolute URI/],
  ['audience without a mode', server('{audience: [orders]}'), 6, 'spec.auth.mode', /mode: Exchange/],
  ['Exchange without a target', server('{mode: Exchange}'), 6, 'spec.auth.resource', /needs a target/],
  [
    'an approval for a tool that is not bound',
    agent(
      '  declarative:\n    tools:\n      - type: McpServer\n        mcpServer: {name: orders, toolNames: [a], requireApproval: [b]}',
    ),
    9,
    'spec.declarative.tools[0].mcpServer.requireApproval',
    /b is not in toolNames/,
  ],
  ['a reserved agent name', agent('  declarative: {}').replace('assistant', 'models'), 3, 'metadata.name', /reserved/],
  [
    'a namespace on a cluster-scoped kind',
    'apiVersion: onbehalf.dev/v1alpha1\nkind: TokenService\nmetadata: {name: t, namespace: a}\nspec: {issuer: https://i.example, profile: rfc8693}',
    3,
    'metadata.namespace',
    /cluster-scoped/,
  ],
  [
    'a Secret of no namespace in a cluster-scoped kind',
    'apiVersion: onbehalf.dev/v1alpha1\nkind: TokenService\nmetadata: {name: t}\nspec: {issuer: https://i.example, profile: rfc8693, client: {id: c, auth: SecretBasic, secretRef: {name: s, key: k}}}',
    4,
    'spec.client.secretRef.namespace',
    /cluster-scoped/,
  ],
  [
    'a secret in the open',
    'apiVersion: onbehalf.dev/v1alpha1\nkind: TokenService\nmetadata: {name: t}\nspec: {issuer: https://i.example, profile: rfc8693, client: {id: c, auth: SecretBasic, secret: hunter2}}',
    4,
    'spec.client.secret',
    /^a secret is never written here: refer to one by `secretRef`/,
  ],
  [
    'a profile that is nearly one',
    'apiVersion: onbehalf.dev/v1alpha1\nkind: TokenService\nmetadata: {name: t}\nspec: {issuer: https://i.example, profile: keycloack}',
    4,
    'spec.profile',
    /did you mean keycloak\? Known are rfc8693/,
  ],
  [
    'PrivateKeyJwt without a key',
    'apiVersion: onbehalf.dev/v1alpha1\nkind: TokenService\nmetadata: {name: t}\nspec: {issuer: https://i.example, profile: rfc8693, client: {id: c, auth: PrivateKeyJwt}}',
    4,
    'spec.client.keyRef',
    /PrivateKeyJwt needs `keyRef`/,
  ],
  ['a relative resource', server('{mode: Exchange, resource: [/mcp]}'), 6, 'spec.auth.resource[0]', /absolute URI/],
  [
    'a reserved header',
    `${server('{}')}\n  headers: [{name: Authorization, value: x}]`,
    7,
    'spec.headers[0].name',
    /reserved/,
  ],
  ['a user name in a URL', server('{}').replace('https://', 'https://user:pw@'), 5, 'spec.url', /Secret/],
  ['__proto__', agent('  declarative: {}\n  __proto__: {x: 1}'), 7, '', /__proto__/],
  ['a number as key', agent('  declarative: {}\n  1: x'), 7, '', /string/],
];

for (const [name, text, line, path, says] of mistakes)
  test(`a document with ${name} is one clear error in its place`, () => {
    const [error, ...more] = errorsOf(text);
    assert.ok(error, 'no error was reported');
    assert.deepEqual(more, []);
    assert.equal(error.file, 'file.yaml');
    assert.equal(error.path, path);
    assert.match(error.message, says);
    assert.equal(error.line, line);
  });

test('anchors that explode are refused at once', () => {
  const levels = ['a: &a0 [x,x,x,x,x,x,x,x,x]'];
  for (let level = 1; level < 9; level++)
    levels.push(
      `b${level}: &a${level} [${Array(5)
        .fill(`*a${level - 1}`)
        .join(',')}]`,
    );
  const started = performance.now();
  const errors = errorsOf(levels.join('\n'));
  assert.match(errors[0]?.message ?? '', /expand to too much|aliases/);
  assert.ok(performance.now() - started < 1_000);
});

test('every mistake of every document is reported, with the number of its document', () => {
  const errors = errorsOf(
    `${agent('  declarativ: {}')}\n---\n${server('{mode: Exchange}')}\n---\n${server('{mode: None}')}`,
  );
  assert.deepEqual(
    errors.map((error) => error.document),
    [1, 2],
  );
});

test('a good file gives its documents, absent and empty lists kept apart', () => {
  const { documents, errors } = parseDocuments(
    `${agent('  declarative: {systemMessage: hi}')}\n---\n${server('{mode: Exchange, resource: ["https://h"], audience: []}')}\n`,
  );
  assert.deepEqual(errors, []);
  assert.equal(documents.length, 2);
  const second = documents[1]?.input;
  assert.ok(second?.kind === 'RemoteMCPServer');
  assert.deepEqual(second.spec.auth, { mode: 'Exchange', resource: ['https://h'], audience: [] });
});

test('every kind has a JSON Schema without unions, and is found by its usual names', () => {
  for (const kind of kindNames) {
    const text = JSON.stringify(jsonSchema(kind));
    assert.ok(!text.includes('"anyOf"') && !text.includes('"oneOf"'), kind);
  }
  assert.equal(kindOf('agents'), 'Agent');
  assert.equal(kindOf('mcp-server'), 'RemoteMCPServer');
  assert.equal(kindOf('pods'), undefined);
  assert.equal(kindOf('mcp-servers'), 'RemoteMCPServer');
  assert.equal(kindOf('modelconfig'), 'ModelConfig');
  assert.ok(RESERVED_AGENT_NAMES.has('me'));
});

test('a mistake hides no other: an unknown field, a wrong apiVersion and a wrong value are told together', () => {
  const text = agent('  declarativ:\n    maxSteps: many\n  enabled: 1\n  extra: {}').replace('v1alpha1', 'v1');
  const said = errorsOf(text).map(({ line, path, message }) => `${line} ${path}: ${message}`);
  assert.match(said[2] ?? '', /^9 spec\.extra: unknown field: known are type, description/);
  assert.deepEqual(
    said.filter((_, index) => index !== 2),
    [
      '1 apiVersion: must be onbehalf.dev/v1alpha1, not "onbehalf.dev/v1"',
      '6 spec.declarativ: unknown field: did you mean `declarative`?',
      '8 spec.enabled: must be true or false, not 1',
      '4 spec.declarative.maxSteps: must be a number, not "many"',
    ],
  );
});

test('values are refused in words, none of them the library’s', () => {
  const said = errorsOf(
    `${agent('  declarative: []\n  enabled: "yes"\n  version: 3')}\n---\n${server('{mode: Exchang, resource: x}')}\n---\n${server('{}').replace('url: https://orders.example/mcp', 'url: orders')}`,
  ).map(({ message }) => message);
  assert.ok(said.length >= 5, said.join('\n'));
  for (const message of said) assert.doesNotMatch(message, /Invalid|expected|received|Too (small|big)/, message);
  assert.ok(
    said.some((message) => /must be one of .*: did you mean Exchange\?/.test(message)),
    said.join('\n'),
  );
});

test('empty documents and documents of comments are skipped, and lines count in the whole text', () => {
  const text = `---\n---\n# a comment\n---\n${agent('  declarative: {}')}\n---\n\n# another\n---\n${agent('  declarativ: {}')}\n---\n`;
  const { documents, errors } = parseDocuments(text);
  assert.deepEqual(
    documents.map(({ document, line }) => [document, line]),
    [[1, 5]],
  );
  assert.deepEqual(
    errors.map(({ document, line }) => [document, line]),
    [[2, 20]],
  );
  assert.equal(documents[0]?.lineOf('spec.declarative'), 10);
});

test('an alias without an anchor, also one of another document, is one clear error', () => {
  const [error] = errorsOf(`${agent('  declarative: &d {}')}\n---\n${agent('  declarative: *d')}`);
  assert.equal(error?.message, '*d has no anchor &d above it in this document');
  assert.deepEqual([error?.document, error?.line], [2, 13]);
});

test('what is valid is taken: tabs inside text, JSON that is indented with tabs, a directive', () => {
  const block = agent('  declarative:\n    systemMessage: |\n      one\ttwo\n      \tthree');
  const json = JSON.stringify(
    {
      apiVersion: 'onbehalf.dev/v1alpha1',
      kind: 'Agent',
      metadata: { name: 'a' },
      spec: { type: 'Declarative', declarative: {} },
    },
    undefined,
    '\t',
  );
  const { documents, errors } = parseDocuments(
    `%YAML 1.2\n---\n${block}\n---\n${json}\n...\n---\n${block.replace('assistant', 'b')}`,
  );
  assert.deepEqual(errors, []);
  assert.equal(documents.length, 3);
  const first = documents[0]?.input;
  assert.equal(first?.kind === 'Agent' && first.spec.declarative?.systemMessage, 'one\ttwo\n\tthree\n');
});

const floods: [name: string, text: string][] = [
  ['a field name of two million letters', agent(`  ${'x'.repeat(2_000_000)}: {}`)],
  ['a field name of half a million letters', agent(`  ${'x'.repeat(500_000)}: {}`)],
  [
    'a misspelt kind of a megabyte',
    `apiVersion: onbehalf.dev/v1alpha1\nkind: ${'Agnet'.repeat(200_000)}\nmetadata: {name: a}\nspec: {}`,
  ],
  [
    '900 documents with a misspelt name of 1.6 kB',
    Array.from({ length: 900 }, () => agent(`  ${'declarativ'.repeat(160)}: {}`)).join('\n---\n'),
  ],
  ['a deep flow', agent(`  declarative: ${'['.repeat(50_000)}${']'.repeat(50_000)}`)],
  ['a deep sequence', `${'- '.repeat(50_000)}x`],
  ['deep keys', Array.from({ length: 900 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')],
  ['brackets that end nothing', ']'.repeat(1_000_000)],
  ['commas', `[${','.repeat(1_000_000)}]`],
  ['a million empty documents', '---\n'.repeat(1_000_000)],
  ['a million empty lines', '\n'.repeat(1_000_000)],
  ['comments', '# x\n'.repeat(1_000_000)],
  ['100,000 keys', Array.from({ length: 100_000 }, (_, index) => `k${index}: 1`).join('\n')],
];
for (const [name, text] of floods)
  test(`I8 ${name}: one bounded answer, in a time that grows with the length alone`, () => {
    const before = process.cpuUsage();
    const errors = errorsOf(text);
    const { user } = process.cpuUsage(before);
    assert.ok(errors.length > 0 && errors.length <= 100, String(errors.length));
    assert.ok(JSON.stringify(errors).length < 65_536, 'what was sent is not sent back');
    assert.doesNotMatch(JSON.stringify(errors), /call stack/);
    // What took seconds when it was quadratic.
    assert.ok(user < 1_500_000, `${user} µs of CPU`);
  });

test('a value that comes as JSON has the same bounds', () => {
  let deep: unknown = 1;
  for (let depth = 0; depth < 5_000; depth++) deep = [deep];
  const said = (value: unknown) => {
    const checked = checkDocument(value);
    return 'issues' in checked ? (checked.issues[0]?.message ?? '') : '';
  };
  assert.match(said({ spec: deep }), /deeper than 64/);
  assert.match(said({ spec: Array.from({ length: 20_000 }, () => 1) }), /more than 10000 values/);
  assert.match(said({ spec: { text: 'a\0b' } }), /NUL/);
  assert.match(said({ spec: { text: 'a\ud800b' } }), /half of a character pair/);
});

test('a field that is left empty is none; in what is somebody else’s, null is meant', () => {
  const head = 'apiVersion: onbehalf.dev/v1alpha1\n';
  const agent = `${head}kind: Agent\nmetadata:\n  name: a\n  labels:\nspec:\n  type: Declarative\n  declarative:\n    systemMessage: x\n    tools:\n`;
  const model = `${head}kind: ModelConfig\nmetadata: {name: m}\nspec: {provider: Demo, model: d, parameters: {stop: null}, tls: }\n`;
  const { documents, errors } = parseDocuments(`${agent}---\n${model}`);
  assert.deepEqual(errors, []);
  assert.deepEqual(
    documents.map(({ input }) => input.spec),
    [
      { type: 'Declarative', declarative: { systemMessage: 'x' } },
      { provider: 'Demo', model: 'd', parameters: { stop: null } },
    ],
  );
  const nothing = parseDocuments(`${head}kind: Agent\nmetadata: {name: a}\nspec:\n`);
  assert.match(nothing.errors[0]?.message ?? '', /required|must be/);
});
