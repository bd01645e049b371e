import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createReadiness } from '../../src/http/readiness.ts';
import { until } from '../control/fixture.ts';
import { storeFolder } from '../store/folder.ts';
import { type Doors, startDoors } from './doors.ts';

const SESSIONS = '/api/agents/assistant/sessions';

/** The log of a session as a stream: what came, and whether it has ended. */
function listen(d: Doors, path: string, headers: Record<string, string>) {
  const stream = { text: '', ended: false, status: 0, leave: () => sent.destroy() };
  const sent = request(
    {
      host: '127.0.0.1',
      port: d.port,
      path,
      headers: { host: 'localhost:8484', accept: 'text/event-stream', ...headers },
    },
    (response) => {
      stream.status = response.statusCode ?? 0;
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        stream.text += text;
      });
      response.on('close', () => {
        stream.ended = true;
      });
    },
  );
  sent.on('error', () => {
    stream.ended = true;
  });
  sent.end();
  return stream;
}

async function sessionOf(d: Doors, headers: Record<string, string>): Promise<string> {
  const made = await d.ask('POST', SESSIONS, { ...headers, 'content-type': 'application/json' }, '{}');
  return `${SESSIONS}/${made.body.id}`;
}
const speak = (d: Doors, session: string, headers: Record<string, string>, content: string) =>
  d.ask('POST', `${session}/messages`, { ...headers, 'content-type': 'application/json' }, JSON.stringify({ content }));

test('a session’s events come as they are stored, to its owner alone, and again from any number on', async () => {
  await using d = await startDoors();
  const alice = await d.bearer('alice');
  const session = await sessionOf(d, alice);
  const first = listen(d, `${session}/events`, alice);
  assert.equal((await speak(d, session, alice, 'hello')).status, 200);
  await until(() => first.text.includes('event: turn.ended'));
  const ids = [...first.text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
  assert.deepEqual(
    ids,
    ids.map((_, at) => at + 1),
  );
  const last = ids.at(-1) ?? 0;
  const again = listen(d, `${session}/events?after=${last - 1}`, alice);
  await until(() => again.text.includes(`id: ${last}\n`));
  assert.equal(again.text.includes(`id: ${last - 1}\n`), false);
  assert.equal(
    (await d.ask('GET', `${session}/events?after=${last + 1}`, { ...alice, accept: 'text/event-stream' })).status,
    400,
  );
  assert.equal(
    (await d.ask('GET', `${session}/events`, { ...(await d.bearer('bob')), accept: 'text/event-stream' })).status,
    404,
  );
  for (const one of [first, again]) one.leave();
});

test('a stream ends when its reader may not read any more: signed out, disabled, no ADMIN any more, or the token has ended', async () => {
  await using d = await startDoors();
  const alice = await d.bearer('alice');
  const session = await sessionOf(d, alice);
  await speak(d, session, alice, 'hello');
  const events = `${session}/events`;
  const open = async (headers: Record<string, string>, more = '') => {
    const stream = listen(d, events + more, headers);
    await until(() => stream.text.includes('event: turn.ended'));
    return stream;
  };
  const login = await d.login('alice');
  const console_ = await open({ cookie: login.cookie });
  const admin = await open(await d.bearer('root', 'ADMIN'), '?reason=an+incident');
  const short = await open(await d.bearer('alice', 'REGULAR', { lifetime: 1 }));
  const token = await open(alice);
  await until(() => short.ended);
  assert.deepEqual([console_.ended, admin.ended, token.ended], [false, false, false]);
  login.end();
  d.policy.refresh();
  await until(() => console_.ended);
  assert.deepEqual([admin.ended, token.ended], [false, false]);
  await d.users.disable(d.issuer, 'root', true);
  await until(() => admin.ended);
  assert.equal(token.ended, false);
  await d.users.disable(d.issuer, 'alice', true);
  await until(() => token.ended);
});

test('one person’s streams are counted, and one that was left counts no more', async () => {
  await using d = await startDoors({ limits: { streams: 1 } });
  const alice = await d.bearer('alice');
  const session = await sessionOf(d, alice);
  const headers = { ...alice, accept: 'text/event-stream' };
  const first = listen(d, `${session}/events`, alice);
  await until(() => first.status === 200);
  const second = await d.ask('GET', `${session}/events`, headers);
  assert.deepEqual([second.status, second.body.code], [429, 'rate_limited']);
  first.leave();
  const next = () => listen(d, `${session}/events`, alice);
  let again = next();
  while (again.status !== 200) {
    await until(() => again.status !== 0);
    if (again.status === 429) again = next();
  }
  again.leave();
});

/** A console as the build leaves it, beside a file that is none of it. */
async function consoleFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'onbehalf-console-'));
  await mkdir(join(folder, 'ui', 'assets'), { recursive: true });
  await writeFile(join(folder, 'secret.txt'), 'outside');
  await writeFile(join(folder, 'ui', 'index.html'), '<p>console</p>');
  await writeFile(join(folder, 'ui', 'assets', 'app-1a2b.js'), 'x'.repeat(4_000_000));
  await writeFile(join(folder, 'ui', 'odd.bin'), 'odd');
  return { folder, consoleDir: join(folder, 'ui'), [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

test('the console’s files: only those of its folder, each with its type; every other address is the application itself', async () => {
  await using built = await consoleFolder();
  await using d = await startDoors({ consoleDir: built.consoleDir });
  const page = await d.ask('GET', '/ui/agents/assistant');
  assert.deepEqual(
    [page.status, page.text, page.headers['content-type'], page.headers['cache-control']],
    [200, '<p>console</p>', 'text/html; charset=utf-8', 'no-cache'],
  );
  assert.match(String(page.headers['content-security-policy']), /script-src 'self'/);
  const script = await d.ask('GET', '/ui/assets/app-1a2b.js');
  assert.deepEqual(
    [script.text.length, script.headers['content-type'], script.headers['cache-control']],
    [4_000_000, 'text/javascript; charset=utf-8', 'public, max-age=31536000, immutable'],
  );
  assert.equal((await d.ask('GET', '/ui/odd.bin')).headers['content-type'], 'application/octet-stream');
  const head = await d.ask('HEAD', '/ui/assets/app-1a2b.js');
  assert.deepEqual([head.status, head.text, head.headers['content-length']], [200, '', '4000000']);
  for (const path of ['/', '/ui']) assert.equal((await d.ask('GET', path)).headers.location, '/ui/');
  assert.deepEqual(
    [(await d.ask('POST', '/ui/')).status, (await d.ask('POST', '/ui/')).headers.allow],
    [405, 'GET, HEAD'],
  );
  for (const path of [
    '/ui/../secret.txt',
    '/ui/%2e%2e/secret.txt',
    '/ui/..%2fsecret.txt',
    '/ui/assets/../../secret.txt',
    '/ui//etc/passwd',
  ])
    assert.equal((await d.ask('GET', path)).text, '<p>console</p>', path);
  // A file that went away since the start is not there, and the server goes on.
  await rm(join(built.consoleDir, 'odd.bin'));
  assert.equal((await d.ask('GET', '/ui/odd.bin')).status, 404);
  await using bare = await startDoors();
  assert.match((await bare.ask('GET', '/ui/')).text, /has not been built/);
});

test('downloads that break off leave no file open', async () => {
  await using built = await consoleFolder();
  await using d = await startDoors({ consoleDir: built.consoleDir });
  const openFiles = () =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(built.folder);
      } catch {
        return false;
      }
    }).length;
  for (let n = 0; n < 20; n++)
    await new Promise<void>((resolve) => {
      const sent = request(
        { host: '127.0.0.1', port: d.port, path: '/ui/assets/app-1a2b.js', headers: { host: 'localhost:8484' } },
        (response) => response.once('data', () => sent.destroy()),
      );
      sent.on('error', () => undefined);
      sent.on('close', () => resolve());
      sent.end();
    });
  await until(() => openFiles() === 0);
});

test('ready is what can be written now: a store that takes no write says so, within a second, and so does a stop', async () => {
  await using data = storeFolder();
  const store = await data.open();
  const elapsed = { ms: 0 };
  const readiness = createReadiness({ store, now: Date.now, elapsed: () => elapsed.ms });
  assert.equal(await readiness.problem(), undefined);
  await store.close();
  // One probe answers everybody who asks within a second.
  assert.equal(await readiness.problem(), undefined);
  elapsed.ms = 1_001;
  assert.equal(await readiness.problem(), 'the store cannot be written');
  readiness.drain();
  assert.equal(await readiness.problem(), 'shutting down');
});
