import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '../../../examples/demo/free-port.ts';
import { createBrowser } from './browser.ts';
import { cli, startServer, temporaryDirectory } from './harness.ts';

const TOKEN = { ONBEHALF_TOKEN: 'token-of-alice' };
const me = { issuer: 'x', subject: 'alice', role: 'REGULAR', groups: [], limits: [] };

/** A data directory on which a server of this user runs. */
async function dataDirectory(at: string, url: string) {
  await mkdir(at, { recursive: true, mode: 0o700 });
  await writeFile(join(at, 'server.json'), JSON.stringify({ url }), { mode: 0o600 });
  await writeFile(join(at, 'onbehalf.db'), '');
  const socket = createServer().listen(join(at, 'admin.sock'));
  await once(socket, 'listening');
  return { at, [Symbol.asyncDispose]: async () => void (await once(socket.close(), 'close')) };
}

test('the server is that of ONBEHALF_DATA_DIR, else of ./.onbehalf, and it is told which', async () => {
  await using directory = await temporaryDirectory();
  await using one = await startServer(() => ({ status: 200, body: me }));
  await using two = await startServer(() => ({ status: 200, body: me }));
  await using _near = await dataDirectory(join(directory.path, '.onbehalf'), one.url);
  await using far = await dataDirectory(join(directory.path, 'other'), two.url);
  const other = far.at;
  const here = await cli(['whoami'], { cwd: directory.path, env: TOKEN });
  assert.deepEqual([here.code, one.seen.length, two.seen.length], [0, 1, 0]);
  assert.match(here.stderr, new RegExp(`Server ${one.url} \\(it runs on \\.onbehalf\\)`));
  const said = await cli(['whoami'], { cwd: directory.path, env: { ...TOKEN, ONBEHALF_DATA_DIR: other } });
  assert.deepEqual([said.code, one.seen.length, two.seen.length], [0, 1, 1]);
  assert.match(said.stderr, new RegExp(`Server ${two.url}`));
  const flag = await cli(['whoami', '--server', one.url], { env: { ...TOKEN, ONBEHALF_DATA_DIR: other } });
  assert.deepEqual([flag.code, flag.stderr, one.seen.length], [0, '', 2]);
});

test('a data directory in which others may write, or whose address others may, gets no token', async () => {
  await using directory = await temporaryDirectory();
  await using evil = await startServer(() => ({ status: 200, body: me }));
  await using data = await dataDirectory(join(directory.path, '.onbehalf'), evil.url);
  const { at } = data;
  const options = { cwd: directory.path, env: TOKEN };
  for (const [path, mode, usual] of [
    [at, 0o777, 0o700],
    [at, 0o720, 0o700],
    [join(at, 'server.json'), 0o666, 0o600],
  ] as const) {
    await chmod(path, mode);
    const passed = await cli(['whoami'], { ...options, env: { ...TOKEN, XDG_CONFIG_HOME: directory.path } });
    assert.match(passed.stderr, /Server .*; not \.onbehalf: others may write/);
    const said = await cli(['whoami'], { ...options, env: { ...TOKEN, ONBEHALF_DATA_DIR: at } });
    assert.equal(said.code, 2);
    assert.match(said.stderr, /others may write .*: chmod go-w/);
    assert.match((await cli(['user', 'ls'], options)).stderr, /^(?!.*administration socket)/s);
    await chmod(path, usual);
  }
  assert.equal(evil.seen.length, 0);
  assert.equal((await cli(['whoami'], options)).code, 0, 'as it was, it is used');
});

test('a folder that somebody handed on, such as a checkout, names no server: files and links do, a socket of the caller does not come with it', async () => {
  await using directory = await temporaryDirectory();
  await using evil = await startServer(() => ({ status: 200, body: me }));
  await using own = await dataDirectory(join(directory.path, 'data of a server of the caller'), evil.url);
  const at = join(directory.path, '.onbehalf');
  await mkdir(at, { mode: 0o700 });
  await writeFile(join(at, 'server.json'), JSON.stringify({ url: evil.url }), { mode: 0o600 });
  await writeFile(join(at, 'onbehalf.db'), '');
  const env = { ...TOKEN, XDG_CONFIG_HOME: directory.path };
  const asked = async () => {
    for (const more of [{}, { ONBEHALF_DATA_DIR: at }]) {
      const ran = await cli(['whoami'], { cwd: directory.path, env: { ...env, ...more } });
      assert.doesNotMatch(ran.stderr, /runs on/);
      const users = await cli(['user', 'ls'], { cwd: directory.path, env: { ...env, ...more } });
      assert.doesNotMatch(users.stderr, /administration socket/);
    }
  };
  await asked();
  await writeFile(join(at, 'admin.sock'), '');
  await asked();
  await rm(join(at, 'admin.sock'));
  await symlink(join(own.at, 'admin.sock'), join(at, 'admin.sock'));
  await asked();
  assert.equal(evil.seen.length, 0);
});

test('an address in a data directory gets no token in the clear', async () => {
  await using directory = await temporaryDirectory();
  await using _data = await dataDirectory(join(directory.path, '.onbehalf'), 'http://192.0.2.1:8484');
  const ran = await cli(['whoami'], { cwd: directory.path, env: TOKEN });
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /never sent in the clear/);
});

/** `onbehalf up` in this process, until the returned function ends it. */
async function startUp(directory: string, terminal: boolean) {
  const ending = new AbortController();
  const port = await freePort();
  let stderr = '';
  let ready: (() => void) | undefined;
  const listening = new Promise<void>((resolve) => {
    ready = resolve;
  });
  const env = { XDG_DATA_HOME: directory, ONBEHALF_LOG_LEVEL: 'silent', XDG_STATE_HOME: directory };
  const ran = cli(['up', '--port', String(port)], {
    cwd: directory,
    env,
    terminal,
    signal: ending.signal,
    onStderr(text) {
      stderr += text;
      if (/doctor/.test(stderr)) ready?.();
    },
  });
  await Promise.race([listening, ran]);
  return {
    url: `http://localhost:${port}`,
    stderr: () => stderr,
    dataDir: join(directory, 'onbehalf'),
    async [Symbol.asyncDispose]() {
      ending.abort();
      await ran;
    },
  };
}

test('up in an empty directory leads a person on: one link for a first administrator, good once, and what comes next', async () => {
  await using directory = await temporaryDirectory();
  const env = { XDG_CONFIG_HOME: join(directory.path, 'config'), XDG_DATA_HOME: directory.path };
  await using server = await startUp(directory.path, true);
  const link = /(http:\S+\/login\/link#\S+)/.exec(server.stderr())?.[1] ?? '';
  assert.match(server.stderr(), /onbehalf login --server .*\n.*onbehalf init .*\n.*onbehalf doctor/);
  const browser = createBrowser(server.url);
  assert.ok((await browser.redeem(link)) < 300);
  assert.equal(await createBrowser(server.url).redeem(link), 404, 'once');
  const login = await cli(['login', '--server', server.url], { env, openBrowser: browser.open });
  assert.equal(login.code, 0, login.stderr);
  // What `login --server` was told is remembered, whatever folder it is.
  const who = await cli(['whoami'], { env });
  assert.match(who.stdout, /^admin of .*: ADMIN/);
  assert.match(who.stderr, new RegExp(`Server ${server.url} \\(of your last login`));
  const contexts = JSON.parse((await cli(['context', 'ls', '-o', 'json'], { env })).stdout);
  assert.deepEqual(contexts.items, [{ server: server.url, current: true, signedIn: true }]);
  assert.equal((await cli(['context', 'use', 'http://localhost:1'], { env })).code, 5);
  assert.equal((await cli(['context', 'use', server.url], { env })).code, 0);
  assert.equal((await stat(join(server.dataDir, 'server.json'))).mode & 0o777, 0o600);
});

test('up without a terminal shows no link, but the command that makes one; with an administrator it shows neither', async () => {
  await using directory = await temporaryDirectory();
  {
    await using server = await startUp(directory.path, false);
    assert.doesNotMatch(server.stderr(), /login\/link/);
    const command = /onbehalf (user create .*) && onbehalf (login-link .*)/.exec(server.stderr());
    for (const words of command?.slice(1) ?? []) {
      const ran = await cli(words.split(' '));
      assert.equal(ran.code, 0, ran.stderr);
    }
    assert.equal(command?.length, 3);
    const users = JSON.parse((await cli(['user', 'ls', '-o', 'json', '--data-dir', server.dataDir])).stdout).items;
    assert.deepEqual(
      users.map(({ subject, role }: { subject: string; role: string }) => [subject, role]),
      [['admin', 'ADMIN']],
    );
    assert.equal(JSON.parse(await readFile(join(server.dataDir, 'server.json'), 'utf8')).url, server.url);
  }
  await assert.rejects(stat(join(directory.path, 'onbehalf', 'server.json')), 'it ends with the server');
});

test('a server whose data directory has too long a path for a socket is found as any other', async () => {
  await using directory = await temporaryDirectory();
  const long = join(directory.path, 'x'.repeat(120));
  await mkdir(long, { mode: 0o700 });
  await using server = await startUp(long, false);
  const env = { ONBEHALF_DATA_DIR: server.dataDir };
  const users = await cli(['user', 'ls'], { env });
  assert.equal(users.code, 0, users.stderr);
  assert.match(users.stderr, /over its administration socket/);
  assert.match((await cli(['whoami'], { env })).stderr, new RegExp(`you are not signed in at ${server.url}`));
});
