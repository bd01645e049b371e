import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { say, startWorld, type World } from './world.ts';

const HEAD = 'apiVersion: onbehalf.dev/v1alpha1';
const agent = (name: string, declarative = 'modelConfigRef: {name: default}', namespace = 'default') =>
  `${HEAD}\nkind: Agent\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: {type: Declarative, declarative: {${declarative}}}\n`;
const grant = (name: string, to: string, on: string, more = 'verbs: [run]', namespace = 'default') =>
  `${HEAD}\nkind: Grant\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: {to: ${to}, on: ${on}, ${more}}\n`;
const all = (...documents: string[]) => documents.join('---\n');
const settle = (ms = 150) => new Promise((resolve) => setTimeout(resolve, ms));

describe('attacks on what is written and who may', () => {
  let world: World;
  let alice: string;
  let bob: string;
  let carol: string;
  const person = (subject: string) => `{principal: {issuer: "${world.url}", subject: ${subject}}}`;
  const apply = (token: string, documents: string, more = {}) =>
    world.as<{ detail: string; errors?: { path: string; message: string }[] }>(token, 'POST', '/apply', {
      documents,
      ...more,
    });
  before(async () => {
    world = await startWorld();
    [alice, bob, carol] = await Promise.all([world.token('alice'), world.token('bob'), world.token('carol')]);
    await world.applied(
      all(
        grant('alice-team', person('alice'), '{namespace: team}', 'verbs: [write, use, run]', 'team'),
        agent('secret-plan'),
        `${HEAD}\nkind: Secret\nmetadata: {name: provider}\nspec: {data: {key: canary-value}}\n`,
        `${HEAD}\nkind: ModelConfig\nmetadata: {name: open}\nspec: {provider: Demo, model: demo, consumers: {from: All}}\n`,
      ),
    );
  });
  after(() => world[Symbol.asyncDispose]());

  test("a Grant cannot be moved: not away from somebody else's agent, and not so that it keeps its first target", async () => {
    await world.applied(
      all(
        agent('bobs'),
        agent('alices'),
        grant('bob-admin', person('bob'), '{kind: Agent, name: bobs}', 'verbs: [admin]'),
        grant('alice-admin', person('alice'), '{kind: Agent, name: alices}', 'verbs: [admin]'),
        grant('alice-sees-grants', person('alice'), '{namespace: default}', 'verbs: [read]'),
      ),
    );
    const stolen = grant('bob-admin', person('alice'), '{kind: Agent, name: alices}', 'verbs: [admin]');
    assert.equal((await apply(alice, stolen)).status, 403, "bob's grant is not hers to change");
    assert.equal((await world.as(alice, 'DELETE', '/grants/bob-admin')).status, 403);
    const own = grant('movable', person('alice'), '{kind: Agent, name: alices}', 'verbs: [admin]');
    assert.equal((await apply(alice, own)).status, 200);
    await world.applied(grant('movable', person('alice'), '{kind: Agent, name: bobs}', 'verbs: [read]'));
    await world.applied(grant('movable', person('alice'), '{kind: Agent, name: alices}', 'verbs: [admin]'));
    assert.equal(
      (await world.as(alice, 'PATCH', '/agents/bobs', { spec: { description: 'x' } })).status,
      403,
      'the grant went on holding the first target',
    );
    assert.equal((await world.as(alice, 'PATCH', '/agents/alices', { spec: { description: 'x' } })).status, 200);
    await world.admin('DELETE', '/grants/alice-sees-grants');
    assert.equal((await world.as(bob, 'PATCH', '/agents/bobs', { spec: { description: 'y' } })).status, 200);
  });

  test('what an administrator must write, only an administrator deletes', async () => {
    await world.applied(
      grant('alice-writes-orders', person('alice'), '{kind: RemoteMCPServer, name: orders}', 'verbs: [write]'),
    );
    assert.equal((await world.as(alice, 'DELETE', '/mcp-servers/orders')).status, 403);
    assert.equal(
      (await world.as(alice, 'PATCH', '/mcp-servers/orders', { spec: { url: 'https://evil.example' } })).status,
      403,
    );
    assert.equal((await world.as(alice, 'DELETE', '/token-services/onbehalf')).status, 404);
    await world.admin('DELETE', '/grants/alice-writes-orders');
    for (const path of ['/trusted-issuers/onbehalf', '/token-services/default'])
      assert.equal((await world.admin('DELETE', path)).status, 409, `${path} comes from the environment`);
  });

  test('a name that is taken by what one may not see answers as one that is free', async () => {
    const same = async (taken: () => Promise<unknown>, free: () => Promise<unknown>, word: string) =>
      assert.deepEqual(scrub(await taken(), word), scrub(await free(), word), word);
    const scrub = (value: unknown, _word: string) =>
      JSON.parse(JSON.stringify(value).replaceAll('secret-plan', 'NAME').replaceAll('free-name', 'NAME'));
    const bare = async (work: Promise<{ status: number; body: unknown }>) => {
      const { status, body } = await work;
      return { status, body };
    };
    for (const token of [carol, alice]) {
      await same(
        () => bare(apply(token, agent('secret-plan'))),
        () => bare(apply(token, agent('free-name'))),
        'apply',
      );
      await same(
        () => bare(apply(token, agent('secret-plan', 'x: y'), { dryRun: true })),
        () => bare(apply(token, agent('free-name', 'x: y'), { dryRun: true })),
        'a dry run with a mistake',
      );
      const create = (name: string, more = {}) =>
        bare(
          world.as(token, 'POST', '/agents', {
            apiVersion: 'onbehalf.dev/v1alpha1',
            kind: 'Agent',
            metadata: { name, ...more },
            spec: { type: 'Declarative', declarative: {} },
          }),
        );
      await same(
        () => create('secret-plan'),
        () => create('free-name'),
        'create',
      );
      await same(
        () => create('secret-plan', { resourceVersion: '99' }),
        () => create('free-name', { resourceVersion: '99' }),
        'stale',
      );
      const onIt = (name: string) => bare(apply(token, grant('mine', person('carol'), `{kind: Agent, name: ${name}}`)));
      await same(
        () => onIt('secret-plan'),
        () => onIt('free-name'),
        'a grant on it',
      );
      for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'HEAD'])
        for (const suffix of method === 'GET' ? ['', '/explain', '/sessions'] : ['']) {
          const ask = async (name: string) => {
            const response = await fetch(`${world.url}/api/agents/${name}${suffix}`, {
              method,
              headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
              ...(method.startsWith('P') && { body: '{}' }),
            });
            return { status: response.status, body: await response.text() };
          };
          await same(
            () => ask('secret-plan'),
            () => ask('free-name'),
            `${method} ${suffix}`,
          );
          assert.equal((await ask('secret-plan')).status, 404);
        }
      const canI = (name: string) => bare(world.as(token, 'GET', `/access/can-i?verb=run&kind=Agent&name=${name}`));
      await same(
        () => canI('secret-plan'),
        () => canI('free-name'),
        'can-i',
      );
    }
    const cluster = (name: string) =>
      `${HEAD}\nkind: TokenService\nmetadata: {name: ${name}}\nspec: {issuer: "https://x.example", profile: rfc8693}\n`;
    assert.deepEqual(
      (await apply(alice, cluster('onbehalf'))).body.detail,
      (await apply(alice, cluster('unheard'))).body.detail,
    );
  });

  test('a reference is no way to learn of what one may not see: not at the write, not in conditions, not in explain', async () => {
    await world.applied(
      `${HEAD}\nkind: RemoteMCPServer\nmetadata: {name: payroll}\nspec: {url: "${world.orders.url}", consumers: {from: All}, auth: {mode: Exchange, tokenServiceRef: {name: onbehalf}, resource: ["https://payroll.example/internal"], scopes: [payroll.secret]}}\n`,
    );
    await world.admin('POST', '/mcp-servers/payroll/actions/test');
    const report = async (server: string, model: string) => {
      const written = await apply(
        alice,
        agent(
          'probe',
          `modelConfigRef: {name: ${model}, namespace: default}, tools: [{type: McpServer, mcpServer: {name: ${server}, namespace: default, toolNames: [list_orders], auth: {scopes: [x]}}}]`,
          'team',
        ),
      );
      assert.equal(written.status, 200, JSON.stringify(written.body));
      await settle();
      const { body } = await world.as<{ status: { conditions: { message: string }[] } }>(
        alice,
        'GET',
        '/agents/team.probe',
      );
      const explained = await world.as(alice, 'GET', '/agents/team.probe/explain');
      assert.equal(explained.status, 200);
      const text = JSON.stringify([
        body.status.conditions.map(({ message }) => message),
        { ...explained.body, agent: '' },
      ]);
      return text.replaceAll(server, 'SERVER').replaceAll(model, 'MODEL');
    };
    const hidden = await report('payroll', 'open');
    assert.ok(!/payroll\.|internal|secret/.test(hidden), hidden);
    assert.equal(hidden, await report('no-such-server', 'no-such-model'));
  });

  test('an agent uses only what its last writer may use, also what came after it was written', async () => {
    const early = agent(
      'early',
      'modelConfigRef: {name: open, namespace: default}, tools: [{type: McpServer, mcpServer: {name: late, namespace: default, toolNames: [list_orders]}}]',
      'team',
    );
    assert.equal((await apply(alice, early)).status, 200);
    await world.applied(
      all(
        `${HEAD}\nkind: RemoteMCPServer\nmetadata: {name: late}\nspec: {url: "${world.orders.url}", consumers: {from: All}, auth: {mode: Exchange, tokenServiceRef: {name: onbehalf}, resourceFrom: ServerURL, scopes: [orders.read]}}\n`,
        grant('bob-early', person('bob'), '{kind: Agent, name: early, namespace: team}', 'verbs: [run]', 'team'),
      ),
    );
    await world.admin('POST', '/mcp-servers/late/actions/test');
    const turn = async () => {
      const { body: session } = await world.as<{ id: string }>(bob, 'POST', '/agents/team.early/sessions', {});
      return world.as<{ state: string; code?: string; toolCalls: { name: string }[] }>(
        bob,
        'POST',
        `/agents/team.early/sessions/${session.id}/messages`,
        { content: 'list my orders' },
      );
    };
    const refused = await turn();
    assert.equal(refused.body.state, 'failed', "a model that the agent's writer may not use");
    await world.applied(grant('alice-model', person('alice'), '{kind: ModelConfig, name: open}', 'verbs: [use]'));
    const withModel = await turn();
    assert.equal(withModel.body.state, 'completed', JSON.stringify(withModel.body));
    assert.deepEqual(withModel.body.toolCalls, [], "a server that the agent's writer may not use");
    await world.applied(grant('alice-late', person('alice'), '{kind: RemoteMCPServer, name: late}', 'verbs: [use]'));
    assert.equal((await turn()).body.toolCalls.length, 1);
    await world.admin('DELETE', '/grants/alice-late');
    assert.deepEqual((await turn()).body.toolCalls, [], 'the right to use it has gone');
  });

  test('apply by somebody with some of the rights is all or nothing, with prune and dryRun too', async () => {
    const mixed = all(agent('hers', 'modelConfigRef: {name: m}', 'team'), agent('not-hers'));
    for (const more of [{}, { dryRun: true }]) assert.equal((await apply(alice, mixed, more)).status, 403);
    assert.equal((await world.as(alice, 'GET', '/agents/team.hers')).status, 404);
    await world.admin('POST', '/apply', { documents: agent('from-file'), file: 'ops.yaml' });
    const pruned = await apply(carol, '', { file: 'ops.yaml', prune: true });
    assert.ok(!JSON.stringify(pruned.body).includes('from-file'), JSON.stringify(pruned.body));
    assert.equal((await world.admin('GET', '/agents/from-file')).status, 200);
    for (const documents of [
      `${HEAD}\nkind: TokenService\nmetadata: {name: default}\nspec: {issuer: "https://evil.example", profile: rfc8693}\n`,
      `${HEAD}\nkind: TrustedIssuer\nmetadata: {name: onbehalf}\nspec: {issuer: "https://evil.example", maxRole: ADMIN}\n`,
    ]) {
      const { status, body } = await world.apply(documents);
      assert.deepEqual([status, body.code], [409, 'managed_elsewhere']);
    }
  });

  test('D2 V2 whoever may write a ModelConfig but not use its Secret sends the Secret nowhere', async () => {
    const requests: (string | undefined)[] = [];
    const { createServer } = await import('node:http');
    const evil = createServer((request, response) => {
      requests.push(request.headers.authorization);
      response.writeHead(500).end();
    });
    await new Promise<void>((resolve) => evil.listen(0, '127.0.0.1', resolve));
    const { port } = evil.address() as { port: number };
    const baseUrl = `http://127.0.0.1:${port}/v1`;
    try {
      await world.applied(
        all(
          `${HEAD}\nkind: ModelConfig\nmetadata: {name: paid}\nspec: {provider: OpenAICompatible, model: m, openAICompatible: {baseUrl: "https://provider.example/v1"}, credentialRef: {name: provider, key: key}}\n`,
          agent('paying', 'modelConfigRef: {name: paid}'),
          grant('alice-paid', person('alice'), '{kind: ModelConfig, name: paid}', 'verbs: [write, use]'),
          grant('alice-paying', person('alice'), '{kind: Agent, name: paying}', 'verbs: [run]'),
        ),
      );
      const moved = await world.as(alice, 'PATCH', '/model-configs/paid', { spec: { openAICompatible: { baseUrl } } });
      assert.equal(moved.status, 200, JSON.stringify(moved.body));
      const { body: session } = await world.as<{ id: string }>(alice, 'POST', '/agents/paying/sessions', {});
      const turn = await world.as<{ state: string }>(alice, 'POST', `/agents/paying/sessions/${session.id}/messages`, {
        content: 'hi',
      });
      assert.equal(turn.body.state, 'failed');
      await world.as(alice, 'GET', '/agents/models');
      await world.applied(
        `${HEAD}\nkind: Secret\nmetadata: {name: provider}\nspec: {hosts: ["https://provider.example"]}\n`,
      );
      await world.admin('PATCH', '/model-configs/paid', { metadata: { labels: { touched: 'yes' } } });
      await world.as(alice, 'POST', `/agents/paying/sessions/${session.id}/messages`, { content: 'hi' });
      assert.deepEqual(requests, [], 'the secret, or at least a request, went to another origin');
      for (const ref of ['{env: PATH}', '{file: /etc/passwd}', '{vault: x, key: y}'])
        assert.equal(
          (
            await world.as(alice, 'PATCH', '/model-configs/paid', {
              spec: {
                credentialRef: {
                  name: null,
                  key: null,
                  ...(ref === '{env: PATH}'
                    ? { env: 'PATH' }
                    : ref.startsWith('{file')
                      ? { file: '/etc/passwd' }
                      : { vault: 'x', key: 'y' }),
                },
              },
            })
          ).status,
          403,
          ref,
        );
    } finally {
      await world.admin('DELETE', '/model-configs/paid');
      evil.closeAllConnections();
      await new Promise((resolve) => evil.close(resolve));
    }
  });

  test('tools of a grant: deny wins, a list admits only what is on it, an end is an end', async () => {
    await world.applied(
      all(
        grant(
          'carol-some',
          person('carol'),
          '{kind: Agent, name: assistant}',
          'verbs: [run], tools: {allow: ["hr/*"]}',
        ),
      ),
    );
    const orders = world.seen.orders.length;
    const { body } = await say(world, carol, 'list my orders');
    assert.notEqual(body.toolCalls[0]?.isError, false, JSON.stringify(body.toolCalls));
    assert.equal((await say(world, carol, 'what is my vacation balance')).body.toolCalls[0]?.isError, false);
    await world.applied(
      all(
        grant(
          'carol-not',
          person('carol'),
          '{kind: Agent, name: assistant}',
          'verbs: [read], tools: {deny: ["*/get_balance"]}',
        ),
      ),
    );
    assert.notEqual((await say(world, carol, 'what is my vacation balance')).body.toolCalls[0]?.isError, false);
    assert.equal(world.seen.orders.length, orders);
    const soon = new Date(Date.now() + 700).toISOString();
    await world.admin('DELETE', '/grants/carol-not');
    await world.applied(
      all(grant('carol-some', person('carol'), '{kind: Agent, name: assistant}', `verbs: [run], expiresAt: "${soon}"`)),
    );
    const socket = new WebSocket(
      `${world.url.replace('http', 'ws')}/api/agents/assistant/react?access-token=${carol}&protocol=2`,
    );
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    await new Promise((resolve) => socket.once('open', resolve));
    assert.equal(
      await Promise.race([closed, settle(3_000).then(() => 'still open')]),
      4403,
      'an open socket outlived its grant',
    );
    assert.equal((await world.as(carol, 'GET', '/agents/assistant')).status, 404);
  });

  test('an administrator cannot lock the administration socket, nor take its name', async () => {
    const root = await world.token('root');
    const locked = await world.as(root, 'PATCH', '/principals', {
      issuer: 'local',
      subject: 'local-admin',
      disabled: true,
    });
    assert.equal(locked.status, 400);
    assert.equal((await world.admin('GET', '/me')).status, 200);
    const issuer = `${HEAD}\nkind: TrustedIssuer\nmetadata: {name: mine}\nspec: {issuer: local, jwksUri: "https://x.example/jwks", maxRole: ADMIN}\n`;
    assert.equal((await apply(root, issuer)).status, 422);
  });

  test('D5 our own entry points are no tool server and no target, in any spelling', async () => {
    const { port } = new URL(world.url);
    const server = (url: string, auth = '{mode: None}') =>
      `${HEAD}\nkind: RemoteMCPServer\nmetadata: {name: ourselves}\nspec: {url: "${url}", auth: ${auth}}\n`;
    for (const host of [
      'localhost',
      'LOCALHOST',
      'localhost.',
      '127.0.0.1',
      '127.1',
      '127.9.9.9',
      '2130706433',
      '0x7f000001',
      '0177.0.0.1',
      '0.0.0.0',
      '[::1]',
      '[::]',
      '[0:0:0:0:0:0:0:1]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
    ])
      for (const path of ['/api', '/sts/token', '/mcp']) {
        const { status, body } = await world.apply(server(`http://${host}:${port}${path}`));
        assert.equal(status, 422, `${host}${path}: ${JSON.stringify(body)}`);
      }
    for (const target of [
      world.url,
      `${world.url}/api`,
      `${world.url}/mcp`,
      `${world.url}/`,
      `http://127.0.0.1:${port}/api`,
    ])
      for (const auth of [
        `{mode: Exchange, resource: ["${target}"]}`,
        `{mode: Exchange, audience: ["${target}"]}`,
        `{mode: Workload, audience: ["x"], allowOverride: {audience: ["${target}"]}}`,
        `{mode: Exchange, resource: ["https://a.example"], allowOverride: {resource: ["${target}"]}}`,
      ]) {
        const { status, body } = await world.apply(server('https://tools.example/mcp', auth));
        assert.equal(status, 422, `${auth}: ${JSON.stringify(body)}`);
      }
    assert.equal((await world.admin('GET', '/mcp-servers/ourselves')).status, 404);
  });

  test('names and namespaces: nothing else is an address of the same thing', async () => {
    for (const address of ['default.assistant', 'assistant'])
      assert.equal((await world.as(alice, 'GET', `/agents/${address}`)).status, 200);
    for (const address of [
      'default.assistant.x',
      'default..assistant',
      '.assistant',
      'assistant.',
      'default.assistant.',
      'Assistant',
      'assistant%20',
      'assistant%00',
      'default%2Fassistant',
      '..%2Fassistant',
      'assistant;x',
      '__proto__',
      'constructor',
      'team.assistant',
    ]) {
      const { status } = await world.as(alice, 'GET', `/agents/${address}`);
      assert.ok(status === 404 || status === 400, `${address} answered ${status}`);
    }
    for (const path of [
      '//agents/assistant',
      '/agents//assistant',
      '/agents/./assistant',
      '/AGENTS/assistant',
      '/agents/assistant/',
    ])
      assert.notEqual(await rawStatus(world.url, `/api${path}`, alice), 200, path);
    for (const path of [
      '//x/api/agents/assistant/react',
      '/api/agents/x/../assistant/react',
      '/api/agents/assistant%2freact',
      'http://evil.example/api/agents/assistant/react',
    ])
      assert.notEqual(await rawStatus(world.url, `${path}?access-token=${alice}`, undefined, true), 101, path);
  });

  test('prototypes: __proto__ and constructor in JSON, YAML, labels and patches change nothing', async () => {
    const bodies = ['{"__proto__":{"role":"ADMIN"},"title":"x"}', '{"constructor":{"prototype":{"role":"ADMIN"}}}'];
    for (const body of bodies)
      assert.equal((await world.as(alice, 'POST', '/agents/assistant/sessions', body)).status, 400, body);
    for (const yaml of [
      `${HEAD}\nkind: Agent\nmetadata: {name: p, namespace: team, __proto__: {name: q}}\nspec: {type: Declarative, declarative: {}}\n`,
      `${HEAD}\nkind: Agent\nmetadata: {name: p, namespace: team, labels: {__proto__: x}}\nspec: {type: Declarative, declarative: {}}\n`,
      `${HEAD}\nkind: __proto__\nmetadata: {name: p}\nspec: {}\n`,
      `${HEAD}\nkind: constructor\nmetadata: {name: p}\nspec: {}\n`,
    ])
      assert.ok([403, 422, 200].includes((await apply(alice, yaml)).status), yaml);
    assert.equal(({} as Record<string, unknown>).role, undefined);
    assert.equal((await world.as(alice, 'GET', '/principals')).status, 403);
  });
});

/** The status of a request whose target is sent exactly as it is. */
async function rawStatus(url: string, target: string, token: string | undefined, upgrade = false): Promise<number> {
  const { connect } = await import('node:net');
  const { host, port } = new URL(url);
  const head = [
    `GET ${target} HTTP/1.1`,
    `Host: ${host}`,
    ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
    ...(upgrade
      ? [
          'Connection: Upgrade',
          'Upgrade: websocket',
          'Sec-WebSocket-Version: 13',
          'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
        ]
      : ['Connection: close']),
  ];
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1', () => socket.write(`${head.join('\r\n')}\r\n\r\n`));
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
      if (status === undefined) return;
      socket.destroy();
      resolve(Number(status));
    });
    socket.on('close', () => resolve(0));
    socket.on('error', reject);
  });
}
