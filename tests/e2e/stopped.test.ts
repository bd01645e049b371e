import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { verifyOffline } from '@onbehalf/platform/offline';
import { explainStart, up } from '@onbehalf/platform/up';
import { adminCall } from '../../examples/demo/api.ts';
import { cli } from '../../packages/cli/test/harness.ts';
import { chainHash } from '../../packages/platform/src/audit/index.ts';
import { freePort } from './world.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onbehalf-stopped-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const notes: string[] = [];
const start = async (dataDir: string, env: Record<string, string> = {}, port?: number) =>
  up({
    flags: { dataDir, port: port ?? (await freePort()) },
    env: { ONBEHALF_LOG_LEVEL: 'silent', XDG_STATE_HOME: join(folder, 'state'), ...env },
    print: (note) => void notes.push(note),
  });
const env = () => ({ XDG_STATE_HOME: join(folder, 'state') });

/** A server that ran, did something and stopped; and a copy of it for each test. */
async function stopped(name: string): Promise<string> {
  const original = join(folder, 'original');
  if (!existsSync(original)) {
    const running = await start(original);
    await adminCall(running.adminSocket, 'POST', '/principals', { subject: 'alice', role: 'REGULAR' });
    await adminCall(running.adminSocket, 'POST', '/principals', { subject: 'bob', role: 'REGULAR' });
    await running.close();
  }
  const copy = join(folder, name);
  cpSync(original, copy, { recursive: true });
  await chmod(copy, 0o700);
  return copy;
}

const edit = (dataDir: string, change: (db: DatabaseSync) => void) => {
  const db = new DatabaseSync(join(dataDir, 'onbehalf.db'));
  change(db);
  db.close();
};

const contents = (dataDir: string) =>
  Object.fromEntries(
    readdirSync(dataDir)
      .sort()
      .map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(dataDir, name)))
          .digest('hex'),
      ]),
  );

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => assert.fail('it started'),
    (reason: unknown) => reason,
  );
  const explained = explainStart(error);
  assert.ok(explained, `not explained: ${error instanceof Error ? error.stack : error}`);
  return explained;
}

describe('the audit of a stopped server is judged', () => {
  test('L2 it is read only: no line, no checkpoint and no byte is written, and the witness is asked', async () => {
    const dataDir = await stopped('read');
    const untouched = contents(dataDir);
    const result = await verifyOffline({ dataDir, env: env() });
    assert.ok(result.ok, JSON.stringify(result));
    assert.deepEqual(contents(dataDir), untouched);
    assert.equal(result.witness.state, 'agrees');
    assert.match(result.witness.place ?? '', /state\/onbehalf\/witness\/[0-9a-f-]{36}\.jsonl$/);
    assert.match(result.proofs.at(-1)?.against ?? '', /^whoever cannot write .*so not against the account with uid/);
  });

  test('L2 a forged line after the last checkpoint gets no signature by being looked at', async () => {
    const dataDir = await stopped('forged');
    edit(dataDir, (db) => {
      const last = db.prepare('select * from audit_lines order by at desc, seq desc limit 1').get();
      const [writer, seq, body] = [
        String(last?.writer),
        Number(last?.seq) + 1,
        '{"v":1,"at":"x","type":"login","phase":"single"}',
      ];
      db.prepare(
        "insert into audit_lines (writer, seq, prev, hash, body, at, type, phase) values (?, ?, ?, ?, ?, 'x', 'login', 'single')",
      ).run(writer, seq, String(last?.hash), chainHash(writer, seq, String(last?.hash), body), body);
    });
    const untouched = contents(dataDir);
    for (let n = 0; n < 2; n++) await verifyOffline({ dataDir, env: env() });
    assert.deepEqual(contents(dataDir), untouched);
  });

  test('E3 the newest lines cut off together with their checkpoints: without the witness it is said that this cannot be seen', async () => {
    const dataDir = await stopped('cut');
    edit(dataDir, (db) => {
      const first = JSON.parse(String(db.prepare('select body from audit_checkpoints where seq = 1').get()?.body));
      for (const [writer, head] of Object.entries<{ seq: number }>(first.heads)) {
        db.prepare('delete from audit_lines where writer = ? and seq > ?').run(writer, head.seq);
        db.prepare('delete from audit_persons where writer = ? and seq > ?').run(writer, head.seq);
      }
      db.exec('delete from audit_checkpoints where seq > 1');
    });
    const blind = await cli(['audit', 'verify', '--offline', '--data-dir', dataDir, '--witness', 'none'], {
      env: env(),
    });
    assert.equal(blind.code, 0);
    assert.match(blind.stdout, /Not proven: that none is missing\./);
    assert.doesNotMatch(blind.stdout, /none of those is missing/);
    const seen = await cli(['audit', 'verify', '--offline', '--data-dir', dataDir], { env: env() });
    assert.deepEqual([seen.code, /^The chain is broken: truncated at /.test(seen.stdout)], [1, true], seen.stdout);
  });

  test('while a server runs on it, with another key, or where nothing is, it says so', async () => {
    const dataDir = await stopped('running');
    const { value } = (() => {
      const db = new DatabaseSync(join(dataDir, 'onbehalf.db'), { readOnly: true });
      const row = db.prepare("select value from meta where key = 'publicUrl'").get();
      db.close();
      return { value: String(row?.value) };
    })();
    const running = await start(dataDir, {}, Number(new URL(value).port));
    await assert.rejects(verifyOffline({ dataDir, env: env() }), { code: 'store_locked' });
    await running.close();
    writeFileSync(join(dataDir, 'key'), `${Buffer.alloc(32, 7).toString('base64url')}\n`);
    await assert.rejects(verifyOffline({ dataDir, env: env() }), { code: 'wrong_key' });
    rmSync(join(dataDir, 'key'));
    await assert.rejects(verifyOffline({ dataDir, env: env() }), { code: 'key_missing' });
    assert.ok(!existsSync(join(dataDir, 'key')), 'no key is made');
    const nothing = await cli(['audit', 'verify', '--offline', '--data-dir', join(folder, 'nothing')], { env: env() });
    assert.deepEqual([nothing.code, /holds no store/.test(nothing.stderr)], [1, true]);
  });
});

describe('an installation that has begun knows so', () => {
  test('V4 a database that is empty or gone beside its key is refused with what to do, and nothing is made', async () => {
    for (const [name, lose] of [
      ['emptied', (path: string) => truncateSync(path, 0)],
      ['gone', (path: string) => rmSync(path)],
    ] as const) {
      const dataDir = await stopped(name);
      const database = join(dataDir, 'onbehalf.db');
      lose(database);
      const before = contents(dataDir);
      const said = await refusal(start(dataDir));
      assert.match(
        said,
        /key belongs to the installation [0-9a-f-]{36}, and its database .*onbehalf\.db is (empty|gone)/,
      );
      assert.match(said, /restore a backup of it; to begin anew, move the database and the key file away together/);
      assert.deepEqual(contents(dataDir), before);
    }
  });

  test('V4 a new database of the same schema beside the key is refused too, and so is the key of another installation', async () => {
    const dataDir = await stopped('replaced');
    edit(dataDir, (db) => db.exec("delete from meta where key = 'installation'"));
    assert.match(
      await refusal(start(dataDir)),
      /the key file belongs to the installation .*, and the database to none/,
    );
    edit(dataDir, (db) => db.prepare("insert into meta values ('installation', ?)").run(randomUUID()));
    assert.match(await refusal(start(dataDir)), /the key file belongs to the installation .*, and the database to /);
  });

  test('a key file that an operator made is named with the installation at the first start, and keeps its key and mode', async () => {
    const dataDir = join(folder, 'own-key');
    await mkdir(dataDir, { mode: 0o700 });
    const key = Buffer.alloc(32, 9).toString('base64url');
    writeFileSync(join(dataDir, 'key'), key, { mode: 0o600 });
    await (await start(dataDir)).close();
    const [first, second] = readFileSync(join(dataDir, 'key'), 'utf8').split('\n');
    assert.equal(first, key);
    assert.match(second ?? '', /^installation [0-9a-f-]{36}$/);
    assert.equal(statSync(join(dataDir, 'key')).mode & 0o777, 0o600);
  });
});

describe('the witness', () => {
  test('is a file of the user for each installation; where it cannot be written the start goes on and says so; none is said', async () => {
    notes.length = 0;
    const running = await start(join(folder, 'witnessed'));
    const { body } = await adminCall<{ witness: { state: string; place: string } }>(
      running.adminSocket,
      'GET',
      '/audit/verify',
    );
    assert.deepEqual(
      [body.witness.state, dirname(body.witness.place)],
      ['agrees', join(folder, 'state', 'onbehalf', 'witness')],
    );
    assert.equal(statSync(body.witness.place).mode & 0o777, 0o600);
    assert.deepEqual(notes, []);
    await running.close();
    writeFileSync(join(folder, 'no-folder'), '');
    await (await start(join(folder, 'unwritable'), { XDG_STATE_HOME: join(folder, 'no-folder') })).close();
    assert.match(notes.join(), /the audit witness .*no-folder.* cannot be written/);
    notes.length = 0;
    await (await start(join(folder, 'without'), { ONBEHALF_AUDIT_WITNESS: 'none' })).close();
    assert.match(notes.join(), /the audit has no witness/);
  });

  test('E3 after a restore the start says what to do, and `audit witness accept` does it', async () => {
    const dataDir = await stopped('restored');
    const port = Number(
      (() => {
        const db = new DatabaseSync(join(dataDir, 'onbehalf.db'), { readOnly: true });
        const row = db.prepare("select value from meta where key = 'publicUrl'").get();
        db.close();
        return new URL(String(row?.value)).port;
      })(),
    );
    const own = { XDG_STATE_HOME: join(folder, 'restored-state') };
    await (await start(dataDir, own, port)).close();
    const backup = join(folder, 'backup.db');
    cpSync(join(dataDir, 'onbehalf.db'), backup);
    await (await start(dataDir, own, port)).close();
    cpSync(backup, join(dataDir, 'onbehalf.db'));
    notes.length = 0;
    const running = await start(dataDir, own, port);
    assert.match(notes.join(), /knows of lines that this store does not have.*onbehalf audit witness accept --reason/);
    const verify = ['audit', 'verify', '--data-dir', dataDir];
    assert.equal((await cli(verify, { env: own })).code, 1);
    const accepted = await cli(['audit', 'witness', 'accept', '--data-dir', dataDir, '--reason', 'restored Friday'], {
      env: own,
    });
    assert.equal(accepted.code, 0, accepted.stderr);
    const verified = await cli(verify, { env: own });
    assert.equal(verified.code, 0, verified.stdout);
    assert.match(verified.stdout, /Accepted by .*local-admin at .*: restored Friday/);
    await running.close();
    assert.equal((await cli([...verify, '--offline'], { env: own })).code, 0);
  });
});

test('a data directory whose socket path is too long: the length is said, the socket is private, and the command line finds it', async () => {
  const dataDir = join(folder, 'd'.repeat(60), 'e'.repeat(60));
  const runtime = join(folder, 'run');
  await mkdir(runtime, { mode: 0o700 });
  notes.length = 0;
  const running = await start(dataDir, { XDG_RUNTIME_DIR: runtime });
  const usual = join(dataDir, 'admin.sock');
  assert.match(
    notes.join(),
    new RegExp(`would be ${Buffer.byteLength(usual)} bytes long, and this system takes 10[37]`),
  );
  assert.ok(running.adminSocket.startsWith(`${runtime}/onbehalf-`));
  assert.equal(statSync(dirname(running.adminSocket)).mode & 0o777, 0o700);
  const listed = await cli(['get', 'agents', '--data-dir', dataDir], { env: {} });
  assert.equal(listed.code, 0, listed.stderr);
  await running.close();
  assert.deepEqual([readdirSync(runtime), existsSync(usual)], [[], false]);
});
