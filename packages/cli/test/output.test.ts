import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from 'commander';
import { parse } from 'yaml';
import { createProgram } from '../src/index.ts';
import { agent, cli, type RunOptions, signedIn, startServer } from './harness.ts';

const hostile = agent('assistant', {
  spec: { type: 'Declarative', description: 'quiet\u001b]0;owned\u0007\u001b[2J \u202Eevil\u009b31m\nnext line' },
});

test('-o table, wide, json, yaml, name and jsonl of a list; hints never reach stdout', async () => {
  const items = [agent('a'), agent('b')];
  await using server = await startServer(({ path }) =>
    path.startsWith('/api/agents') ? { status: 200, body: { items, revision: 1 } } : undefined,
  );
  const get = (...words: string[]) => cli(['get', 'agents', ...words], { env: signedIn(server.url) });
  const table = await get();
  assert.match(
    table.stdout,
    /^NAME +NAMESPACE +TYPE +MODEL +ENABLED +READY +AGE\na +default +Declarative +default +true/,
  );
  assert.match((await get('-o', 'wide')).stdout, /UID/);
  assert.deepEqual(JSON.parse((await get('-o', 'json')).stdout), { items });
  assert.deepEqual(parse((await get('-o', 'yaml')).stdout), { items });
  assert.equal((await get('-o', 'name')).stdout, 'agent/a\nagent/b\n');
  const lines = (await get('-o', 'jsonl')).stdout.trim().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).metadata.name),
    ['a', 'b'],
  );
  assert.equal(server.seen.at(-1)?.headers.authorization, 'Bearer token-of-alice');
  // Written before or after the words, and with a namespace.
  await cli(['-o', 'json', '-n', 'team', 'get', 'agents'], { env: signedIn(server.url) });
  assert.equal(server.seen.at(-1)?.path, '/api/agents?namespace=team');
});

test('an empty list is empty data, and a hint', async () => {
  await using server = await startServer(() => ({ status: 200, body: { items: [], revision: 1 } }));
  const options: RunOptions = { env: signedIn(server.url) };
  const table = await cli(['get', 'agents'], options);
  assert.deepEqual([table.code, table.stdout], [0, '']);
  assert.match(table.stderr, /Next: onbehalf apply/);
  assert.equal((await cli(['get', 'agents', '-q'], options)).stderr, '');
  assert.deepEqual(JSON.parse((await cli(['get', 'agents', '-o', 'json'], options)).stdout), { items: [] });
});

test('C1 hostile text cannot command the terminal, in any format', async () => {
  await using server = await startServer(({ path }) =>
    path === '/api/agents' ? { status: 200, body: { items: [hostile], revision: 1 } } : { status: 200, body: hostile },
  );
  for (const words of [
    ['get', 'agents', '-o', 'wide'],
    ['get', 'agents', '-o', 'json'],
    ['get', 'agents', '-o', 'jsonl'],
    ['describe', 'agent/assistant'],
  ]) {
    const { stdout, code } = await cli(words, { env: signedIn(server.url) });
    assert.equal(code, 0);
    assert.match(stdout, /evil/);
    assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/, words.join(' '));
  }
  const wide = await cli(['get', 'agents', '-o', 'wide'], { env: signedIn(server.url) });
  assert.equal(wide.stdout.trim().split('\n').length, 2, 'one line per resource');
  assert.doesNotMatch(wide.stdout, /\u202e/);
});

test('every command has two or three examples and a summary', () => {
  const io = { stdout: process.stdout, stderr: process.stderr } as never;
  const leaves = (command: Command): Command[] =>
    command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
  const found = leaves(createProgram(io, () => async () => undefined));
  assert.ok(found.length > 30);
  for (const command of found) {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) });
    command.outputHelp();
    const count = help.match(/^ {2}\$ onbehalf /gm)?.length ?? 0;
    assert.ok(count === 2 || count === 3, `${command.name()} has ${count}`);
    assert.notEqual(command.summary(), '', command.name());
  }
});

test('explain works without a server; completion covers every command', async () => {
  const spec = await cli(['explain', 'mcp-server.spec.auth']);
  assert.match(spec.stdout, /mode +Exchange \| Workload \| Forward \| Static \| None/);
  assert.match(spec.stdout, /allowOverride/);
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout, code } = await cli(['completion', shell]);
    assert.equal(code, 0);
    for (const word of ['approve-tools', 'can-i', 'login-link', '--request-id'])
      assert.ok(stdout.includes(word.replace(/^--/, '')), word);
  }
  assert.equal((await cli(['completion', 'powershell'])).code, 2);
});

test('can-i: yes is 0, no is 6, with the rule', async () => {
  await using server = await startServer(({ path }) => ({
    status: 200,
    body: { allowed: !path.includes('as=bob'), effect: 'x', rule: 'grant', reason: 'because' },
  }));
  const yes = await cli(['auth', 'can-i', 'run', 'agent/team.assistant'], { env: signedIn(server.url) });
  assert.deepEqual([yes.code, yes.stdout, yes.stderr], [0, 'yes\n', 'grant: because\n']);
  assert.equal(server.seen[0]?.path, '/api/access/can-i?verb=run&kind=Agent&name=assistant&namespace=team');
  const no = await cli(['auth', 'can-i', 'run', 'agent/assistant', '--as', 'bob', '-o', 'json'], {
    env: signedIn(server.url),
  });
  assert.equal(no.code, 6);
  assert.equal(JSON.parse(no.stdout).allowed, false);
});

test('audit verify: a broken chain exits with 1; audit ls keeps --server for tool servers', async () => {
  await using server = await startServer(({ path }) =>
    path === '/api/audit/verify'
      ? { status: 200, body: { ok: false, writer: 'w', seq: 7, reason: 'edited' } }
      : { status: 200, body: { items: [] } },
  );
  const verified = await cli(['audit', 'verify'], { env: signedIn(server.url) });
  assert.equal(verified.code, 1);
  assert.equal(verified.stdout, 'The chain is broken: edited at w number 7.\n');
  const env = { ONBEHALF_TOKEN: 'x' };
  const now = () => Date.parse('2026-01-01T02:00:00Z');
  await cli(['--server', server.url, 'audit', 'ls', '--server', 'orders', '--since', '2h'], { env, now });
  assert.equal(server.seen.at(-1)?.path, '/api/audit?server=default%2Forders&since=2026-01-01T00%3A00%3A00.000Z');
});
