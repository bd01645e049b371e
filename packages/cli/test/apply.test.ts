import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli, problem, signedIn, startServer, temporaryDirectory } from './harness.ts';

const agentYaml = (name: string) =>
  `apiVersion: onbehalf.dev/v1alpha1\nkind: Agent\nmetadata: {name: ${name}}\nspec:\n  type: Declarative\n  declarative: {modelConfigRef: {name: default}}\n`;

async function folder(files: Record<string, string>) {
  const directory = await temporaryDirectory();
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(directory.path, name, '..'), { recursive: true });
    await writeFile(join(directory.path, name), text);
  }
  return directory;
}

const applied = (action: string, name = 'a') => ({
  dryRun: false,
  results: [{ kind: 'Agent', namespace: 'default', name, uid: 'u', resourceVersion: '1', action }],
});

test('validate reports every mistake of every file with its line, and needs no server', async () => {
  await using directory = await folder({
    'one.yaml': agentYaml('a').replace('modelConfigRef', 'modelConfgRef'),
    'deep/two.yml': `${agentYaml('b')}---\n${agentYaml('Bad_Name')}`,
    'notes.txt': 'not yaml: [',
  });
  const ran = await cli(['validate', '-f', '.', '-R', '-o', 'json'], { cwd: directory.path });
  assert.equal(ran.code, 1);
  assert.match(ran.stderr, /one\.yaml:6: spec\.declarative\.modelConfgRef: .*did you mean/);
  assert.match(ran.stderr, /deep\/two\.yml:10: metadata\.name/);
  const { error } = JSON.parse(ran.stderr.trim().split('\n').at(-1) ?? '');
  assert.equal(error.code, 'invalid_documents');
  assert.equal(error.errors.length, 2);
  const good = await cli(['validate', '-f', '-'], { stdin: `${agentYaml('a')}---\n${agentYaml('b')}` });
  assert.deepEqual([good.code, good.stdout], [0, '2 documents are valid\n']);
  assert.equal((await cli(['validate', '-f', 'missing.yaml'], { cwd: directory.path })).code, 2);
});

test('apply sends nothing when there is a mistake; one file goes with its name and text', async () => {
  await using directory = await folder({ 'good.yaml': agentYaml('a'), 'bad.yaml': 'kind: Agent\n' });
  await using server = await startServer(() => ({ status: 200, body: applied('created') }));
  const options = { cwd: directory.path, env: signedIn(server.url) };
  assert.equal((await cli(['apply', '-f', '.'], options)).code, 1);
  assert.equal(server.seen.length, 0);
  const ran = await cli(['apply', '-f', 'good.yaml', '--dry-run'], options);
  assert.deepEqual([ran.code, ran.stdout], [0, 'agent/a created (dry run)\n']);
  const sent = JSON.parse(server.seen[0]?.text ?? '');
  assert.deepEqual(sent, { documents: agentYaml('a'), file: 'good.yaml', dryRun: true, prune: false });
  assert.equal((await cli(['apply', '-f', 'good.yaml', '-o', 'name'], options)).stdout, 'agent/a\n');
});

test('what the server finds in several files names the file and the line', async () => {
  await using directory = await folder({ 'a.yaml': agentYaml('a'), 'b.yaml': `# first\n${agentYaml('b')}` });
  const errors = [
    { file: 'documents', document: 2, line: 1, path: 'spec.declarative.modelConfigRef', message: 'is not there' },
  ];
  await using server = await startServer(() => ({
    status: 422,
    body: problem(422, 'invalid_documents', 'one mistake', { errors }),
  }));
  const ran = await cli(['apply', '-f', 'a.yaml', 'b.yaml'], { cwd: directory.path, env: signedIn(server.url) });
  assert.equal(ran.code, 1);
  assert.match(ran.stderr, /b\.yaml:7: spec\.declarative\.modelConfigRef: is not there/);
  assert.equal(JSON.parse(server.seen[0]?.text ?? '').documents.length, 2);
});

test('--prune shows what would go and deletes nothing unless somebody says yes', async () => {
  await using directory = await folder({ 'a.yaml': agentYaml('a') });
  await using server = await startServer(() => ({ status: 200, body: applied('deleted', 'old') }));
  const options = { cwd: directory.path, env: signedIn(server.url) };
  const refused = await cli(['apply', '-f', 'a.yaml', '--prune'], options);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /Delete agent\/old\?/);
  assert.ok(server.seen.every(({ text }) => JSON.parse(text).dryRun === true));
  assert.equal((await cli(['apply', '-f', 'a.yaml', '--prune', '--yes'], options)).code, 0);
  assert.equal(JSON.parse(server.seen.at(-1)?.text ?? '').dryRun, false);
});

test('of a folder its own files are read, with -R those below too; what is hidden and node_modules are somebody else’s', async () => {
  await using directory = await folder({
    'a.yaml': agentYaml('a'),
    'b.json': JSON.stringify({
      apiVersion: 'onbehalf.dev/v1alpha1',
      kind: 'ModelConfig',
      metadata: { name: 'b' },
      spec: { provider: 'Demo', model: 'demo' },
    }),
    'below/c.yml': agentYaml('c'),
    'below/node_modules/d.yaml': 'not: ours',
    '.git/e.yaml': 'not: ours',
    '.hidden.yaml': 'not: ours',
    'notes.txt': 'not yaml: [',
  });
  const cwd = { cwd: directory.path };
  assert.equal((await cli(['validate', '-f', '.'], cwd)).stdout, '2 documents are valid\n');
  assert.equal((await cli(['validate', '-R', '-f', '.'], cwd)).stdout, '3 documents are valid\n');
  const none = await cli(['validate', '-f', 'below/node_modules/..', '-f', '.git/..'], cwd);
  assert.equal(none.code, 0, 'a folder that is named is read');
});

test('bytes that are not UTF-8 are refused with their line, and nothing is sent', async () => {
  await using directory = await folder({ 'good.yaml': agentYaml('a') });
  const latin1 = Buffer.concat([
    Buffer.from('# one\n# two: caf'),
    Buffer.from([0xe9]),
    Buffer.from(`\n${agentYaml('b')}`),
  ]);
  await writeFile(join(directory.path, 'latin1.yaml'), latin1);
  await writeFile(join(directory.path, 'secret.txt'), Buffer.from([0x61, 0xff, 0x0a]));
  await using server = await startServer(() => ({ status: 200, body: applied('created') }));
  const options = { cwd: directory.path, env: signedIn(server.url) };
  const ran = await cli(['apply', '-f', '.'], options);
  assert.equal(ran.code, 1);
  assert.match(ran.stderr, /latin1\.yaml:2: holds bytes that are not UTF-8/);
  const secret = await cli(['secret', 'set', 'a', 'key', '--from-file', 'secret.txt'], options);
  assert.equal(secret.code, 2);
  assert.match(secret.stderr, /secret\.txt: line 1 holds bytes that are not UTF-8/);
  assert.equal(server.seen.length, 0);
});

test('validate says which fields have no effect yet, and finds nothing wrong with them', async () => {
  const idle = agentYaml('a').replace('  declarative:', '  version: "2"\n  declarative:');
  const ran = await cli(['validate', '-f', '-'], { stdin: `${agentYaml('b')}---\n${idle}` });
  assert.deepEqual([ran.code, ran.stdout], [0, '2 documents are valid\n']);
  assert.equal(ran.stderr, 'stdin:13: without effect: spec.version: nothing shows versions yet\n');
});
