import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { startToolServer } from '../../../../examples/tool-servers/tool-server.ts';
import { resolveTools } from '../../src/policy/index.ts';
import type { ToolCall } from '../../src/tools/index.ts';
import { type Chain, startChain } from '../runtime/chain.ts';
import { rawServer, reply } from './raw-server.ts';

describe('tool servers as they really are', () => {
  let chain: Chain;
  before(async () => {
    chain = await startChain();
    await chain.ready();
  });
  after(() => chain?.close());

  async function register(name: string, url: string, auth = '{mode: None}') {
    await chain.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: ${name}}
spec: {url: "${url}", auth: ${auth}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: ${name}-agent}
spec: {type: Declarative, declarative: {systemMessage: x, tools: [{type: McpServer, mcpServer: {name: ${name}}}]}}
`);
    const found = () => chain.registry.get('RemoteMCPServer', 'default', name);
    await chain.tools.discover(found()?.metadata.uid ?? '');
    const condition = found()?.status.conditions?.find(({ type }) => type === 'ToolsDiscovered');
    return { condition, tools: found()?.status.tools ?? [] };
  }
  async function call(name: string, tool: string, values: Record<string, unknown> = {}) {
    const agent = chain.agent(`${name}-agent`);
    const bound = resolveTools(agent, chain.registry, () => 'allow').find((known) => known.tool === tool);
    assert.ok(bound?.server && bound.found);
    const request: ToolCall = {
      ...{ server: bound.server, tool, arguments: values, target: bound.target, turn: 't', step: 1 },
      ...{ inputSchema: bound.found.inputSchema, session: `s-${name}`, callId: crypto.randomUUID() },
      subject: await chain.sts.user('alice'),
      agent: { uid: agent.metadata.uid, namespace: 'default', name: agent.metadata.name },
      signal: new AbortController().signal,
      onExchange: () => undefined,
    };
    return chain.tools.call(request);
  }

  test('an odd tool is read for what it means, or left out alone and named with its field; names twice and null cursors too', async () => {
    const raw = await rawServer((_request, response, _method, id) => reply(response, id, { content: [] }), {
      onList: (_request, response, _method, id) =>
        reply(response, id, {
          nextCursor: null,
          tools: [
            {
              name: 'plain',
              description: 'ok',
              inputSchema: { type: 'object', properties: { a: { type: 'string' } } },
            },
            {
              name: 'nulls',
              description: null,
              title: null,
              inputSchema: { type: 'object', required: null, properties: null },
            },
            { name: 'untyped', inputSchema: { properties: {} }, outputSchema: [] },
            { name: 'bare', inputSchema: null, annotations: null },
            { name: 'list', inputSchema: { type: 'array', items: {} } },
            { name: 'text', inputSchema: 'none' },
            { name: 'required', inputSchema: { type: 'object', required: 'a' } },
            { description: 'no name', inputSchema: { type: 'object' } },
            'not a tool',
            { name: 'plain', inputSchema: { type: 'object' } },
          ],
        }),
    });
    const { condition, tools } = await register('odd', raw.url);
    assert.equal(condition?.status, 'True', condition?.message);
    assert.deepEqual(tools.map(({ name }) => name).sort(), ['bare', 'nulls', 'plain', 'untyped']);
    assert.deepEqual(tools.find(({ name }) => name === 'nulls')?.inputSchema, { type: 'object' });
    for (const told of [
      '"list": inputSchema.type is "array", not "object"',
      '"text": its inputSchema is no object',
      '"required": inputSchema.required has no meaning',
      'a tool without a name',
      '1 that stand there twice',
    ])
      assert.ok(condition?.message.includes(told), `${told} in ${condition?.message}`);
    assert.equal((await call('odd', 'bare')).isError, false);
    await raw.close();
  });

  test('every part of an answer reaches the model: texts of resources, links with URI and type, structured content; an unknown part is lost alone', async () => {
    const content = [
      { type: 'text', text: 'one' },
      { type: 'resource', resource: { uri: 'file:///a', text: 'the text of a' } },
      { type: 'resource', resource: { uri: 'file:///b', mimeType: 'application/zip', blob: 'AAAA' } },
      { type: 'resource_link', uri: 'https://x.example/c', name: 'c', mimeType: 'text/plain' },
      { type: 'image', data: 'AAAAAAAA', mimeType: 'image/png' },
      { type: 'hologram', data: 1 },
      { type: 'text' },
      null,
    ];
    const structured = { total: 3 };
    const raw = await rawServer((_request, response, _method, id) =>
      reply(response, id, { content, structuredContent: structured }),
    );
    await register('parts', raw.url);
    const { isError, output } = await call('parts', 'echo');
    assert.equal(isError, false);
    assert.deepEqual(output.split('\n'), [
      'one',
      'the text of a',
      '[application/zip at file:///b]',
      '[link: c https://x.example/c (text/plain)]',
      '[image: image/png, 6 bytes]',
      '[a part of type hologram that cannot be read]',
      '[a part of type text that cannot be read]',
      '[a part of type none that cannot be read]',
      '{"total":3}',
    ]);
    await raw.close();
    const twice = await rawServer((_request, response, _method, id) =>
      reply(response, id, { content: [{ type: 'text', text: '{ "total": 3 }' }], structuredContent: structured }),
    );
    await register('twice', twice.url);
    assert.equal((await call('twice', 'echo')).output, '{ "total": 3 }');
    await twice.close();
  });

  test('arguments that are marked as headers are mirrored at the first call, from the definition that was approved', async () => {
    const seen: string[] = [];
    const server = await startToolServer({
      name: 'regions',
      issuer: chain.sts.issuer,
      port: 0,
      onSeen: ({ tool }) => seen.push(tool),
      register(mcp) {
        const region = z.string().meta({ 'x-mcp-header': 'Region' });
        mcp.registerTool('where', { description: 'says where', inputSchema: z.object({ region }) }, async (values) => ({
          content: [{ type: 'text', text: `in ${values.region}` }],
        }));
      },
    });
    const auth = '{mode: Exchange, tokenServiceRef: {name: sts}, resourceFrom: ServerURL}';
    const { condition } = await register('regions', server.url, auth);
    assert.equal(condition?.status, 'True', condition?.message);
    const result = await call('regions', 'where', { region: 'eu-west' });
    assert.deepEqual([result.isError, result.output], [false, 'in eu-west']);
    assert.deepEqual(seen, ['where'], 'once');
    await server.close();
  });

  test('a redirect that keeps the request is followed within the URL of the server, in every mode alike, and nowhere else', async () => {
    for (const [mode, auth] of Object.entries({
      none: '{mode: None}',
      exchange: '{mode: Exchange, tokenServiceRef: {name: sts}, resourceFrom: ServerURL}',
    }))
      for (const [where, location, works] of [
        ['slash', '/mcp/', true],
        ['elsewhere', 'http://127.0.0.1:9/mcp/', false],
        ['above', '/other', false],
        ['encoded', '/mcp/..%2fother', false],
      ] as const) {
        const name = `${mode}-${where}`;
        const raw = await rawServer((request, response, _method, id) => {
          if (request.url === '/mcp') response.writeHead(307, { location }).end();
          else reply(response, id, { content: [{ type: 'text', text: String(request.url) }] });
        });
        await register(name, raw.url, auth);
        const { isError, output, code } = await call(name, 'echo');
        assert.deepEqual(
          [isError, works ? output : code],
          [!works, works ? '/mcp/' : 'tool_protocol'],
          `${name}: ${output}`,
        );
        await raw.close();
      }
  });

  test('names that a model sees are in every provider’s form, distinct, and lead back to their tool', async () => {
    const odd = ['a.b', 'a_b', 'a b', 'a\nb', 'Ünïcode', 'x'.repeat(90), `${'x'.repeat(89)}y`, 'plain-1'];
    const raw = await rawServer(
      (_request, response, _method, id, name) => reply(response, id, { content: [{ type: 'text', text: name }] }),
      {
        onList: (_request, response, _method, id) =>
          reply(response, id, { tools: odd.map((name) => ({ name, inputSchema: { type: 'object' } })) }),
      },
    );
    await register('names', raw.url);
    const bound = resolveTools(chain.agent('names-agent'), chain.registry, () => 'allow');
    assert.deepEqual(bound.map(({ tool }) => tool).sort(), [...odd].sort());
    for (const { name } of bound) assert.match(name, /^[A-Za-z0-9_-]{1,64}$/);
    assert.equal(new Set(bound.map(({ name }) => name)).size, odd.length);
    assert.equal(bound.find(({ tool }) => tool === 'a_b')?.name, 'names__a_b');
    assert.equal((await call('names', 'a.b')).output, 'a.b');
    await raw.close();
  });
});
