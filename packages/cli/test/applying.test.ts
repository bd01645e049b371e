import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Running, up } from '@onbehalf/platform/up';
import { freePort } from '../../../examples/demo/free-port.ts';
import { cli, temporaryDirectory } from './harness.ts';

const head = (kind: string, name: string) =>
  `apiVersion: onbehalf.dev/v1alpha1\nkind: ${kind}\nmetadata: {name: ${name}}\n`;
const MODEL = `${head('ModelConfig', 'default')}spec: {provider: Demo, model: demo}\n`;
const AGENT = `${head('Agent', 'assistant')}spec:\n  type: Declarative\n  declarative: {systemMessage: Be brief., modelConfigRef: {name: default}}\n`;
const GRANT = `${head('Grant', 'alice-runs')}spec:\n  to: {principal: {subject: alice}}\n  on: {kind: Agent, name: assistant}\n  verbs: [run]\n`;

describe('apply against the server itself', () => {
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  let running: Running;
  const local = (words: readonly string[], stdin?: string) =>
    cli([...words, '--data-dir', running.dataDir], { cwd: directory.path, ...(stdin !== undefined && { stdin }) });
  const fine = async (words: readonly string[], stdin?: string) => {
    const ran = await local(words, stdin);
    assert.equal(ran.code, 0, ran.stderr);
    return ran;
  };
  const may = async (who: string) => (await local(['auth', 'can-i', 'run', 'agent/assistant', '--as', who])).code === 0;

  before(async () => {
    directory = await temporaryDirectory();
    running = await up({
      flags: { port: await freePort(), dataDir: join(directory.path, 'data') },
      env: {
        ONBEHALF_LOG_LEVEL: 'silent',
        ONBEHALF_PRIVATE_NETWORKS: '127.0.0.1/32',
        ONBEHALF_AUDIT_WITNESS: join(directory.path, 'witness.jsonl'),
      },
      print: () => undefined,
    });
    for (const who of ['alice', 'bob']) await fine(['user', 'create', who]);
    const applied = await fine(['apply', '-f', '-'], [MODEL, AGENT, GRANT].join('---\n'));
    assert.equal(applied.stderr, '', 'nothing is wrong');
  });
  after(async () => {
    await running.close();
    await directory[Symbol.asyncDispose]();
  });

  test('a person of a Grant without an issuer is one of this installation, and nobody else', async () => {
    const grant = JSON.parse((await fine(['get', 'grant/alice-runs', '-o', 'json'])).stdout);
    assert.deepEqual(grant.spec.to, { principal: { issuer: running.url, subject: 'alice' } });
    assert.deepEqual([await may('alice'), await may('bob')], [true, false]);
    const again = await fine(['apply', '-f', '-'], GRANT);
    assert.equal(again.stdout, 'grant/alice-runs unchanged\n');
    for (const to of ['{everyone: {}}', '{group: {name: staff}}']) {
      await fine(['apply', '-f', '-'], GRANT.replace('alice-runs', 'all').replace('{principal: {subject: alice}}', to));
      const kept = JSON.parse((await fine(['get', 'grant/all', '-o', 'json'])).stdout).spec.to;
      assert.equal((kept.everyone ?? kept.group).issuer, running.url);
    }
    await fine(['delete', 'grant/all', '--yes']);
  });

  test('a tool server that cannot be reached, and the agent that lacks it, are told at once; --wait=0 does not look', async () => {
    const documents = `${head('RemoteMCPServer', 'gone')}spec: {url: "http://127.0.0.1:1/mcp"}
---
${head('Agent', 'lonely')}spec:
  type: Declarative
  iconUrl: https://example.com/a.png
  declarative:
    modelConfigRef: {name: default}
    tools: [{type: McpServer, mcpServer: {name: gone}}]
`;
    const ran = await fine(['apply', '-f', '-'], documents);
    assert.match(ran.stderr, /mcp-server\/gone: DiscoveryFailed: .*connect_failed/);
    assert.match(ran.stderr, /agent\/lonely: Degraded: .*gone/);
    assert.match(ran.stderr, /agent\/lonely: NotYetHonoured: .*spec\.iconUrl: nothing shows icons yet/);
    assert.equal((await fine(['apply', '-f', '-', '--wait=0'], documents)).stderr, '');
    assert.equal((await local(['apply', '-f', '-', '--wait', 'soon'], documents)).code, 2);
    for (const name of ['agent/lonely', 'mcp-server/gone']) await fine(['delete', name, '--yes']);
  });

  test('what was granted on an agent that is gone is not on the one that has its name, until somebody says so', async () => {
    const replace = async () => {
      await fine(['delete', 'agent/assistant', '--yes']);
      await fine(['apply', '-f', '-', '--wait=0'], AGENT);
    };
    await replace();
    const unchanged = await fine(['apply', '-f', '-'], GRANT);
    assert.match(unchanged.stdout, /^grant\/alice-runs unchanged \(gives nothing: --rebind would rebind \S+→\S+\)$/m);
    assert.match(unchanged.stderr, /grant\/alice-runs: MadeAgain: .*onbehalf confirm grant\/alice-runs/);
    assert.equal(await may('alice'), false);
    const doctor = await local(['doctor']);
    assert.equal(doctor.code, 1);
    assert.match(doctor.stdout, /grant\/alice-runs\s+Ready\s+AgentReplaced/);
    const trial = await fine(['apply', '-f', '-', '--rebind', '--dry-run'], GRANT);
    assert.match(trial.stdout, /configured \(rebind \S+→\S+\) \(dry run\)/);
    assert.equal(await may('alice'), false);
    const bound = await fine(['apply', '-f', '-', '--rebind'], GRANT);
    assert.match(bound.stdout, /^grant\/alice-runs configured \(rebind \S+→\S+\)$/m);
    assert.equal(bound.stderr, '');
    assert.deepEqual([await may('alice'), await may('bob')], [true, false]);
    await replace();
    assert.equal(await may('alice'), false);
    assert.equal((await fine(['confirm', 'grant/alice-runs'])).stdout, 'grant/alice-runs confirmed\n');
    assert.deepEqual([await may('alice'), await may('bob')], [true, false]);
    assert.equal((await local(['confirm', 'agent/assistant'])).code, 2);
  });

  test('what only the server finds in one of several files names that file, its line and its document', async () => {
    const folder = join(directory.path, 'files');
    await mkdir(folder);
    await writeFile(join(folder, 'a.yaml'), MODEL);
    const twice = `# two documents\n${MODEL.replace('default', 'other')}---\n${AGENT.replace('assistant', 'second')}    tools:\n      - type: McpServer\n        mcpServer:\n          name: orders\n          auth: {scopes: [too.much]}\n`;
    const block = twice.replace(
      '  declarative: {systemMessage: Be brief., modelConfigRef: {name: default}}\n',
      '  declarative:\n    modelConfigRef: {name: default}\n',
    );
    await writeFile(join(folder, 'b.yaml'), block);
    await writeFile(
      join(folder, 'c.yaml'),
      `${head('RemoteMCPServer', 'orders')}spec: {url: "http://127.0.0.1:1/mcp", auth: {mode: Exchange, tokenServiceRef: {name: onbehalf}, resourceFrom: ServerURL, scopes: [orders.read]}}\n`,
    );
    const ran = await local(['apply', '-f', 'files']);
    assert.equal(ran.code, 1);
    const line = block.split('\n').findIndex((text) => text.includes('auth:')) + 1;
    assert.match(
      ran.stderr,
      new RegExp(`files/b\\.yaml:${line}: spec\\.declarative\\.tools\\[0\\]\\.mcpServer\\.auth`),
    );
  });

  test('an administrator who asks for a token service that is missing hears what there is and how to make one', async () => {
    const missing = await local(['doctor', 'token-service', 'keyclaok']);
    assert.equal(missing.code, 5);
    assert.match(
      missing.stderr,
      /there is no TokenService keyclaok: there are default, onbehalf\n.*onbehalf init --list/,
    );
    const unused = await local(['doctor', 'token-service', 'default']);
    assert.match(unused.stderr, /no tool server exchanges at default\n.*tokenServiceRef: \{name: default\}/);
    for (const { stderr } of [missing, unused]) assert.doesNotMatch(stderr, /Grant/);
  });

  test('what is not there is named', async () => {
    for (const [words, named] of [
      [['get', 'agent/nobody'], /there is no Agent nobody, or you may not see it/],
      [['describe', 'mcp-server/team.none'], /there is no RemoteMCPServer team\.none/],
      [['confirm', 'grant/none'], /there is no Grant none/],
      [['sessions', 'show', 'none', '--agent', 'assistant'], /there is no session none/],
      [['audit', 'trace', 'none'], /there is no turn none/],
      [['login-link', '--user', 'nobody'], /there is no user nobody/],
      [['mcp', 'tools', 'none'], /there is no RemoteMCPServer none/],
      [['secret', 'delete', 'none', '--yes'], /there is no Secret none/],
    ] as const) {
      const ran = await local(words);
      assert.equal(ran.code, 5, words.join(' '));
      assert.match(ran.stderr, named);
    }
  });
});
