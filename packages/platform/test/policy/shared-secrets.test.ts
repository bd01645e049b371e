import assert from 'node:assert/strict';
import { rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSharedSecrets } from '../../src/policy/index.ts';
import { controlFixture, doc, grant, toPerson } from '../control/fixture.ts';

const use = { kind: 'TrustedIssuer', uid: 'issuer-1' };

/** What was opened, by the audit's own lines. */
async function withSecrets(env: Record<string, string> = {}) {
  const allowed = { may: true };
  const f = await controlFixture({
    readEnv: (name) => env[name],
    allowedFilePrefixes: [tmpdir()],
    mayUse: () => allowed.may,
  });
  const secrets = createSharedSecrets({
    registry: f.registry,
    credentials: f.vault.credentials,
    fileOf: ({ file }) => file,
    now: f.now,
  });
  const opened = async () => (await f.audit.query({ type: 'secret', limit: 1_000 })).length;
  return { ...f, allowed, env, secrets, opened };
}

test('a shared secret is opened once for all the tokens that ask, and again after a Secret or a Grant was written', async () => {
  const f = await withSecrets();
  await using _ = f;
  const secret = (value: string) => doc('Secret', 'shared', `{data: {value: ${value}}}`);
  await f.apply('ada', secret('first-value-of-the-secret'));
  const ref = { name: 'shared', key: 'value', namespace: 'default' };
  const read = async () => (await f.secrets.read(ref, use)).reveal();
  const values = await Promise.all(Array.from({ length: 50 }, read));
  assert.deepEqual(new Set(values), new Set(['first-value-of-the-secret']));
  const once = await f.opened();
  await read();
  assert.equal(await f.opened(), once);
  await f.apply('ada', secret('second-value-of-the-secret'));
  assert.equal(await read(), 'second-value-of-the-secret');
  // Another agent changes nothing; a grant may have gone.
  const twice = await f.opened();
  await f.apply('ada', doc('Agent', 'a', '{type: Declarative, declarative: {systemMessage: x}}'));
  await read();
  assert.equal(await f.opened(), twice);
  f.allowed.may = false;
  await f.apply('local', grant('g', toPerson('alice'), '{namespace: team}', 'read'));
  const writer = { issuer: 'x', subject: 'y' };
  await assert.rejects(f.secrets.read(ref, { ...use, writer }), { code: 'secret_not_usable' });
  f.secrets.close();
});

test('a rotated file counts from the next token on: written, replaced, or where its link leads', async () => {
  const f = await withSecrets();
  await using _ = f;
  const path = (name: string) => join(f.folder, name);
  await writeFile(path('one'), 'the first value of the file');
  await symlink(path('one'), path('link'));
  const read = async () => (await f.secrets.read({ file: path('link') }, use)).reveal().trim();
  assert.equal(await read(), 'the first value of the file');
  const once = await f.opened();
  await read();
  assert.equal(await f.opened(), once);
  await writeFile(path('one'), 'the second value of the file');
  assert.equal(await read(), 'the second value of the file');
  await writeFile(path('new'), 'the third value of the file');
  await rename(path('new'), path('one'));
  assert.equal(await read(), 'the third value of the file');
  await writeFile(path('two'), 'the fourth value of the file');
  await symlink(path('two'), path('other'));
  await rename(path('other'), path('link'));
  assert.equal(await read(), 'the fourth value of the file');
  // What is gone gives nothing more, at once.
  await rm(path('two'));
  await assert.rejects(read());
});

test('what cannot be had is asked for once in a second, not for each token that somebody sends, and comes back by itself', async () => {
  const f = await withSecrets();
  await using _ = f;
  const ref = { env: 'SHARED' };
  const tries = async () => {
    const settled = await Promise.allSettled(Array.from({ length: 20 }, () => f.secrets.read(ref, use)));
    return new Set(settled.map(({ status }) => status));
  };
  let asked = 0;
  const { credentials } = f.vault;
  const counting = createSharedSecrets({
    registry: f.registry,
    fileOf: () => undefined,
    now: f.now,
    credentials: {
      open(...parameters) {
        asked++;
        return credentials.open(...parameters);
      },
    },
  });
  f.secrets.read = counting.read;
  assert.deepEqual(await tries(), new Set(['rejected']));
  assert.deepEqual(await tries(), new Set(['rejected']));
  assert.equal(asked, 1);
  f.env.SHARED = 'a value that is here at last';
  f.clock.ahead = 1_000;
  assert.equal((await f.secrets.read(ref, use)).reveal(), 'a value that is here at last');
  assert.equal(asked, 2);
  counting.close();
});
