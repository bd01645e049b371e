import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { pythonOf, setUpPythonSdk, VERSIONS, type Version } from '../../tools/mcp-python.ts';
import { freePort, grantRun, say, startWorld, type World } from '../e2e/world.ts';

interface Seen {
  sub: string;
  aud: string;
  scope?: string;
  act?: { sub?: string };
}

interface Server {
  url: string;
  seen: Seen[];
  process: ChildProcess;
}

async function start(version: Version, issuer: string, scope: string): Promise<Server> {
  const script = join(import.meta.dirname, 'resource_server.py');
  const child = spawn(pythonOf(version), [script, issuer, String(await freePort()), scope], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const server: Server = { url: '', seen: [], process: child };
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.once('exit', () => reject(new Error(`the server of SDK ${version} did not start`)));
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { listening, seen } = JSON.parse(line) as { listening?: string; seen?: Seen };
    if (seen) server.seen.push(seen);
    if (listening === undefined) return;
    server.url = listening;
    resolve();
  });
  await promise;
  return server;
}

const unable = await Promise.all(VERSIONS.map(setUpPythonSdk)).then(
  () => undefined,
  (error: unknown) => String(error).slice(0, 300),
);
if (unable !== undefined && process.env.CI) throw new Error(`the Python SDK cannot be set up: ${unable}`);

describe('resource servers of the official Python SDK, with required scopes', { skip: unable ?? false }, () => {
  let world: World;
  const servers: Server[] = [];

  before(async () => {
    world = await startWorld();
    for (const version of VERSIONS) servers.push(await start(version, world.url, 'notes.read'));
  });
  after(async () => {
    for (const { process: child } of servers) {
      child.kill('SIGKILL');
      await once(child, 'exit').catch(() => undefined);
    }
    await world?.[Symbol.asyncDispose]();
  });

  for (const [index, version] of VERSIONS.entries())
    test(`SDK ${version}: it is listed and called with the scope that it requires, for two people, and it sees each as themselves`, async () => {
      const server = servers[index];
      assert.ok(server);
      const name = `notes-${index}`;
      await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: ${name}}
spec: {url: "${server.url}", auth: {mode: Exchange, tokenServiceRef: {name: onbehalf}, resourceFrom: ServerURL, scopes: [notes.read]}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: assistant}
spec: {type: Declarative, declarative: {systemMessage: x, modelConfigRef: {name: default}, tools: [{type: McpServer, mcpServer: {name: ${name}}}]}}
`);
      const { body: listed } = await world.admin<{ status: { conditions?: { type: string; message: string }[] } }>(
        'POST',
        `/mcp-servers/${name}/actions/test`,
      );
      assert.equal(listed.status.conditions?.find(({ type }) => type === 'ToolsDiscovered')?.message, '1 tools');
      const discovered = server.seen.length;
      for (const person of ['alice', 'bob']) {
        await grantRun(world, person);
        const { body } = await say(world, await world.token(person), 'list my notes');
        assert.deepEqual(
          [body.toolCalls[0]?.isError, body.toolCalls[0]?.output],
          [false, `notes of ${person}`],
          JSON.stringify(body),
        );
      }
      const ofPeople = server.seen.slice(discovered);
      assert.deepEqual([...new Set(ofPeople.map(({ sub }) => sub))].sort(), ['alice', 'bob']);
      for (const { aud, scope, act } of ofPeople)
        assert.deepEqual([aud, scope, act?.sub], [server.url, 'notes.read', 'agent:default/assistant']);
    });

  test('a scope that nobody wrote down is named with the setting to write, and nothing is called', async () => {
    const [server] = servers;
    assert.ok(server);
    const document = (scopes: string) => `
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: unscoped}
spec: {url: "${server.url}", auth: {mode: Exchange, tokenServiceRef: {name: onbehalf}, resourceFrom: ServerURL${scopes}}}
`;
    const conditionOf = async (scopes: string) => {
      await world.applied(document(scopes));
      const { body } = await world.admin<{ status: { conditions?: { type: string; message: string }[] } }>(
        'POST',
        '/mcp-servers/unscoped/actions/test',
      );
      return body.status.conditions?.find(({ type }) => type === 'ToolsDiscovered')?.message;
    };
    assert.match(
      (await conditionOf('')) ?? '',
      /asks for more scope, and does not say which: write it into spec\.auth\.discovery\.scopes or spec\.auth\.scopes/,
    );
    assert.equal(
      await conditionOf(', discovery: {scopes: [notes.read]}, toolScopes: {list_notes: [notes.read]}'),
      '1 tools',
    );
  });
});
