import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createClient } from '@onbehalf/client';
import { type Running, up } from '@onbehalf/platform/up';
import { freePort } from '../../../examples/demo/free-port.ts';
import { readLogin, tokenFile } from '../src/token-file.ts';
import { createBrowser } from './browser.ts';
import { cli, type Ran, temporaryDirectory } from './harness.ts';

const DOCUMENTS = `apiVersion: onbehalf.dev/v1alpha1
kind: ModelConfig
metadata: {name: default}
spec: {provider: Demo, model: demo}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: assistant}
spec:
  type: Declarative
  declarative: {systemMessage: Be brief., modelConfigRef: {name: default}}
`;

describe('against the server itself', () => {
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  let running: Running;
  const env = (who: string) => ({ ONBEHALF_URL: running.url, XDG_CONFIG_HOME: join(directory.path, who) });
  const local = (words: readonly string[], stdin?: string) =>
    cli([...words, '--data-dir', running.dataDir], stdin === undefined ? {} : { stdin });
  const as = (who: string, ...words: string[]) => cli(words, { env: env(who) });
  const fine = (ran: Ran) => {
    assert.equal(ran.code, 0, ran.stderr);
    return ran.stdout;
  };

  before(async () => {
    directory = await temporaryDirectory();
    running = await up({
      flags: { port: await freePort(), dataDir: join(directory.path, 'data') },
      env: { ONBEHALF_LOG_LEVEL: 'silent', ONBEHALF_PRIVATE_NETWORKS: '127.0.0.1/32' },
      print: () => undefined,
    });
    for (const [who, role] of [
      ['alice', 'REGULAR'],
      ['bob', 'REGULAR'],
      ['rita', 'ADMIN'],
    ] as const)
      fine(await local(['user', 'create', who, '--role', role]));
    fine(await local(['apply', '-f', '-'], DOCUMENTS));
    for (const who of ['alice', 'bob', 'rita']) {
      const browser = createBrowser(running.url);
      const link = fine(await local(['login-link', '--user', who])).trim();
      const status = await browser.redeem(link);
      assert.ok(status < 300, `the link answered ${status}`);
      fine(await cli(['login'], { env: env(who), openBrowser: browser.open }));
    }
  });
  after(async () => {
    // What fetch has opened beforehand is used once, so that it is idle when the server closes.
    await Promise.all(Array.from({ length: 8 }, async () => (await fetch(`${running.url}/healthz`)).text()));
    await running.close();
    await directory[Symbol.asyncDispose]();
  });

  test('login signs in whom the browser is, and two people are two', async () => {
    for (const [who, role] of [
      ['alice', 'REGULAR'],
      ['rita', 'ADMIN'],
    ] as const) {
      const me = JSON.parse(fine(await as(who, 'whoami', '-o', 'json')));
      assert.deepEqual([me.subject, me.issuer, me.role], [who, running.url, role]);
    }
  });

  test('mcp refresh says what appeared, changed and went, and what to do; a server that cannot be asked is an error', async (t) => {
    let tools = [{ name: 'one', description: 'first' }, { name: 'two' }];
    const server = createServer(async (request, response) => {
      let text = '';
      for await (const chunk of request) text += chunk;
      const { id, method } = (text === '' ? {} : JSON.parse(text)) as { id?: number; method?: string };
      const result =
        method === 'initialize'
          ? { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } }
          : { tools: tools.map((tool) => ({ ...tool, inputSchema: { type: 'object' } })) };
      if (id === undefined) return response.writeHead(request.method === 'POST' ? 202 : 405).end();
      response.writeHead(200, { 'content-type': 'application/json' });
      if (method === 'initialize' || method === 'tools/list')
        return response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
      return response.end(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32601, message: 'unknown' } }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const close = () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    };
    t.after(close);
    const { port } = server.address() as AddressInfo;
    const document = `apiVersion: onbehalf.dev/v1alpha1\nkind: RemoteMCPServer\nmetadata: {name: fresh}\nspec: {url: "http://127.0.0.1:${port}/mcp", auth: {mode: None}}\n`;
    fine(await local(['apply', '-f', '-'], document));
    const changes = (ran: Ran) =>
      fine(ran)
        .split('\n')
        .slice(1)
        .filter((line) => line !== '')
        .map((line) => line.trim().split(/\s{2,}/));
    tools = [{ name: 'one', description: 'another' }, { name: 'three' }];
    const ran = await local(['mcp', 'refresh', 'fresh']);
    assert.deepEqual(
      changes(ran).map((columns) => [columns[0], columns[1], columns.at(-1)]),
      [
        ['one', 'false', 'changed'],
        ['three', 'false', 'new'],
      ],
    );
    assert.match(ran.stderr, /No longer there: two\nNext: onbehalf mcp approve-tools fresh/);
    await close();
    const failed = await local(['mcp', 'refresh', 'fresh']);
    assert.equal(failed.code === 0, false);
    assert.match(failed.stderr, /fresh cannot be reached/);
    fine(await local(['delete', 'mcp-server/fresh', '--yes']));
  });

  test('a grant lets one person in and not the other; can-i, get, invoke and their exit codes agree', async () => {
    assert.equal((await as('alice', 'auth', 'can-i', 'run', 'agent/assistant')).code, 6);
    assert.equal((await as('alice', 'invoke', 'assistant', '-m', 'hello')).code, 5);
    fine(await as('rita', 'grant', 'add', 'alice', 'run', 'agent/assistant', '--for', '1h'));
    assert.equal(fine(await as('alice', 'auth', 'can-i', 'run', 'agent/assistant')), 'yes\n');
    assert.equal((await as('bob', 'auth', 'can-i', 'run', 'agent/assistant')).code, 6);
    assert.equal(fine(await as('alice', 'get', 'agents', '-o', 'name')), 'agent/assistant\n');
    assert.equal(fine(await as('bob', 'get', 'agents', '-o', 'name')), '');
    const answer = JSON.parse(fine(await as('alice', 'invoke', 'assistant', '-m', 'hello', '-o', 'json')));
    assert.equal(answer.state, 'completed');
    assert.notEqual(answer.text, '');
    const sessions = fine(await as('alice', 'sessions', 'ls', '-o', 'name'))
      .trim()
      .split('\n');
    assert.ok(sessions.includes(answer.session));
    assert.match(fine(await as('alice', 'sessions', 'show', answer.session)), /user: hello/);
    assert.equal((await as('bob', 'sessions', 'show', answer.session, '--agent', 'assistant')).code, 5);
    const trace = fine(await as('alice', 'audit', 'trace', answer.turn, '-o', 'jsonl'))
      .trim()
      .split('\n');
    assert.ok(trace.length > 0);
    assert.equal((await as('alice', 'grant', 'add', 'bob', 'run', 'agent/assistant')).code, 6);
    fine(await as('rita', 'grant', 'rm', 'alice-run-agent-assistant', '--yes'));
    assert.equal((await as('alice', 'auth', 'can-i', 'run', 'agent/assistant')).code, 6);
  });

  test('doctor lists what the server found wrong, to those who may see it, and says so in its exit code', async () => {
    assert.deepEqual((await as('rita', 'doctor')).code, 0);
    const broken = `
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: broken}
spec: {type: Declarative, declarative: {systemMessage: Be brief., modelConfigRef: {name: nowhere}}}
`;
    fine(await local(['apply', '-f', '-'], broken));
    // The server looks a moment later.
    let ran = await as('rita', 'doctor');
    for (let tries = 0; ran.code === 0 && tries < 50; tries += 1) ran = await as('rita', 'doctor');
    assert.equal(ran.code, 1);
    assert.match(ran.stdout, /agent\/broken\s+ResolvedRefs\s+NotResolved\s+.*there is no ModelConfig default\/nowhere/);
    assert.equal((await as('bob', 'doctor')).code, 0, 'bob may not read the agent');
    fine(await as('rita', 'delete', 'agent/broken', '--yes'));
    assert.match(fine(await as('rita', 'doctor')), /^$|Nothing is wrong/);
  });

  test('doctor lists an issuer that is not trusted because its metadata cannot be read', async () => {
    const issuer = `
apiVersion: onbehalf.dev/v1alpha1
kind: TrustedIssuer
metadata: {name: partner}
spec: {issuer: "https://127.0.0.1:9/realms/office", audiences: {api: [onbehalf-api]}}
`;
    fine(await local(['apply', '-f', '-'], issuer));
    let ran = await as('rita', 'doctor');
    for (let tries = 0; ran.code === 0 && tries < 50; tries += 1) ran = await as('rita', 'doctor');
    assert.equal(ran.code, 1);
    assert.match(
      ran.stdout,
      /trusted-issuer\/partner\s+Accepted\s+NotReadable\s+its metadata cannot be read: 127\.0\.0\.1/,
    );
    fine(await as('rita', 'delete', 'trusted-issuer/partner', '--yes'));
  });

  test('explain says of a tool whose token service is missing that it is', async () => {
    fine(
      await local(
        ['apply', '-f', '-'],
        `
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: lost}
spec: {url: "http://127.0.0.1:1/mcp", auth: {mode: Exchange, tokenServiceRef: {name: nowhere}, resourceFrom: ServerURL}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: lost}
spec: {type: Declarative, declarative: {systemMessage: Be brief., modelConfigRef: {name: default}, tools: [{type: McpServer, mcpServer: {name: lost, toolNames: [find]}}]}}
`,
      ),
    );
    assert.match(fine(await as('rita', 'explain', 'agent/lost')), /lost__find .+there is no TokenService nowhere/);
    for (const name of ['agent/lost', 'mcp-server/lost']) fine(await as('rita', 'delete', name, '--yes'));
  });

  test('streams: text as it is written, and every event', async () => {
    fine(await as('rita', 'grant', 'add', 'bob', 'run', 'agent/assistant'));
    assert.notEqual(fine(await as('bob', 'invoke', 'assistant', '-m', 'hello', '--stream')), '');
    const lines = fine(await as('bob', 'invoke', 'assistant', '-m', 'hello', '--stream', '-o', 'jsonl'))
      .trim()
      .split('\n');
    const types = lines.map((line) => JSON.parse(line).type);
    assert.deepEqual([types[0], types[1], types.at(-1)], ['turn.started', 'message', 'turn.ended']);
    const chat = await cli(['chat', 'assistant'], { env: env('bob'), stdin: 'hello\nand again\n' });
    assert.equal(chat.code, 0, chat.stderr);
    assert.ok(chat.stdout.trim().split('\n').length >= 2);
  });

  test('a conversation over the WebSocket: one-time tickets, resume, exactly one of each event', async () => {
    const login = await readLogin(tokenFile({ env: env('bob') }, running.url));
    const client = createClient({ baseUrl: running.url, token: () => login?.accessToken ?? '' });
    const conversation = client.openSession({ agent: 'assistant' });
    const seqs: number[] = [];
    let ends = 0;
    for (const text of ['one', 'two']) {
      const ended = new Promise<void>((resolve) => {
        const stop = conversation.onEvent((event) => {
          seqs.push(event.seq);
          if (event.type !== 'turn.ended') return;
          ends++;
          stop();
          resolve();
        });
      });
      await conversation.send(text);
      await ended;
    }
    conversation.close();
    const id = await conversation.ready;
    const again = client.openSession({ agent: 'assistant', session: id, after: 2 });
    const resumed: number[] = [];
    for await (const event of again) {
      resumed.push(event.seq);
      if (event.seq === seqs.at(-1)) again.close();
    }
    assert.equal(ends, 2);
    assert.deepEqual(resumed, seqs.slice(2));
    const hidden = client.openSession({ agent: 'nobody', session: id });
    await new Promise<void>((resolve) => hidden.onConnection(({ state }) => state === 'closed' && resolve()));
    assert.deepEqual(hidden.connection.state === 'closed' && hidden.connection.reason, 'not_found');
  });

  test('resources: explain, describe, delete, a conflict, a mistake that only the server sees', async () => {
    assert.match(fine(await as('rita', 'explain', 'agent/assistant')), /Model: default \(Demo demo\)/);
    assert.match(fine(await as('rita', 'describe', 'agent', 'assistant')), /Spec:\n {2}type: Declarative/);
    assert.equal((await as('rita', 'get', 'agent/nobody')).code, 5);
    const twiceSaid = await local(['apply', '-f', '-'], `${DOCUMENTS}---\n${DOCUMENTS}`);
    assert.equal(twiceSaid.code, 1);
    assert.match(twiceSaid.stderr, /stdin:\d+: metadata\.name: .*twice/);
    assert.match(fine(await local(['apply', '-f', '-'], DOCUMENTS)), /agent\/assistant unchanged/);
    fine(await local(['apply', '-f', '-'], DOCUMENTS.replaceAll('assistant', 'second')));
    const twice = await as('rita', 'grant', 'add', 'bob', 'run', 'agent/second');
    fine(twice);
    assert.equal((await as('rita', 'grant', 'add', 'bob', 'run', 'agent/second')).code, 7);
    assert.equal(fine(await as('rita', 'delete', 'agent/second', '--yes')), 'agent/second deleted\n');
  });

  test('secrets are set and not shown; users are shut out; the audit verifies', async () => {
    const env = { ONBEHALF_DATA_DIR: running.dataDir, KEY: 'sk-4711' };
    assert.equal(
      fine(await cli(['secret', 'set', 'openai', 'apiKey', '--from-env', 'KEY', '--local'], { env })),
      'secret/openai: apiKey set\n',
    );
    assert.match(fine(await local(['secret', 'ls'])), /openai +default +apiKey/);
    assert.ok(!fine(await local(['get', 'secret/openai', '-o', 'json'])).includes('sk-4711'));
    fine(await local(['user', 'set-role', 'bob', 'RESTRICTED']));
    assert.notEqual((await as('bob', 'invoke', 'assistant', '-m', 'hello')).code, 0);
    fine(await local(['user', 'disable', 'bob', '--yes']));
    assert.notEqual((await as('bob', 'whoami')).code, 0);
    fine(await local(['user', 'enable', 'bob']));
    assert.match(fine(await local(['audit', 'verify'])), /^The chain is whole/);
    assert.match(fine(await as('rita', 'audit', 'ls', '--since', '1h', '--limit', '5')), /^TIME/);
    assert.equal((await as('alice', 'audit', 'verify', '--server', running.url)).code, 6);
    fine(await as('rita', 'exchanges', '-o', 'json'));
    fine(await as('rita', 'mcp', 'ls'));
  });

  test('logout revokes: the same login is worth nothing any more', async () => {
    fine(await as('alice', 'logout'));
    assert.equal((await as('alice', 'whoami')).code, 3);
  });
});
