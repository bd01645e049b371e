import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Condition } from '@onbehalf/resources';
import { SignJWT } from 'jose';
import { say, startWorld, type World } from './world.ts';

const seconds = () => Math.floor(Date.now() / 1_000);
const random = () => randomBytes(32).toString('hex');

const mint = (secret: string, claims: Record<string, unknown> = {}) =>
  new SignJWT({ sub: 'Ann', userId: 7, role: 'REGULAR', exp: seconds() + 300, ...claims })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .sign(Buffer.from(secret));

const me = async (world: World, secret: string, claims?: Record<string, unknown>) => {
  const { status, body } = await world.as<{ issuer: string; role: string }>(await mint(secret, claims), 'GET', '/me');
  return status === 200 ? `${body.issuer} ${body.role}` : status;
};

const secretYaml = (name: string, value: string) => `
apiVersion: onbehalf.dev/v1alpha1
kind: Secret
metadata: {name: ${name}}
spec: {data: {hs256: "${value}"}}
`;
const issuerYaml = (name: string, ref: string, more = '') => `
apiVersion: onbehalf.dev/v1alpha1
kind: TrustedIssuer
metadata: {name: ${name}}
spec: {issuer: "legacy:${name}", legacyHs256: {secretRef: ${ref}${more}}}
`;
const stored = (name: string) => `{namespace: default, name: ${name}, key: hs256}`;

async function accepted(world: World, name: string, wanted: string): Promise<string> {
  const deadline = performance.now() + 3_000;
  for (;;) {
    const { body } = await world.admin<{ status: { conditions?: Condition[] } }>('GET', `/trusted-issuers/${name}`);
    const found = body.status.conditions?.find(({ type }) => type === 'Accepted');
    const says = `${found?.status} ${found?.reason}`;
    if (says === wanted || performance.now() > deadline) return says;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('P1 HS256 secrets', () => {
  const first = random();
  let world: World;
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'onbehalf-secrets-'));
    world = await startWorld({ bare: true, env: { AUTH_JWT_SECRET: first, ONBEHALF_ALLOWED_FILES: dir } });
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true });
  });

  test('P1 a second issuer with its own secret works beside AUTH_JWT_SECRET, each for its own people', async () => {
    const second = random();
    await world.applied(`${secretYaml('second', second)}---${issuerYaml('second', stored('second'))}`);
    assert.equal(await accepted(world, 'second', 'True Valid'), 'True Valid');
    assert.equal(await me(world, first), 'legacy:env REGULAR');
    assert.equal(await me(world, second), 'legacy:second REGULAR');
    assert.equal(await me(world, random()), 401);
  });

  test('P1 a rotated Secret counts from the next request, and the old one no longer', async () => {
    let current = random();
    await world.applied(`${secretYaml('rotated', current)}---${issuerYaml('rotated', stored('rotated'))}`);
    assert.equal(await accepted(world, 'rotated', 'True Valid'), 'True Valid');
    for (let at = 0; at < 5; at += 1) {
      const next = random();
      assert.equal(await me(world, current), 'legacy:rotated REGULAR');
      await world.applied(secretYaml('rotated', next));
      assert.equal(await me(world, next), 'legacy:rotated REGULAR');
      assert.equal(await me(world, current), 401);
      current = next;
    }
    // The audit has one line for each opening, not for each token.
    const { body } = await world.admin<{ items: { type: string; target?: { name?: string } }[] }>(
      'GET',
      '/audit?type=credential.open&limit=500',
    );
    const opened = body.items.filter(({ target }) => target?.name === 'rotated').length;
    assert.ok(opened > 0 && opened < 60, String(opened));
  });

  test('P1 a secret in a file counts from the next request after it was replaced', async () => {
    const file = join(dir, 'hs256');
    let current = random();
    await writeFile(file, `${current}\n`);
    await world.applied(issuerYaml('filed', `{file: "${file}"}`));
    assert.equal(await accepted(world, 'filed', 'True Valid'), 'True Valid');
    for (const replace of [true, false]) {
      const next = random();
      assert.equal(await me(world, current), 'legacy:filed REGULAR');
      await writeFile(replace ? `${file}.new` : file, `${next}\n`);
      if (replace) await rename(`${file}.new`, file);
      assert.equal(await me(world, next), 'legacy:filed REGULAR');
      assert.equal(await me(world, current), 401);
      current = next;
    }
  });

  test('P1 of two issuers with one secret the later is refused, its people stay those of the first, until it has its own', async () => {
    await world.applied(`${secretYaml('twin', first)}---${issuerYaml('twin', stored('twin'))}`);
    assert.equal(await accepted(world, 'twin', 'False SecretShared'), 'False SecretShared');
    assert.equal(await me(world, first), 'legacy:env REGULAR');
    const own = random();
    await world.applied(secretYaml('twin', own));
    assert.equal(await accepted(world, 'twin', 'True Valid'), 'True Valid');
    assert.equal(await me(world, own), 'legacy:twin REGULAR');
    assert.equal(await me(world, first), 'legacy:env REGULAR');
    // By a rotation they may come to share one, too; the one that was there first goes on.
    await world.applied(secretYaml('twin', first));
    assert.equal(await accepted(world, 'twin', 'False SecretShared'), 'False SecretShared');
    assert.equal(await me(world, first), 'legacy:env REGULAR');
    assert.equal(await me(world, own), 401);
  });

  test('P1 a published default is refused with a condition that says so, and its tokens open nothing', async () => {
    const published = '8A1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d';
    await world.applied(`${secretYaml('published', published)}---${issuerYaml('published', stored('published'))}`);
    assert.equal(await accepted(world, 'published', 'False SecretRefused'), 'False SecretRefused');
    for (const secret of [published, published.toLowerCase()]) assert.equal(await me(world, secret), 401);
  });
});

test('P1 published defaults in the environment: the server says so at its start, and refuses those that sign', async () => {
  const published = '8a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d';
  const env = { AUTH_JWT_SECRET: published, LITELLM_MASTER_KEY: 'sk-1234', LITELLM_BASE_URL: 'http://127.0.0.1:9' };
  await using world = await startWorld({ bare: true, env });
  const said = world.notes.join('\n');
  assert.match(said, /WARNING: AUTH_JWT_SECRET: .*published default/);
  assert.match(said, /WARNING: LITELLM_MASTER_KEY is a published default/);
  assert.ok(!said.includes(published) && !said.includes('sk-1234'));
  assert.equal(await me(world, published), 401);
  assert.equal(await accepted(world, 'env', 'False SecretRefused'), 'False SecretRefused');
  const model = await world.admin<{ spec: { credentialRef: object } }>('GET', '/model-configs/default');
  assert.deepEqual(model.body.spec.credentialRef, { env: 'LITELLM_MASTER_KEY' });
});

test('P1 the section legacy: its ADMIN is ADMIN, the lower-cased secret verifies, and its people use Exchange tools', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'onbehalf-legacy-'));
  const secretFile = join(dir, 'secret');
  const secret = random().toUpperCase();
  await writeFile(secretFile, secret);
  const legacy = '{maxRole: ADMIN, mintSubject: true, lowercaseSecret: true}';
  const config = `legacy: ${legacy}\nauthJwtSecret: {fromFile: "${secretFile}"}\n`;
  await using world = await startWorld({ config });
  try {
    assert.equal(await me(world, secret.toLowerCase(), { role: 'ADMIN' }), 'legacy:env ADMIN');
    assert.equal(await me(world, secret.toLowerCase()), 'legacy:env REGULAR');
    assert.equal(await me(world, secret), 401);
    for (const [name, userId] of Object.entries({ ann: 7, ben: 8 }))
      await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: ${name}}
spec: {to: {principal: {issuer: "legacy:env", subject: "${userId}"}}, on: {kind: Agent, name: assistant}, verbs: [run]}
`);
    const before = world.seen.orders.length;
    const turns = await Promise.all(
      [7, 8].map(async (userId) => say(world, await mint(secret.toLowerCase(), { userId }), 'list my orders')),
    );
    for (const { body } of turns) assert.equal(body.toolCalls[0]?.isError, false, JSON.stringify(body));
    const subjects = new Set(world.seen.orders.slice(before).map(({ sub }) => sub));
    assert.deepEqual([...subjects].sort(), ['legacy:env:7', 'legacy:env:8']);
    // The file is read as it is now.
    const next = random();
    await writeFile(secretFile, next);
    assert.equal(await me(world, next), 'legacy:env REGULAR');
    assert.equal(await me(world, secret.toLowerCase()), 401);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
