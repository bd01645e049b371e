import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import { litellmBase } from '../../src/control/index.ts';
import { LOCAL_ADMIN } from '../../src/people/index.ts';
import { type ControlFixture, controlFixture, doc, ISSUER } from './fixture.ts';

const SECRET = 'Tq8#mZp2-Lw5vNc9xRb7yKd4sGf1hJ3a';
const audiences = { api: [`${ISSUER}/api`], mcp: [`${ISSUER}/mcp`] };

/** A start with these variables. */
const start = (f: ControlFixture, env: Record<string, string> = {}, litellmModel?: string) =>
  f.control.writeEnvironment(LOCAL_ADMIN, { config: loadConfig({ env }), audiences, litellmModel });
const made = (f: ControlFixture) =>
  [...f.registry.all()]
    .filter(({ metadata }) => metadata.managedBy === 'environment')
    .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
    .sort();

const BUILT_IN = ['TokenService default', 'TokenService onbehalf', 'TrustedIssuer onbehalf'];

test('built in are this installation’s issuer and token service; what the environment names comes with it and goes with it', async () => {
  await using f = await controlFixture();
  assert.deepEqual(await start(f), []);
  assert.deepEqual(made(f), BUILT_IN);
  assert.deepEqual(f.get('TrustedIssuer', 'onbehalf').spec, { issuer: ISSUER, audiences, maxRole: 'ADMIN' });
  assert.deepEqual(f.get('TokenService', 'default').spec, f.get('TokenService', 'onbehalf').spec);

  await start(f, { AUTH_JWT_SECRET: SECRET });
  assert.deepEqual(made(f), [...BUILT_IN, 'TrustedIssuer env'].sort());
  const legacy = f.get('TrustedIssuer', 'env').spec;
  assert.deepEqual(
    [legacy.issuer, legacy.maxRole, legacy.legacyHs256?.secretRef],
    ['legacy:env', 'REGULAR', { env: 'AUTH_JWT_SECRET' }],
  );
  assert.equal(legacy.legacyHs256?.previousSecretRef, undefined);
  await start(f, { AUTH_JWT_SECRET: `${SECRET}-2`, AUTH_JWT_SECRET_PREVIOUS: SECRET });
  assert.deepEqual(f.get('TrustedIssuer', 'env').spec.legacyHs256?.previousSecretRef, {
    env: 'AUTH_JWT_SECRET_PREVIOUS',
  });
  // No value of a secret is in a row.
  assert.equal(JSON.stringify([...f.registry.all()]).includes(SECRET), false);

  await start(f, {
    STS_WELL_KNOWN_URI: 'https://sts.example/.well-known/openid-configuration',
    ONBEHALF_STS_CLIENT_ID: 'platform',
    ONBEHALF_STS_CLIENT_SECRET: SECRET,
  });
  assert.deepEqual(made(f), BUILT_IN, 'the shared secret is not set any more');
  const { wellKnownUri, client } = f.get('TokenService', 'default').spec;
  assert.deepEqual(
    [wellKnownUri, client?.id, client?.secretRef],
    ['https://sts.example/.well-known/openid-configuration', 'platform', { env: 'ONBEHALF_STS_CLIENT_SECRET' }],
  );
  await start(f, { STS_WELL_KNOWN_URI: 'https://sts.example/.well-known/openid-configuration' });
  assert.equal(f.get('TokenService', 'default').spec.client, undefined);
  await start(f);
  assert.equal(f.get('TokenService', 'default').spec.issuer, ISSUER);
});

test('LITELLM_BASE_URL makes the default model, which everyone who may run agents may use, also after somebody’s own made way', async () => {
  await using f = await controlFixture();
  const env = { LITELLM_BASE_URL: 'https://llm.example/', LITELLM_MASTER_KEY: SECRET };
  const mayUse = (who: string) =>
    f.policy.decide(f.person(who), 'use', {
      kind: 'ModelConfig',
      uid: f.get('ModelConfig', 'default', 'default').metadata.uid,
    }).effect;
  await start(f, env, 'gpt');
  const { spec } = f.get('ModelConfig', 'default', 'default');
  assert.deepEqual(
    [spec.model, spec.openAICompatible?.baseUrl, spec.credentialRef],
    ['gpt', 'https://llm.example/v1', { env: 'LITELLM_MASTER_KEY' }],
  );
  assert.deepEqual(['alice', 'ada', 'rita'].map(mayUse), ['allow', 'allow', 'hide']);

  // Somebody's own of that name stays, and the start says so.
  await start(f);
  assert.deepEqual(made(f), BUILT_IN);
  await f.apply('ada', doc('ModelConfig', 'default', '{provider: Demo, model: demo}'));
  const notes = await start(f, env, 'gpt');
  assert.deepEqual(notes, ['ModelConfig default was written by hand and is kept']);
  assert.equal(f.get('ModelConfig', 'default', 'default').spec.provider, 'Demo');
  // Once it is gone, what the environment grants is for what it makes of that name.
  await f.remove('ada', 'ModelConfig', 'default', 'default');
  await start(f, env, 'gpt');
  assert.equal(mayUse('alice'), 'allow');
  assert.deepEqual(['https://l/', 'https://l/v1', 'https://l/v1/'].map(litellmBase), [
    'https://l/v1',
    'https://l/v1',
    'https://l/v1',
  ]);
});

test('a second start with the same environment writes nothing', async () => {
  await using f = await controlFixture();
  const env = { AUTH_JWT_SECRET: SECRET, LITELLM_BASE_URL: 'https://llm.example', LITELLM_MASTER_KEY: SECRET };
  await start(f, env, 'gpt');
  await f.control.reconcile();
  const before = [...f.registry.all()].map(({ metadata }) => [metadata.name, metadata.resourceVersion]);
  const lines = (await f.audit.query({ type: 'change', limit: 1_000 })).length;
  await start(f, env, 'gpt');
  assert.deepEqual(
    [...f.registry.all()].map(({ metadata }) => [metadata.name, metadata.resourceVersion]),
    before,
  );
  assert.equal((await f.audit.query({ type: 'change', limit: 1_000 })).length, lines);
});
