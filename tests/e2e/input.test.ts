import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ApplyResult, DocumentError } from '@onbehalf/resources';
import { say, startWorld, type World } from './world.ts';

const agent = (name: string, more = '') => `
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: ${name}}
spec: {type: Declarative, declarative: {modelConfigRef: {name: default}${more}}}
`;

describe('bad input', () => {
  let world: World;
  let alice: string;
  let root: string;
  before(async () => {
    world = await startWorld();
    alice = await world.token('alice');
    root = await world.token('root');
  });
  after(() => world[Symbol.asyncDispose]());

  const agents = async () =>
    (await world.as<{ items: { metadata: { name: string } }[] }>(root, 'GET', '/agents')).body.items.map(
      ({ metadata }) => metadata.name,
    );
  const errorsOf = (body: unknown) => (body as { errors?: DocumentError[] }).errors ?? [];

  test('apply is all or nothing, and names file, document, line, path', async () => {
    const documents = `${agent('good')}---${agent('bad', ', tols: []')}`;
    const { status, body } = await world.as(root, 'POST', '/apply', { documents, file: 'team.yaml' });
    assert.equal(status, 422);
    const [error] = errorsOf(body);
    assert.deepEqual(
      [error?.file, error?.document, error?.line, error?.path],
      ['team.yaml', 2, 10, 'spec.declarative.tols'],
    );
    assert.match(error?.message ?? '', /did you mean `tools`/);
    assert.ok(!(await agents()).includes('good'));
  });

  test('what a document says about others is checked before anything is written', async () => {
    const server = (auth: string, url = 'https://orders.example/mcp') => `
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: bad}
spec: {url: "${url}", auth: ${auth}}
`;
    const service = (profile: string, more = '', issuer = 'https://sts.example') => `---
apiVersion: onbehalf.dev/v1alpha1
kind: TokenService
metadata: {name: sts}
spec: {issuer: "${issuer}", profile: ${profile}${more}}
`;
    const perAgent =
      '{agent: {name: assistant}, client: {id: a, auth: SecretBasic, secretRef: {namespace: default, name: s, key: k}}}';
    const bind = (auth: string) =>
      agent('bad', `, tools: [{type: McpServer, mcpServer: {name: orders, auth: ${auth}}}]`);
    const cases: [name: string, yaml: string, path: string, says: RegExp][] = [
      [
        'D1 a binding beyond allowOverride',
        bind('{scopes: [admin]}'),
        'spec.declarative.tools[0].mcpServer.auth.scopes',
        /not allowed by the server/,
      ],
      [
        'D1 a binding with another audience',
        bind('{audience: [hr]}'),
        'spec.declarative.tools[0].mcpServer.auth.audience',
        /not allowed by the server/,
      ],
      [
        'D1 a binding with a mode',
        bind('{mode: None}'),
        'spec.declarative.tools[0].mcpServer.auth.mode',
        /unknown field/,
      ],
      [
        'D1 a default of the agent that none of its servers allows',
        agent('bad', ', tools: [{type: McpServer, mcpServer: {name: orders}}]').replace(
          'spec: {',
          'spec: {auth: {scopes: [payroll]}, ',
        ),
        'spec.auth.scopes',
        /not allowed by any/,
      ],
      [
        'a fragment',
        server('{mode: Exchange, resource: ["https://orders.example/mcp#x"]}'),
        'spec.auth.resource[0]',
        /no fragment/,
      ],
      [
        'two resources with profile onbehalf',
        server(
          '{mode: Exchange, tokenServiceRef: {name: onbehalf}, resource: ["https://a.example", "https://b.example"]}',
        ),
        'spec.auth.resource',
        /one target per request/,
      ],
      ['D5 our own API as tool server', server('{mode: None}', `${world.url}/api`), 'spec.url', /its own tool server/],
      [
        'D5 our own API as target',
        server(`{mode: Exchange, resource: ["${world.url}/api"]}`),
        'spec.auth.resource',
        /never a target/,
      ],
      [
        'D5 our own port by another name',
        server('{mode: None}', world.url.replace('localhost', '127.0.0.1')),
        'spec.url',
        /its own tool server/,
      ],
      [
        'a target that Keycloak cannot limit',
        `${service('keycloak')}---${server('{mode: Exchange, tokenServiceRef: {name: sts}, resourceFrom: ServerURL}')}`,
        'spec.auth',
        /needs an audience.*profile keycloak/,
      ],
      [
        'a resource that Keycloak ignores',
        service('keycloak') +
          '---' +
          server('{mode: Exchange, tokenServiceRef: {name: sts}, audience: [orders], resourceFrom: ServerURL}'),
        'spec.auth',
        /takes no resource/,
      ],
      [
        'a resource that Entra refuses',
        service('entra-obo') +
          '---' +
          server('{mode: Exchange, tokenServiceRef: {name: sts}, resourceFrom: ServerURL, scopes: [a/.default]}'),
        'spec.auth',
        /refuses every resource; name the scope/,
      ],
      [
        'a token service by http:// on another host',
        service('rfc8693', '', 'http://sts.example'),
        'spec.issuer',
        /https:\/\/ URL, or http:\/\/ on loopback/,
      ],
      [
        'a delegation that the profile cannot do',
        service('keycloak', ', delegation: act'),
        'spec.delegation',
        /use azp or none/,
      ],
      [
        'an agent with two clients',
        service('keycloak', `, clientPerAgent: [${perAgent}, ${perAgent}]`),
        'spec.clientPerAgent[1].agent',
        /default\/assistant is named twice/,
      ],
      ['an unknown profile', service('keycloack'), 'spec.profile', /did you mean keycloak/],
      [
        'a loop of agents',
        `${agent('one', ', tools: [{type: Agent, agent: {name: two}}]')}---${agent('two', ', tools: [{type: Agent, agent: {name: one}}]')}`,
        'spec.declarative.tools',
        /loop/,
      ],
    ];
    for (const [name, yaml, path, says] of cases) {
      const { status, body } = await world.as(root, 'POST', '/apply', { documents: yaml });
      assert.equal(status, 422, name);
      const error = errorsOf(body).find((one) => one.path === path);
      assert.ok(error, `${name}: ${JSON.stringify(body)}`);
      assert.match(error.message, says, name);
    }
    assert.ok(!(await agents()).includes('one'));
  });

  test('an Exchange server from somebody who is no administrator is refused, as are env: and file: references', async () => {
    await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: alice-writes}
spec: {to: {principal: {issuer: "${world.url}", subject: alice}}, on: {namespace: default}, verbs: [write]}
`);
    const server = (auth: string) => `
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: alices}
spec: {url: "https://orders.example/mcp", auth: ${auth}}
`;
    const exchange = await world.as(alice, 'POST', '/apply', {
      documents: server('{mode: Exchange, resource: ["https://orders.example/mcp"]}'),
    });
    assert.equal(exchange.status, 403, JSON.stringify(exchange.body));
    assert.match(String(exchange.body.detail), /administrator.*Exchange/);
    const model = await world.as(alice, 'POST', '/apply', {
      documents:
        'apiVersion: onbehalf.dev/v1alpha1\nkind: ModelConfig\nmetadata: {name: mine}\nspec: {provider: OpenAI, model: m, credentialRef: {env: PATH}}',
    });
    assert.equal(model.status, 403, 'D2');
    assert.equal(
      (await world.as(alice, 'POST', '/apply', { documents: server('{mode: None}') })).status,
      200,
      'a plain server is theirs to write',
    );
    const raised = await world.as(alice, 'POST', '/apply', { documents: server('{mode: Forward}') });
    assert.equal(raised.status, 403);
    for (const kind of ['TokenService', 'TrustedIssuer']) {
      const spec =
        kind === 'TokenService' ? '{issuer: https://i.example, profile: rfc8693}' : '{issuer: https://i.example}';
      const answer = await world.as(alice, 'POST', '/apply', {
        documents: `apiVersion: onbehalf.dev/v1alpha1\nkind: ${kind}\nmetadata: {name: mine}\nspec: ${spec}`,
      });
      assert.equal(answer.status, 403, kind);
    }
  });

  test('a reference to what does not exist is accepted, says so, and works as soon as it exists', async () => {
    const yaml = agent('early', ', tools: [{type: McpServer, mcpServer: {name: late, toolNames: [list_orders]}}]');
    const applied = await world.as<ApplyResult>(root, 'POST', '/apply', { documents: yaml });
    assert.equal(applied.status, 200);
    assert.match(applied.body.results[0]?.unresolved?.join() ?? '', /there is no RemoteMCPServer default\/late/);
    const condition = async () => {
      await new Promise((resolve) => setTimeout(resolve, 150));
      const { body } = await world.as<{ status: { conditions: { type: string; status: string; message: string }[] } }>(
        root,
        'GET',
        '/agents/early',
      );
      return body.status.conditions.find(({ type }) => type === 'ResolvedRefs');
    };
    const missing = await condition();
    assert.equal(missing?.status, 'False');
    assert.match(missing?.message ?? '', /there is no RemoteMCPServer default\/late/);
    const late = `
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: late}
spec: {url: "${world.orders.url}", auth: {mode: Exchange, tokenServiceRef: {name: onbehalf}, resourceFrom: ServerURL, scopes: [orders.read]}}
`;
    assert.equal((await world.as(root, 'POST', '/apply', { documents: late })).status, 200);
    await world.admin('POST', '/mcp-servers/late/actions/test');
    assert.equal((await condition())?.status, 'True');
    const { body } = await world.as<{ tools: { name: string; problem?: string }[] }>(
      root,
      'GET',
      '/agents/early/explain',
    );
    assert.deepEqual(
      body.tools.map(({ name, problem }) => [name, problem]),
      [['late__list_orders', undefined]],
    );
  });

  test('a stale write is 409; PUT, PATCH and DELETE keep generation and version', async () => {
    await world.as(root, 'POST', '/agents', {
      apiVersion: 'onbehalf.dev/v1alpha1',
      kind: 'Agent',
      metadata: { name: 'versions' },
      spec: { type: 'Declarative', declarative: {} },
    });
    const read = async () =>
      (
        await world.as<{ metadata: { generation: number; resourceVersion: string; uid: string }; spec: unknown }>(
          root,
          'GET',
          '/agents/versions',
        )
      ).body;
    await new Promise((resolve) => setTimeout(resolve, 150));
    const before = await read();
    const put = (resourceVersion: string, description: string) =>
      world.as(root, 'PUT', '/agents/versions', {
        apiVersion: 'onbehalf.dev/v1alpha1',
        kind: 'Agent',
        metadata: { name: 'versions', resourceVersion },
        spec: { type: 'Declarative', description, declarative: {} },
      });
    assert.equal((await put(before.metadata.resourceVersion, 'one')).status, 200);
    const stale = await put(before.metadata.resourceVersion, 'two');
    assert.deepEqual([stale.status, stale.body.code], [409, 'stale_resource_version']);
    assert.equal((await world.as(root, 'PATCH', '/agents/versions', { spec: { description: 'three' } })).status, 200);
    const after = await read();
    assert.equal(after.metadata.generation, before.metadata.generation + 2);
    assert.equal(after.metadata.uid, before.metadata.uid);
    assert.equal(
      (
        await world.as(root, 'POST', '/agents', {
          apiVersion: 'onbehalf.dev/v1alpha1',
          kind: 'Agent',
          metadata: { name: 'versions' },
          spec: { type: 'Declarative', declarative: {} },
        })
      ).status,
      409,
    );
    assert.equal((await world.as(root, 'DELETE', '/agents/versions')).status, 204);
    assert.equal((await world.as(root, 'GET', '/agents/versions')).status, 404);
  });

  test('P5 an agent that is made again under its name has nothing of the old one', async () => {
    const yaml = `${agent('again')}---
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: alice-again}
spec: {to: {principal: {issuer: "${world.url}", subject: alice}}, on: {kind: Agent, name: again}, verbs: [run]}
`;
    // The namespace grant of an earlier test would let alice see it anyway.
    await world.admin('DELETE', '/grants/alice-writes');
    assert.equal((await world.as(root, 'POST', '/apply', { documents: yaml })).status, 200);
    const { body: session } = await world.as<{ id: string }>(alice, 'POST', '/agents/again/sessions', {});
    await world.as(root, 'DELETE', '/agents/again');
    await world.as(root, 'POST', '/apply', { documents: agent('again') });
    assert.equal((await world.as(alice, 'GET', '/agents/again')).status, 404);
    assert.equal((await world.as(alice, 'GET', `/agents/again/sessions/${session.id}`)).status, 404);
  });

  test('messages: too large, with NUL, not UTF-8, empty; unknown session; `after` beyond the end', async () => {
    const { body } = await world.as<{ id: string }>(alice, 'POST', '/agents/assistant/sessions', {});
    const path = `/agents/assistant/sessions/${body.id}`;
    const post = (content: unknown) => world.as(alice, 'POST', `${path}/messages`, { content });
    assert.equal((await post('x'.repeat(2 << 20))).status, 413);
    assert.equal((await post('x'.repeat((1 << 20) + 1))).status, 400);
    assert.equal((await post('a\0b')).status, 400);
    assert.equal((await post('\ud800')).status, 400);
    assert.equal((await post('')).status, 400);
    assert.equal((await post(7)).status, 400);
    const raw = await fetch(`${world.url}/api${path}/messages`, {
      method: 'POST',
      headers: { authorization: `Bearer ${alice}`, 'content-type': 'application/json' },
      body: Buffer.concat([Buffer.from('{"content":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]),
    });
    assert.equal(raw.status, 400, 'invalid UTF-8');
    assert.equal(
      (
        await world.as(alice, 'POST', `${path}/messages`, 'content=x', {
          'content-type': 'application/x-www-form-urlencoded',
        })
      ).status,
      415,
    );
    assert.equal((await world.as(alice, 'GET', '/agents/assistant/sessions/nothing')).status, 404);
    const beyond = await world.as(alice, 'GET', `${path}/events?after=1`);
    assert.deepEqual([beyond.status, beyond.body.code], [400, 'after_beyond_end']);
    const { body: kept } = await world.as<{ lastSeq: number }>(alice, 'GET', path);
    assert.equal(kept.lastSeq, 0, 'a refused message left something behind');
  });

  test('what cannot run in this version is accepted, and says so', async () => {
    const documents = [
      {
        apiVersion: 'onbehalf.dev/v1alpha1',
        kind: 'ModelConfig',
        metadata: { name: 'claude' },
        spec: { provider: 'Anthropic', model: 'm' },
      },
      {
        apiVersion: 'onbehalf.dev/v1alpha1',
        kind: 'Agent',
        metadata: { name: 'theirs' },
        spec: { type: 'BYO', byo: { endpoint: 'https://agent.example' } },
      },
      {
        apiVersion: 'onbehalf.dev/v1alpha1',
        kind: 'RemoteMCPServer',
        metadata: { name: 'local' },
        spec: { protocol: 'Stdio', stdio: { command: ['tool'] } },
      },
    ];
    assert.equal((await world.as(root, 'POST', '/apply', { documents })).status, 200);
    await new Promise((resolve) => setTimeout(resolve, 150));
    for (const path of ['/model-configs/claude', '/agents/theirs', '/mcp-servers/local']) {
      const { body } = await world.as<{ status: { conditions: { type: string; reason: string }[] } }>(
        root,
        'GET',
        path,
      );
      assert.equal(body.status.conditions.find(({ type }) => type === 'Ready')?.reason, 'NotSupported', path);
    }
  });

  test("the older front end's way to make an agent is a 400 that shows the new form", async () => {
    const answer = await world.as(root, 'POST', '/agents', { name: 'old', modelType: 'gpt-4o' });
    assert.equal(answer.status, 400);
    assert.match(String(answer.body.detail), /"apiVersion": "onbehalf\.dev\/v1alpha1", "kind": "Agent"/);
  });

  test('two people who patch two fields at once both have their way, and what names a version is compared', async () => {
    const made = `apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: patched}
spec: {type: Declarative, description: d, declarative: {systemMessage: s, modelConfigRef: {name: default}}}
`;
    assert.equal((await world.apply(made)).status, 200);
    type View = { metadata: { resourceVersion: string }; spec: { description: string; declarative: object } };
    for (let n = 0; n < 10; n++) {
      const both = await Promise.all([
        world.as(root, 'PATCH', '/agents/patched', { spec: { description: `d${n}` } }),
        world.admin('PATCH', '/agents/patched', { spec: { declarative: { systemMessage: `s${n}` } } }),
      ]);
      assert.deepEqual(
        both.map(({ status }) => status),
        [200, 200],
      );
      const { spec } = (await world.as<View>(root, 'GET', '/agents/patched')).body;
      assert.equal(spec.description, `d${n}`);
      assert.deepEqual(spec.declarative, { systemMessage: `s${n}`, modelConfigRef: { name: 'default' } });
    }
    const old = { metadata: { resourceVersion: '1' }, spec: { description: 'late' } };
    assert.equal((await world.as(root, 'PATCH', '/agents/patched', old)).status, 409);
  });

  test('apply at once from three sides: what names no version is laid over what is there, and none is a conflict', async () => {
    const yaml = (text: string) => `
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: busy}
spec: {type: Declarative, description: ${text}, declarative: {systemMessage: Be brief., modelConfigRef: {name: default}}}
`;
    for (let round = 0; round < 5; round += 1) {
      const answers = await Promise.all([1, 2, 3].map((side) => world.apply(yaml(`round ${round} side ${side}`))));
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 200, 200],
        JSON.stringify(answers.map(({ body }) => body)),
      );
    }
    const { body } = await world.as<{ metadata: { resourceVersion: string } }>(root, 'GET', '/agents/busy');
    const stale = await world.as(root, 'PUT', '/agents/busy', {
      ...body,
      metadata: { ...body.metadata, resourceVersion: '1' },
    });
    assert.equal(stale.status, 409);
    assert.equal((await world.admin('DELETE', '/agents/busy')).status, 204);
  });

  test('W10 deep JSON and __proto__ are validation errors', async () => {
    const deep = `{"content":${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
    const { body } = await world.as<{ id: string }>(alice, 'POST', '/agents/assistant/sessions', {});
    const path = `/agents/assistant/sessions/${body.id}/messages`;
    assert.equal((await world.as(alice, 'POST', path, deep)).status, 400);
    assert.equal((await world.as(alice, 'POST', path, '{"content":"x","__proto__":{"a":1}}')).status, 400);
    assert.equal((await say(world, alice, 'hello')).status, 200);
  });

  test('V6 V7 a secret is written and never read back: not by the API, events, audit, files', async () => {
    const canary = `canary-${crypto.randomUUID()}`;
    const created = await world.as(root, 'POST', '/secrets', {
      apiVersion: 'onbehalf.dev/v1alpha1',
      kind: 'Secret',
      metadata: { name: 'provider' },
      spec: { data: { key: canary } },
    });
    assert.equal(created.status, 201);
    assert.equal(
      (await world.as(root, 'PUT', '/secrets/provider/values', { data: { key: `${canary}-2` } })).status,
      200,
    );
    const answers = [
      created.body,
      (await world.as(root, 'GET', '/secrets')).body,
      (await world.as(root, 'GET', '/secrets/provider')).body,
      (await world.as(root, 'GET', '/audit?limit=500')).body,
      (await world.admin('GET', '/secrets/provider')).body,
    ];
    assert.ok(!JSON.stringify(answers).includes(canary));
    const shown = answers[2] as {
      status: { fields: Record<string, { version: number; fingerprint: string }> };
      spec: object;
    };
    assert.equal(shown.status.fields.key?.version, 2);
    const masked = await world.as(root, 'PUT', '/secrets/provider/values', { data: { key: '********' } });
    assert.equal(masked.status, 400);
    const { readdir, readFile } = await import('node:fs/promises');
    const { join } = await import('node:path');
    for (const name of await readdir(world.dataDir)) {
      const content = await readFile(join(world.dataDir, name)).catch(() => Buffer.alloc(0));
      assert.equal(content.indexOf(canary), -1, name);
      assert.equal(content.indexOf(alice), -1, `${name} holds a token`);
    }
  });
});
