import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli, signedIn, startServer, temporaryDirectory } from './harness.ts';

const VALUE = 'sk-live-4711';
const secret = { kind: 'Secret', metadata: { name: 'openai', namespace: 'default' }, spec: {}, status: { fields: {} } };

function secretServer() {
  let made = false;
  return startServer(({ method, path }) => {
    if (method === 'POST' && path === '/api/secrets') made = true;
    return made ? { status: 200, body: secret } : undefined;
  });
}

test('a secret comes from standard input, a file or the environment, without the last newline, and is never printed', async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'key.txt'), `${VALUE}\r\n`);
  for (const [words, more] of [
    [[], { stdin: `${VALUE}\n` }],
    [['--from-file', 'key.txt'], { cwd: directory.path }],
    [['--from-env', 'KEY'], { env: { KEY: VALUE } }],
  ] as const) {
    await using server = await secretServer();
    const env = { ...signedIn(server.url), ...('env' in more ? more.env : {}) };
    const ran = await cli(['secret', 'set', 'openai', 'apiKey', ...words], { ...more, env });
    assert.deepEqual([ran.code, ran.stdout], [0, 'secret/openai: apiKey set\n']);
    const [put] = server.seen.filter(({ method }) => method === 'PUT');
    assert.equal(put?.path, '/api/secrets/openai/values');
    assert.deepEqual(JSON.parse(put?.text ?? ''), { data: { apiKey: VALUE } });
    assert.ok(!`${ran.stdout}${ran.stderr}`.includes(VALUE));
    assert.ok(server.seen.every(({ path }) => !path.includes(VALUE)));
  }
});

test('a secret is never taken from an argument, and one that was written there is not repeated', async () => {
  await using server = await secretServer();
  for (const words of [
    ['secret', 'set', 'openai', `apiKey=${VALUE}`],
    ['secret', 'set', 'openai', 'apiKey', VALUE],
    ['secret', 'set', 'openai', 'apiKey', '--value', VALUE],
    ['secret', 'set', 'openai', 'apiKey', `--value=${VALUE}`],
    ['user', 'create', 'carol', '--password', VALUE],
  ]) {
    const ran = await cli([...words, '-o', 'json'], { env: signedIn(server.url), stdin: '' });
    assert.equal(ran.code, 2, words.join(' '));
    assert.ok(!ran.stderr.includes(VALUE), ran.stderr);
  }
  assert.equal(server.seen.length, 0);
  assert.equal((await cli(['secret', 'set', 'openai', 'apiKey'], { env: signedIn(server.url), stdin: '\n' })).code, 2);
});

test('deleting asks, and where nobody can answer it needs --yes', async () => {
  await using server = await startServer(({ method }) => ({ status: method === 'DELETE' ? 204 : 200, body: secret }));
  const env = signedIn(server.url);
  assert.equal((await cli(['secret', 'delete', 'openai'], { env })).code, 2);
  assert.equal((await cli(['delete', 'secret/openai'], { env })).code, 2);
  assert.equal((await cli(['grant', 'rm', 'x'], { env })).code, 2);
  assert.ok(server.seen.every(({ method }) => method !== 'DELETE'));
  assert.equal((await cli(['secret', 'delete', 'openai', '--yes'], { env })).stdout, 'secret/openai deleted\n');
});

test('the administration socket is used where it is: login links and users, not conversations', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'admin.sock');
  await using local = await startServer(({ method, path: address }) => {
    if (address === '/api/login-links')
      return { status: 201, body: { url: 'http://localhost/l#x', user: 'alice', expiresAt: 'soon' } };
    if (address === '/api/principals' && method === 'POST')
      return { status: 201, body: { subject: 'carol', role: 'REGULAR' } };
    if (address === '/api/principals')
      return {
        status: 200,
        body: { items: [{ issuer: 'i', subject: 'bob', kind: 'user', disabled: false, createdAt: '' }] },
      };
    if (address === '/api/me')
      return { status: 200, body: { subject: 'local-admin', issuer: 'local', role: 'ADMIN', groups: [] } };
    return undefined;
  }, path);
  await chmod(path, 0o600);
  const env = { ONBEHALF_DATA_DIR: directory.path };
  const link = await cli(['login-link', '--user', 'alice'], { env });
  assert.deepEqual([link.code, link.stdout], [0, 'http://localhost/l#x\n']);
  assert.equal((await cli(['user', 'create', 'carol'], { env })).stdout, 'user carol created (REGULAR)\n');
  assert.equal((await cli(['user', 'ls', '-o', 'name'], { env })).stdout, 'bob\n');
  assert.match((await cli(['whoami', '--data-dir', directory.path])).stdout, /^local-admin of local: ADMIN/);
  assert.ok(
    local.seen.every(({ headers }) => headers.authorization === undefined),
    'no token goes there',
  );
  // A remote server was named, or the command has nothing to do with administration.
  assert.equal((await cli(['login-link', '--user', 'alice', '--server', 'http://localhost:1'], { env })).code, 2);
  assert.equal((await cli(['whoami'], { env: { ...env, ONBEHALF_URL: 'http://localhost:1' } })).code, 3);
});

test('--local without a server exits with 4 and says how to start one', async () => {
  await using directory = await temporaryDirectory();
  const ran = await cli(['whoami', '--data-dir', directory.path]);
  assert.equal(ran.code, 4);
  assert.match(ran.stderr, /next: onbehalf up --data-dir/);
});
