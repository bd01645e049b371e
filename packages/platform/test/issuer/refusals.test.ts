import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { signInByLink } from '../people/people.ts';
import { postForm } from './browser.ts';
import {
  ACCESS_TOKEN,
  agentNamed,
  DELEGATION,
  EXCHANGE,
  exchange,
  exchangeForm,
  JWT,
  JWT_BEARER,
  platformAuth,
} from './exchange-fixture.ts';
import { HR, type IdentityFixture, identityFixture, ORDERS } from './fixture.ts';

type Fields = Record<string, string>;
type Spoil = (form: Fields, f: IdentityFixture) => Fields | Promise<Fields> | [string, string][];

const without = (form: Fields, ...names: string[]): Fields =>
  Object.fromEntries(Object.entries(form).filter(([name]) => !names.includes(name)));
const twice = (form: Fields, name: string, value = form[name] ?? ''): [string, string][] => [
  ...Object.entries(form),
  [name, value],
];

const unsigned = (...parts: object[]) =>
  [...parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')), 'AA'].join('.');

/** Each row spoils one thing of a right request: name, the rule that must refuse it, the error, the spoiling. */
const REFUSALS: readonly (readonly [name: string, check: string, error: string, spoil: Spoil])[] = [
  ['no client authentication', 'one_authentication', 'invalid_client', (form) => without(form, 'client_assertion')],
  ['two ways at once', 'one_authentication', 'invalid_client', (form) => ({ ...form, client_secret: 'x' })],
  ['assertion type', 'client_assertion_type', 'invalid_client', (form) => ({ ...form, client_assertion_type: 'x' })],
  ['unknown client', 'client_known', 'invalid_client', (form) => ({ ...form, client_id: 'nobody' })],
  [
    'a subject token whose type is a name that every object has',
    'subject_of_declared_type',
    'invalid_request',
    (form, f) => ({ ...form, subject_token: unsigned({ alg: 'ES256', typ: 'constructor' }, { iss: f.publicUrl }) }),
  ],
  [
    'assertion signed by somebody else',
    'assertion_signature',
    'invalid_client',
    async (form, f) => {
      const { privateKey } = await generateKeyPair('ES256');
      const claims = { iss: 'platform', sub: 'platform', aud: f.publicUrl, jti: 'j' };
      const jwt = new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).setExpirationTime('1m');
      return { ...form, client_assertion: await jwt.sign(privateKey) };
    },
  ],
  [
    'assertion for another service',
    'assertion_audience',
    'invalid_client',
    async (form, f) => ({
      ...form,
      client_assertion: (await f.identity.platform.client.sign(`${f.publicUrl}/sts/token`)).reveal(),
    }),
  ],
  ['no grant type', 'grant_type_present', 'invalid_request', (form) => without(form, 'grant_type')],
  ['password grant', 'grant_known', 'unsupported_grant_type', (form) => ({ ...form, grant_type: 'password' })],
  ['subject_token twice', 'single_valued_once', 'invalid_request', (form) => twice(form, 'subject_token')],
  ['scope twice', 'single_valued_once', 'invalid_request', (form) => twice(form, 'scope')],
  ['client_id twice', 'single_valued_once', 'invalid_request', (form) => twice(form, 'client_id')],
  ['two resources', 'one_target', 'invalid_target', (form) => twice(form, 'resource', HR)],
  ['no subject token', 'subject_token_declared', 'invalid_request', (form) => without(form, 'subject_token')],
  ['no actor', 'actor_token_declared', 'invalid_request', (form) => without(form, 'actor_token', 'actor_token_type')],
  ['actor without type', 'actor_token_declared', 'invalid_request', (form) => without(form, 'actor_token_type')],
  [
    'refresh token wanted',
    'requested_type_known',
    'invalid_request',
    (form) => ({ ...form, requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }),
  ],
  [
    'declared as an ID token',
    'subject_of_declared_type',
    'invalid_request',
    (form) => ({ ...form, subject_token_type: 'urn:ietf:params:oauth:token-type:id_token' }),
  ],
  [
    'declared as a delegation',
    'subject_of_declared_type',
    'invalid_request',
    (form) => ({ ...form, subject_token_type: DELEGATION }),
  ],
  ['not a JWT', 'subject_is_a_jwt', 'invalid_request', (form) => ({ ...form, subject_token: 'opaque' })],
  [
    '20 KiB of subject',
    'subject_length',
    'invalid_request',
    (form) => ({ ...form, subject_token: 'a'.repeat(20_000) }),
  ],
  [
    'one byte of the signature changed',
    'subject_verified',
    'invalid_request',
    (form) => ({
      ...form,
      subject_token: (form.subject_token ?? '').replace(
        /\.([^.])([^.]*)$/,
        (_, a, b) => `.${a === 'A' ? 'B' : 'A'}${b}`,
      ),
    }),
  ],
  [
    'actor token as subject',
    'subject_of_declared_type',
    'invalid_request',
    (form) => ({ ...form, subject_token: form.actor_token ?? '', subject_token_type: JWT }),
  ],
  [
    'subject as actor token',
    'agent_token_valid',
    'invalid_request',
    (form) => ({ ...form, actor_token: form.subject_token ?? '' }),
  ],
  [
    'actor token for another service',
    'agent_token_audience',
    'invalid_request',
    async (form, f) => {
      const { token } = await f.identity.platform.actorFor(agentNamed(f, 'assistant')).current('https://sts.example');
      return { ...form, actor_token: token.reveal() };
    },
  ],
  [
    'an agent that was made again under its name',
    'agent_known',
    'invalid_request',
    async (form, f) => {
      const agent = { ...agentNamed(f, 'assistant'), uid: 'the one before' };
      return { ...form, actor_token: (await f.identity.platform.actorFor(agent).current(f.publicUrl)).token.reveal() };
    },
  ],
  ['no target', 'target_named', 'invalid_target', (form) => without(form, 'resource')],
  ['relative resource', 'resource_absolute', 'invalid_target', (form) => ({ ...form, resource: '/mcp' })],
  ['resource with fragment', 'resource_absolute', 'invalid_target', (form) => ({ ...form, resource: `${ORDERS}#x` })],
  [
    'not registered',
    'target_registered',
    'invalid_target',
    (form) => ({ ...form, resource: 'https://evil.example/mcp' }),
  ],
  [
    'another case',
    'target_registered',
    'invalid_target',
    (form) => ({ ...form, resource: 'https://ORDERS.internal/mcp' }),
  ],
  ['a slash more', 'target_registered', 'invalid_target', (form) => ({ ...form, resource: `${ORDERS}/` })],
  [
    'the default port',
    'target_registered',
    'invalid_target',
    (form) => ({ ...form, resource: 'https://orders.internal:443/mcp' }),
  ],
  [
    'another encoding',
    'target_registered',
    'invalid_target',
    (form) => ({ ...form, resource: 'https://orders.internal/%6dcp' }),
  ],
  ['an audience of another server', 'target_registered', 'invalid_target', (form) => ({ ...form, audience: HR })],
  ['D5 our API', 'target_not_ours', 'invalid_target', (form, f) => ({ ...form, resource: `${f.publicUrl}/api` })],
  [
    'D5 the issuer',
    'target_not_ours',
    'invalid_target',
    (form, f) => ({ ...without(form, 'resource'), audience: f.publicUrl }),
  ],
  ['no scope of this server', 'scope_granted', 'invalid_scope', (form) => ({ ...form, scope: 'hr.read admin' })],
  ['scope with a quote', 'scope_syntax', 'invalid_scope', (form) => ({ ...form, scope: 'orders.read "' })],
  [
    'delegate without its type',
    'delegate_with_delegation',
    'invalid_request',
    (form) => ({ ...form, delegate: 'agent:default/researcher' }),
  ],
  [
    'delegation for a tool server',
    'delegation_audience',
    'invalid_target',
    (form) => ({ ...form, requested_token_type: DELEGATION, delegate: 'agent:default/researcher' }),
  ],
  [
    'delegation to nobody',
    'delegate_known',
    'invalid_target',
    (form) => ({ ...without(form, 'resource'), requested_token_type: DELEGATION, delegate: 'agent:default/nobody' }),
  ],
  [
    'delegation to itself',
    'delegate_known',
    'invalid_target',
    (form) => ({ ...without(form, 'resource'), requested_token_type: DELEGATION, delegate: 'agent:default/assistant' }),
  ],
  [
    'assertion of an agent as actor',
    'agent_token_valid',
    'invalid_request',
    async (form, f) => {
      const agent = { uid: f.uids.assistant, name: 'default/assistant' };
      return { ...form, actor_token: (await f.identity.platform.workload.assertion(agent, f.publicUrl)).reveal() };
    },
  ],
];

test('every rule of the token service refuses what it is for, without a word too much, and it is audited', async () => {
  await using f = await identityFixture({ limits: { tokenRefusals: 1_000, tokenRefusalsOfClient: 1_000 } });
  const { access_token: subject } = await signInByLink(f, 'alice');
  assert.equal((await exchange(f, subject, ORDERS)).status, 200);
  for (const [name, check, error, spoil] of REFUSALS) {
    const form = await spoil(await exchangeForm(f, subject, ORDERS), f);
    const { status, body, headers } = await postForm(f.publicUrl, form);
    assert.deepEqual([status, body.error], [error === 'invalid_client' ? 401 : 400, error], name);
    assert.deepEqual(Object.keys(body), ['error', 'error_description'], name);
    assert.equal(headers.get('cache-control'), 'no-store', name);
    assert.doesNotMatch(JSON.stringify(body), /eyJ|\.ts|node_modules|sqlite/i, name);
    const { code, rule } = (await f.audit.query({ type: 'refusal', limit: 1000 })).at(-1)?.entry ?? {};
    assert.deepEqual([code, rule], [error, check], name);
  }
  assert.equal(f.identity.counts().refused, REFUSALS.length);
  assert.equal((await f.audit.query({ type: 'issue' })).length, 1);
  assert.deepEqual(f.errors, []);
});

test('what is no form, too large, or not posted is refused', async () => {
  await using f = await identityFixture();
  const send = (init: RequestInit, path = '/sts/token') => fetch(f.publicUrl + path, { method: 'POST', ...init });
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const answers = [
    await send({ headers: { 'content-type': 'application/json' }, body: '{"grant_type":"client_credentials"}' }),
    await send({ headers: { 'content-type': 'text/plain' }, body: 'grant_type=client_credentials' }),
    await send({ headers: form, body: 'grant_type=client_credentials' }, '/sts/token?resource=x'),
    await send({ headers: form, body: Buffer.from([0x61, 0x3d, 0xff]) }),
    await fetch(`${f.publicUrl}/sts/token`),
  ];
  for (const answer of answers) {
    assert.equal(answer.status, 400);
    assert.equal(((await answer.json()) as { error: string }).error, 'invalid_request');
  }
  const large = await send({ headers: form, body: `a=${'x'.repeat(70_000)}` });
  assert.equal(large.status, 413);
});

test('D5 our own doors are no target, even where somebody registered them', async () => {
  await using f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  for (const path of ['/api', '/mcp', '/sts/token', '']) {
    await f.apply(
      'RemoteMCPServer',
      `own${path.replaceAll('/', '-')}`,
      f.exchangeServer(f.publicUrl + path, ['orders.read']),
    );
    const { status, body } = await exchange(f, subject, f.publicUrl + path);
    assert.deepEqual([status, body.error], [400, 'invalid_target'], path);
  }
});

test('an assertion and an actor token are good once, also at the same moment', async () => {
  await using f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  const form = await exchangeForm(f, subject, ORDERS);
  const both = await Promise.all([1, 2, 3, 4].map(() => postForm(f.publicUrl, form)));
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 401, 401, 401]);
  const freshClient = await postForm(f.publicUrl, { ...form, ...(await platformAuth(f)) });
  assert.deepEqual([freshClient.status, freshClient.body.error], [400, 'invalid_request']);
  // Spent with a refusal, it is spent.
  const next = await exchangeForm(f, subject, 'https://evil.example/mcp');
  assert.equal((await postForm(f.publicUrl, next)).body.error, 'invalid_target');
  assert.equal((await postForm(f.publicUrl, { ...next, resource: ORDERS })).body.error, 'invalid_client');
  assert.deepEqual(f.errors, []);
});

test('X15 an actor of another agent, or of another client, is refused', async () => {
  await using f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  await f.identity.clients.add({
    ...{ id: 'partner', grants: ['exchange'], agents: ['default/researcher'] },
    jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'p1' }] },
  });
  const partner = async () => {
    const claims = { iss: 'partner', sub: 'partner', aud: f.publicUrl, jti: crypto.randomUUID() };
    const jwt = new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'p1' }).setExpirationTime('1m');
    return { client_id: 'partner', client_assertion: await jwt.sign(privateKey) };
  };
  const actor = async (name: 'assistant' | 'researcher') =>
    (await f.identity.platform.actorFor(agentNamed(f, name)).current(f.publicUrl)).token.reveal();
  const form = async () => ({ ...(await exchangeForm(f, subject, ORDERS)), ...(await partner()) });
  assert.equal(
    (await postForm(f.publicUrl, { ...(await form()), actor_token: await actor('researcher') })).status,
    200,
  );
  const foreign = await postForm(f.publicUrl, { ...(await form()), actor_token: await actor('assistant') });
  assert.deepEqual([foreign.status, foreign.body.error_description], [400, 'the agent is not one of the client']);

  // A delegation to the researcher, in the hands of the assistant, and of another client.
  const request = await exchangeForm(f, subject, ORDERS);
  const { resource: _, ...rest } = request;
  const delegation = await postForm(f.publicUrl, {
    ...rest,
    ...{ requested_token_type: DELEGATION, delegate: 'agent:default/researcher' },
  });
  assert.equal(delegation.status, 200);
  const delegated = { subject_token: String(delegation.body.access_token), subject_token_type: DELEGATION };
  const wrongAgent = await postForm(f.publicUrl, { ...(await exchangeForm(f, subject, ORDERS)), ...delegated });
  assert.deepEqual(
    [wrongAgent.status, wrongAgent.body.error_description],
    [400, 'the subject token names another actor'],
  );
  const right = { ...(await exchangeForm(f, subject, ORDERS)), ...delegated, actor_token: await actor('researcher') };
  const wrongClient = await postForm(f.publicUrl, { ...right, ...(await partner()) });
  assert.deepEqual([wrongClient.status, wrongClient.body.error], [400, 'invalid_request']);
  const lost = await postForm(f.publicUrl, {
    ...without(right, 'actor_token', 'actor_token_type'),
    ...(await platformAuth(f)),
  });
  assert.equal(lost.status, 400);
  const good = { ...right, ...(await platformAuth(f)), actor_token: await actor('researcher') };
  assert.equal((await postForm(f.publicUrl, good)).status, 200);
});

test('at most five agents in a chain, and one that is switched off stops it', async () => {
  await using f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  const names = ['one', 'two', 'three', 'four', 'five', 'six'];
  const agents: { uid: string; namespace: string; name: string }[] = [];
  for (const name of names) {
    const uid = await f.apply('Agent', name, {
      ...{ type: 'Declarative', description: name },
      declarative: { systemMessage: '', modelConfigRef: { name: 'default' } },
    });
    agents.push({ uid, namespace: 'default', name });
  }
  let presented = { subject_token: subject, subject_token_type: ACCESS_TOKEN };
  const statuses: number[] = [];
  for (const [i, agent] of agents.slice(0, 5).entries()) {
    const { token } = await f.identity.platform.actorFor(agent).current(f.publicUrl);
    const { resource: _, ...form } = await exchangeForm(f, subject, ORDERS);
    const asked = { requested_token_type: DELEGATION, delegate: `agent:default/${names[i + 1]}` };
    const answer = await postForm(f.publicUrl, { ...form, ...presented, ...asked, actor_token: token.reveal() });
    statuses.push(answer.status);
    if (answer.status === 200)
      presented = { subject_token: String(answer.body.access_token), subject_token_type: DELEGATION };
  }
  assert.deepEqual(statuses, [200, 200, 200, 200, 400]);
  const fifth = async () => {
    const [, , , , agent] = agents;
    if (agent === undefined) throw new Error('no fifth');
    const { token } = await f.identity.platform.actorFor(agent).current(f.publicUrl);
    return postForm(f.publicUrl, {
      ...(await exchangeForm(f, subject, ORDERS)),
      ...presented,
      actor_token: token.reveal(),
    });
  };
  const five = await fifth();
  assert.equal(five.status, 200);
  assert.equal(JSON.stringify(decodeJwt(String(five.body.access_token)).act).match(/agent_uid/g)?.length, 5);
  assert.deepEqual(
    f.asked.at(-1)?.chain.map(({ name }) => name),
    ['four', 'three', 'two', 'one'],
  );
  await f.switchOff('two');
  const off = await fifth();
  assert.deepEqual([off.status, off.body.error], [400, 'invalid_request']);
});

test('what was exchanged cannot be exchanged again, and what policy denies is no target', async () => {
  await using f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  const { body } = await exchange(f, subject, ORDERS);
  const again = await exchange(f, String(body.access_token), HR, 'hr.read');
  assert.deepEqual([again.status, again.body.error], [400, 'invalid_request']);
  f.allows.target = ({ server }) => server?.uid === f.uids.hr;
  const denied = await exchange(f, subject, ORDERS);
  const unknown = await exchange(f, subject, 'https://nowhere.example/mcp');
  assert.equal(denied.body.error, 'invalid_target');
  assert.deepEqual(denied.body, unknown.body);
  assert.equal((await exchange(f, subject, HR, 'hr.read')).status, 200);
});

test('X13 J11 an expired, revoked, disabled or inactive subject is refused; the other person goes on', async () => {
  await using f = await identityFixture();
  const { issuer, users } = f.identity;
  const bob = await signInByLink(f, 'bob');
  const alice = await signInByLink(f, 'alice');
  const idToken = await exchange(f, alice.id_token, ORDERS);
  assert.equal(idToken.body.error, 'invalid_request');
  await users.setRole(issuer, 'alice', 'INACTIVE');
  assert.equal((await exchange(f, alice.access_token, ORDERS)).status, 400);
  await users.setRole(issuer, 'alice', 'REGULAR');
  assert.equal((await exchange(f, alice.access_token, ORDERS)).status, 200);
  await users.disable(issuer, 'alice', true);
  assert.equal((await exchange(f, alice.access_token, ORDERS)).status, 400);
  await users.disable(issuer, 'alice', false);
  // What was issued before stays refused.
  assert.equal((await exchange(f, alice.access_token, ORDERS)).status, 400);
  const refreshed = await postForm(f.publicUrl, {
    ...{ grant_type: 'refresh_token', client_id: 'cli', refresh_token: alice.refresh_token },
  });
  assert.equal(refreshed.body.error, 'invalid_grant');
  assert.equal((await exchange(f, bob.access_token, ORDERS)).status, 200);
  f.clock.ahead = 11 * 60_000;
  assert.equal((await exchange(f, bob.access_token, ORDERS)).body.error, 'invalid_request');
});

test('secrets: the right one in the header or the form, nothing else, and only for its grants', async () => {
  await using f = await identityFixture();
  const { secret } = await f.identity.clients.add({ id: 'gateway', grants: ['introspect'] });
  const value = (secret ?? SecretValue.of('none')).reveal();
  const basic = (password: string) => ({ authorization: `Basic ${btoa(`gateway:${encodeURIComponent(password)}`)}` });
  const ask = (fields: Fields, headers: Fields = {}) =>
    postForm(f.publicUrl, { token: 'x', ...fields }, '/sts/introspect', headers);
  assert.equal((await ask({}, basic(value))).status, 200);
  assert.equal((await ask({ client_id: 'gateway', client_secret: value })).status, 200);
  const wrong = await ask({}, basic('wrong'));
  assert.deepEqual([wrong.status, wrong.headers.get('www-authenticate')], [401, 'Basic realm="onbehalf"']);
  assert.equal((await ask({ client_id: 'gateway', client_secret: `${value}x` })).status, 401);
  assert.equal((await ask({ client_id: 'platform', client_secret: '' }, basic(value))).status, 401);
  for (const grant of [EXCHANGE, JWT_BEARER, 'client_credentials']) {
    const answer = await postForm(f.publicUrl, { grant_type: grant, resource: ORDERS }, '/sts/token', basic(value));
    assert.deepEqual([answer.status, answer.body.error], [400, 'unauthorized_client'], grant);
  }
  await f.identity.clients.remove('gateway');
  assert.equal((await ask({}, basic(value))).status, 401);
  await assert.rejects(f.identity.clients.add({ id: 'platform', grants: ['exchange'] }), { code: 'invalid_client' });
  const rows = await f.store.read(f.store.builder.selectFrom('clients').selectAll().compile());
  assert.equal(JSON.stringify(rows).includes(value), false);
});
