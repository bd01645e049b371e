import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { explainStart, up } from '@onbehalf/platform/up';
import type { SessionEvent, SessionView } from '@onbehalf/resources';
import { adminCall } from '../../examples/demo/api.ts';
import { signIn } from '../../examples/demo/sign-in.ts';
import { freePort } from './world.ts';

async function startChild(dataDir: string, port: number) {
  const child: ChildProcess = spawn(
    process.execPath,
    ['--conditions=onbehalf-source', join(import.meta.dirname, 'child.ts'), dataDir, String(port)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH },
    },
  );
  if (!child.stdout) throw new Error('no output');
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const { url, adminSocket } = JSON.parse(line) as { url: string; adminSocket: string };
  const token = async (user: string) =>
    signIn(url, (await adminCall<{ url: string }>(adminSocket, 'POST', '/login-links', { user })).body.url);
  const as = async <T>(bearer: string, method: string, path: string, body?: unknown) => {
    const response = await fetch(`${url}/api${path}`, {
      method,
      headers: { authorization: `Bearer ${bearer}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return (await response.json()) as T;
  };
  return {
    token,
    as,
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
    async stop() {
      child.kill('SIGTERM');
      await once(child, 'exit');
      return child.exitCode;
    },
  };
}

describe('a server that dies', () => {
  let dataDir: string;
  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'onbehalf-restart-'));
  });
  after(() => rm(dataDir, { recursive: true, force: true }));

  test('kill -9 in a turn: nothing acknowledged is lost or doubled, the turn is interrupted, the session usable at once', async () => {
    const port = await freePort();
    const first = await startChild(dataDir, port);
    const alice = await first.token('alice');
    const session = await first.as<SessionView>(alice, 'POST', '/agents/assistant/sessions', {});
    const path = `/agents/assistant/sessions/${session.id}`;
    await first.as(alice, 'POST', `${path}/messages`, { content: 'list my orders' });
    first.as(alice, 'POST', `${path}/messages`, { content: 'what can you do for me !slow' }).catch(() => undefined);
    let before: SessionEvent[] = [];
    for (let attempt = 0; attempt < 100 && before.filter(({ type }) => type === 'turn.started').length < 2; attempt++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      before = (await first.as<{ events: SessionEvent[] }>(alice, 'GET', `${path}/events?limit=500`)).events;
    }
    await first.kill();

    const second = await startChild(dataDir, port);
    const readyAt = performance.now();
    const { events } = await second.as<{ events: SessionEvent[] }>(alice, 'GET', `${path}/events?limit=500`);
    assert.deepEqual(events.slice(0, before.length), before, 'what was acknowledged has changed');
    assert.deepEqual(
      events.map(({ seq }) => seq),
      events.map((_, index) => index + 1),
    );
    const end = events.at(-1);
    assert.ok(end?.type === 'turn.ended');
    assert.equal(end.data.state, 'interrupted');
    const answer = await second.as<{ state: string }>(alice, 'POST', `${path}/messages`, { content: 'list my orders' });
    assert.equal(answer.state, 'completed');
    assert.ok(performance.now() - readyAt < 5_000);
    const verified = await second.as<{ ok: boolean; entries: number }>(
      await second.token('root'),
      'GET',
      '/audit/verify',
    );
    assert.equal(verified.ok, true);
    assert.equal(await second.stop(), 0, 'SIGTERM ends it cleanly');
  });
});

describe('a server that does not start says why, and changes nothing', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'onbehalf-start-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  const start = (dataDir: string, port: number, env: Record<string, string> = {}) =>
    up({ flags: { dataDir, port }, env: { ONBEHALF_LOG_LEVEL: 'silent', ...env }, print: () => undefined });
  async function refusal(work: Promise<unknown>): Promise<string> {
    const error = await work.then(
      () => assert.fail('it started'),
      (reason: unknown) => reason,
    );
    const explained = explainStart(error);
    assert.ok(explained, `not explained: ${error instanceof Error ? error.stack : error}`);
    return explained;
  }

  test('a port in use', async () => {
    const port = await freePort();
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    assert.match(
      await refusal(start(join(folder, 'busy'), port)),
      new RegExp(`port ${port} is in use by .* \\(${process.pid}\\).*--port`),
    );
    other.close();
  });

  test('another port than the first time, with the line that changes it; a data directory in use', async () => {
    const dataDir = join(folder, 'fixed');
    const port = await freePort();
    const running = await start(dataDir, port);
    assert.match(await refusal(start(dataDir, port)), /another process|in use/i);
    await running.close();
    assert.match(
      await refusal(start(dataDir, port + 1)),
      new RegExp(`this installation is http://localhost:${port}.*--port ${port}`),
    );
    await (await start(dataDir, port)).close();
  });

  test('a data directory that cannot be written', async () => {
    await writeFile(join(folder, 'file'), '');
    assert.match(
      await refusal(start(join(folder, 'file', 'data'), await freePort())),
      /cannot be written|ONBEHALF_DATA_DIR/,
    );
  });

  test('a store of a newer version, and a damaged one', async () => {
    const newer = join(folder, 'newer');
    const port = await freePort();
    await (await start(newer, port)).close();
    const database = new DatabaseSync(join(newer, 'onbehalf.db'));
    database.exec("UPDATE meta SET value = '999' WHERE key IN ('version', 'min_reader')");
    database.close();
    assert.match(await refusal(start(newer, port)), /newer/i);
    const damaged = join(folder, 'damaged');
    await mkdir(damaged);
    await writeFile(join(damaged, 'onbehalf.db'), Buffer.alloc(8_192, 0x5a));
    assert.match(await refusal(start(damaged, await freePort())), /onbehalf\.db/);
  });

  test('V4 a wrong key', async () => {
    const dataDir = join(folder, 'key');
    const port = await freePort();
    await (await start(dataDir, port)).close();
    await (await start(join(folder, 'other'), port)).close();
    const { copyFile } = await import('node:fs/promises');
    await copyFile(join(folder, 'other', 'key'), join(dataDir, 'key'));
    assert.match(await refusal(start(dataDir, port)), /key/);
  });

  test('every mistake of the configuration at once, each with its place', async () => {
    const text = await refusal(
      start(join(folder, 'config'), 70_000, { ONBEHALF_LOG_LEVEL: 'loud', LITELLM_BASE_URL: 'http://127.0.0.1:4000' }),
    );
    for (const word of ['--port', 'ONBEHALF_LOG_LEVEL', 'LITELLM_MASTER_KEY'])
      assert.ok(text.includes(word), `${word} in ${text}`);
    assert.match(
      await refusal(up({ flags: { host: '0.0.0.0', dataDir: join(folder, 'host') }, env: {}, print: () => undefined })),
      /trustedProxies/,
    );
  });
});
