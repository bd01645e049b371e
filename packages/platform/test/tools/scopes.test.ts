import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import type { ModelToolCall } from '../../src/models/index.ts';
import { type Chain, startChain } from '../runtime/chain.ts';
import { END, USAGE } from '../runtime/scripted-model.ts';
import { rawServer, reply } from './raw-server.ts';

const scopesOf = (authorization: string | undefined): unknown => {
  const payload = authorization?.split('.')[1];
  if (payload === undefined) return undefined;
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub?: string; scope?: string };
  return claims.scope ?? '';
};

const refuse = (response: ServerResponse, scope?: string) =>
  response
    .writeHead(403, {
      'www-authenticate': `Bearer error="insufficient_scope"${scope === undefined ? '' : `, scope="${scope}"`}`,
    })
    .end();

describe('the least scope that a call needs', () => {
  let chain: Chain;
  before(async () => {
    chain = await startChain();
    await chain.ready();
  });
  after(() => chain?.close());

  const server = (name: string, url: string, auth: string) =>
    chain.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: ${name}}
spec: {url: "${url}", auth: {mode: Exchange, tokenServiceRef: {name: sts}, resourceFrom: ServerURL, ${auth}}}
`);
  const listed = async (name: string) => {
    const { uid } = chain.registry.get('RemoteMCPServer', 'default', name)?.metadata ?? { uid: '' };
    await chain.tools.discover(uid);
    const found = chain.registry.get('RemoteMCPServer', 'default', name);
    return found?.status.conditions?.find(({ type }) => type === 'ToolsDiscovered');
  };
  const agent = (name: string, tools: string) =>
    chain.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: ${name}}
spec: {type: Declarative, declarative: {systemMessage: x, tools: [${tools}]}}
`);
  /** One turn of a person in which the agent makes these calls, one after the other. */
  async function turn(user: string, name: string, calls: readonly string[]) {
    const left = calls.map((tool, index): ModelToolCall => ({ callId: `c${index}`, name: tool, arguments: '{}' }));
    chain.model.script = async function* () {
      const call = left.shift();
      if (call) yield { type: 'tool-call', call };
      yield { type: 'usage', usage: USAGE };
      yield END;
    };
    const session = (await chain.session(user, name)).id;
    const input = chain.input(session, user, 'go', await chain.sts.user(user));
    const started = await chain.runtime.start(input, chain.agent(name));
    return chain.runtime.finished(session, started);
  }

  test('each tool is called with its own scopes over one connection: two people, two servers, as the servers verify it', async () => {
    const list = () => ({
      tools: ['read', 'refund', 'ping'].map((name) => ({ name, inputSchema: { type: 'object' } })),
    });
    const servers = await Promise.all(
      ['one', 'two'].map(() =>
        rawServer(
          (_request, response, _method, id) => reply(response, id, { content: [{ type: 'text', text: 'ok' }] }),
          {
            onList: (_request, response, _method, id) => reply(response, id, list()),
          },
        ),
      ),
    );
    const [one, two] = servers;
    assert.ok(one && two);
    await server('one', one.url, 'scopes: [o.read], toolScopes: {refund: [o.refund], ping: []}');
    await server('two', two.url, 'scopes: [t.read, t.refund]');
    for (const name of ['one', 'two']) assert.equal((await listed(name))?.status, 'True');
    await agent(
      'teller',
      '{type: McpServer, mcpServer: {name: one}}, {type: McpServer, mcpServer: {name: two, auth: {scopes: [t.read], toolScopes: {refund: [t.refund]}}}}',
    );
    const calls = ['read', 'refund', 'ping', 'read'];
    for (const user of ['alice', 'bob']) {
      const result = await turn(user, 'teller', [...calls.map((tool) => `one__${tool}`), 'two__refund', 'two__read']);
      assert.deepEqual(
        result.toolCalls.map(({ isError, exchange }) => [isError, exchange?.result, exchange?.requested?.scopes]),
        [
          [false, 'exchanged', ['o.read']],
          [false, 'exchanged', ['o.refund']],
          [false, 'exchanged', []],
          [false, 'cached', ['o.read']],
          [false, 'exchanged', ['t.refund']],
          [false, 'exchanged', ['t.read']],
        ],
      );
    }
    const seen = ({ seen: all }: typeof one, method: string) =>
      all.filter((request) => request.method === method).map(({ authorization }) => scopesOf(authorization));
    const perPerson = ['o.read', 'o.refund', '', 'o.read'];
    assert.deepEqual(seen(one, 'tools/call'), [...perPerson, ...perPerson]);
    assert.deepEqual(seen(two, 'tools/call'), ['t.refund', 't.read', 't.refund', 't.read']);
    // Of the discovery, and one connection for each person.
    assert.equal(seen(one, 'initialize').length, 3);
    await Promise.all(servers.map((raw) => raw.close()));
  });

  test('T3 server [a], allowed [a, b], a challenge for "a b": one second token and one more call; nothing beyond', async () => {
    const raw = await rawServer((request, response, _method, id) => {
      const scope = String(scopesOf(request.headers.authorization)).split(' ');
      if (!scope.includes('b')) refuse(response, 'a b');
      else reply(response, id, { content: [{ type: 'text', text: 'ok' }] });
    });
    await server('wider', raw.url, 'scopes: [a], allowOverride: {scopes: [a, b]}');
    await server('narrow', raw.url, 'scopes: [a], toolScopes: {echo: [a], ecko: [a]}');
    assert.equal(
      (await listed('narrow'))?.message,
      '1 tools; spec.auth.toolScopes names ecko, which it does not offer',
    );
    for (const name of ['wider', 'narrow']) assert.equal((await listed(name))?.status, 'True');
    await agent('steps', '{type: McpServer, mcpServer: {name: wider}}, {type: McpServer, mcpServer: {name: narrow}}');
    const before = raw.calls();
    const exchanged = chain.tools.counts().exchanges;
    const [call] = (await turn('alice', 'steps', ['wider__echo'])).toolCalls;
    assert.equal(call?.isError, false, JSON.stringify(call));
    assert.equal(raw.calls() - before, 2);
    assert.equal(chain.tools.counts().exchanges - exchanged, 2);
    const [refused] = (await turn('alice', 'steps', ['narrow__echo'])).toolCalls;
    assert.equal(refused?.code, 'insufficient_scope');
    assert.match(
      refused?.output ?? '',
      /asks for scope "a b": write it into spec\.auth\.toolScopes or spec\.auth\.scopes/,
    );
    assert.equal(raw.calls() - before, 3);
    await raw.close();
  });

  test('M4 with discovery User the tools wait for an administrator who lists them with their own token; nobody else approves', async () => {
    const seen: (string | undefined)[] = [];
    const raw = await rawServer(
      (_request, response, _method, id) => reply(response, id, { content: [{ type: 'text', text: 'ok' }] }),
      {
        onList(request, response, _method, id) {
          seen.push(request.headers.authorization);
          reply(response, id, { tools: [{ name: 'echo', inputSchema: { type: 'object' } }] });
        },
      },
    );
    await chain.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: forwarding}
spec: {url: "${raw.url}", auth: {mode: Forward}}
`);
    const found = () => chain.registry.get('RemoteMCPServer', 'default', 'forwarding');
    const uid = found()?.metadata.uid ?? '';
    const state = () => {
      const condition = found()?.status.conditions?.find(({ type }) => type === 'ToolsDiscovered');
      return [condition?.status, condition?.reason, (found()?.status.tools ?? []).map(({ approved }) => approved)];
    };
    await chain.tools.discover(uid);
    assert.deepEqual([state(), seen], [['Unknown', 'NeedsRefresh', []], []]);
    const own = (user: string) => chain.sts.user(user, { claims: { aud: [raw.url] } });
    await chain.tools.discover(uid, { subject: await own('bob'), administrator: false });
    assert.deepEqual(state(), ['True', 'Discovered', [false]]);
    await chain.tools.discover(uid);
    assert.deepEqual([state(), seen.length], [['True', 'Discovered', [false]], 1], 'it is not asked without a person');
    await chain.registry.updateStatus<'RemoteMCPServer'>(uid, ({ approvedFor: _gone, ...status }) => status);
    const root = await own('root');
    await chain.tools.discover(uid, { subject: root, administrator: true });
    assert.deepEqual(state(), ['True', 'Discovered', [true]]);
    assert.equal(seen[1], `Bearer ${(await root.current()).token.reveal()}`);
    await raw.close();
  });

  test('tools are listed with the scopes of the server, or those that discovery names, and one step up within what is declared', async () => {
    let needs = 'a';
    let says: string | undefined = 'a';
    const raw = await rawServer((_request, response) => void response.end(), {
      onList(request, response, _method, id) {
        const { authorization } = request.headers;
        if (authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Bearer' }).end();
        else if (!String(scopesOf(authorization)).split(' ').includes(needs)) refuse(response, says);
        else reply(response, id, { tools: [{ name: 'echo', inputSchema: { type: 'object' } }] });
      },
    });
    await server('default', raw.url, 'scopes: [a]');
    assert.equal((await listed('default'))?.status, 'True', 'the scopes of the server');
    needs = 'list';
    says = 'list';
    await server('named', raw.url, 'scopes: [a], discovery: {scopes: [list]}');
    assert.equal((await listed('named'))?.status, 'True', 'those that discovery names');
    needs = 'b';
    for (says of ['b', undefined]) {
      const name = `stepped-${says ?? 'silent'}`;
      await server(name, raw.url, 'scopes: [a], toolScopes: {echo: [b]}');
      assert.equal((await listed(name))?.status, 'True', name);
    }
    needs = 'c';
    for (says of ['c', undefined]) {
      const name = `short-${says ?? 'silent'}`;
      await server(name, raw.url, 'scopes: [a]');
      const condition = await listed(name);
      assert.equal(condition?.status, 'False');
      assert.match(
        condition.message,
        says === 'c'
          ? /asks for scope "c": write it into spec\.auth\.discovery\.scopes or spec\.auth\.scopes of the RemoteMCPServer short-c/
          : /asks for more scope, and does not say which: write it into spec\.auth\.discovery\.scopes/,
      );
      assert.doesNotMatch(condition.message, /scope ""/);
    }
    await raw.close();
  });
});
