import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { createEgress } from '../../src/egress/index.ts';
import { createSharedSecrets, createTrustedIssuers } from '../../src/policy/index.ts';
import { controlFixture, doc, docs, until } from '../control/fixture.ts';

const SECRET = 'Tq8#mZp2-Lw5vNc9xRb7yKd4sGf1hJ3a';
const EMBEDDED = 'http://localhost:8484';

/** Issuers below one address, each with metadata of its own; `hold` keeps the answer back. */
async function metadataServer() {
  const answers = new Map<string, { status?: number; body: string }>();
  const asked: string[] = [];
  const held = new Map<string, ServerResponse[]>();
  const answer = (path: string, response: ServerResponse) => {
    const { status = 200, body = '{}' } = answers.get(path) ?? { status: 404, body: '' };
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  };
  const server = createServer((request, response) => {
    const path = (request.url ?? '').replace('/.well-known/openid-configuration', '');
    asked.push(path);
    const waiting = held.get(path);
    if (waiting) waiting.push(response);
    else answer(path, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    ...{ url, asked, answers },
    good: (path: string) =>
      answers.set(path, { body: JSON.stringify({ issuer: url + path, jwks_uri: `${url}${path}/jwks` }) }),
    hold: (path: string) => held.set(path, []),
    release(path: string) {
      for (const response of held.get(path) ?? []) answer(path, response);
      held.delete(path);
    },
    waiting: (path: string) => (held.get(path)?.length ?? 0) > 0,
    async close() {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
    },
  };
}

async function withIssuers(env: Record<string, string> = {}) {
  const f = await controlFixture({ readEnv: (name) => env[name] });
  const metadata = await metadataServer();
  const egress = createEgress({ privateNetworks: ['127.0.0.1/32'] });
  const { registry, now } = f;
  const sharedSecrets = createSharedSecrets({
    registry,
    now,
    credentials: f.vault.credentials,
    fileOf: () => undefined,
  });
  const problems: [string, string][] = [];
  const changed: string[] = [];
  const judged: string[] = [];
  const trusted = createTrustedIssuers({
    ...{ registry, egress, sharedSecrets, embedded: EMBEDDED },
    onProblem: (name, problem) => problems.push([name, problem]),
    onChange: (name) => changed.push(name),
    loginOf: ({ metadata: { name }, spec }) => (spec.login ? name : undefined),
    onJudged: (uids) => judged.push(...uids),
  });
  return {
    ...{ ...f, metadata, trusted, problems, changed, judged },
    names: () => trusted.list().map(({ name }) => name),
    problemOf: (name: string) => trusted.problemOf(f.get('TrustedIssuer', name).metadata.uid),
    async [Symbol.asyncDispose]() {
      trusted.close();
      sharedSecrets.close();
      await metadata.close();
      await egress.close();
      await f[Symbol.asyncDispose]();
    },
  };
}

const issuer = (name: string, url: string, more = '') => doc('TrustedIssuer', name, `{issuer: "${url}"${more}}`);
test('what tokens held besides texts is told of their issuer, once for each claim, until it is written again', async () => {
  await using f = await withIssuers();
  const key =
    '{kty: EC, crv: P-256, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0, kid: k, alg: ES256}';
  const written = (more = '') => issuer('written', 'https://c.example', `, keys: [${key}], algorithms: [ES256]${more}`);
  await f.apply('ada', written());
  await f.trusted.settled();
  const { uid } = f.get('TrustedIssuer', 'written').metadata;
  const told = f.trusted.list()[0];
  assert.equal(f.trusted.noticeOf(uid), undefined);
  for (const claim of ['groups', 'groups', 'roles']) told?.onOddClaim?.(claim);
  assert.equal(f.trusted.noticeOf(uid), 'entries that are no text were left out of groups and roles');
  assert.deepEqual(f.judged, [uid, uid]);
  await f.apply('ada', written(', leeway: 5s'));
  await f.trusted.settled();
  assert.equal(f.trusted.noticeOf(uid), undefined);
  told?.onOddClaim?.('groups');
  assert.equal(f.trusted.noticeOf(uid), undefined, 'of what was written before');
});

const legacy = (name: string, env: string, more = '') =>
  doc('TrustedIssuer', name, `{issuer: "legacy:${name}", legacyHs256: {secretRef: {env: ${env}}${more}}}`);

test('an issuer is trusted for what its resource says: keys by discovery, by address or as written; the embedded one by itself', async () => {
  await using f = await withIssuers();
  f.metadata.good('/a');
  const key =
    '{kty: EC, crv: P-256, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0, kid: k, alg: ES256}';
  await f.apply(
    'ada',
    docs(
      issuer('onbehalf', EMBEDDED),
      issuer(
        'found',
        `${f.metadata.url}/a`,
        ', audiences: {api: [here]}, maxLifetime: 1h, leeway: 5s, subjectPrefix: a, claims: {roles: r}, roleMap: {boss: ADMIN}, typ: [JWT], requiredClaims: {azp: x}, subjectClaims: [oid]',
      ),
      issuer(
        'named',
        'https://b.example',
        ', jwksUri: "https://b.example/keys", login: {client: {id: console, auth: SecretBasic, secretRef: {env: C}}}',
      ),
      issuer('written', 'https://c.example', `, keys: [${key}], algorithms: [ES256]`),
    ),
  );
  await f.trusted.settled();
  assert.deepEqual(f.names().sort(), ['found', 'named', 'written']);
  const [found, named, written] = ['found', 'named', 'written'].map((name) =>
    f.trusted.list().find((one) => one.name === name),
  );
  const { onOddClaim, ...read } = found ?? {};
  assert.equal(typeof onOddClaim, 'function');
  assert.deepEqual(read, {
    name: 'found',
    issuer: `${f.metadata.url}/a`,
    keys: { kind: 'jwks', uri: `${f.metadata.url}/a/jwks` },
    algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
    audiences: { api: ['here'] },
    typ: ['JWT'],
    requiredClaims: { azp: 'x' },
    subjectClaims: ['oid'],
    subjectPrefix: 'a',
    claims: { roles: 'r' },
    roleMap: { boss: 'ADMIN' },
    maxRole: 'REGULAR',
    maxLifetime: 3_600,
    leeway: 5,
  });
  assert.deepEqual(
    [named?.keys, named?.loginClientId, named?.maxLifetime],
    [{ kind: 'jwks', uri: 'https://b.example/keys' }, 'console', 86_400],
  );
  assert.equal(written?.keys.kind, 'static');
  assert.deepEqual(f.trusted.logins(), ['named']);
  assert.deepEqual(f.problems, []);
});

test('one whose metadata cannot be read is not trusted, and it is said what to write: a trailing slash, no keys, no document', async () => {
  await using f = await withIssuers();
  const { url, answers } = f.metadata;
  f.metadata.good('/good');
  answers.set('/slash', { body: JSON.stringify({ issuer: `${url}/slash/`, jwks_uri: `${url}/jwks` }) });
  answers.set('/keyless', { body: JSON.stringify({ issuer: `${url}/keyless` }) });
  answers.set('/page', { body: '<html>welcome</html>' });
  answers.set('/empty', { body: 'null' });
  answers.set('/down', { status: 503, body: '' });
  const all = ['slash', 'keyless', 'page', 'empty', 'down', 'good'];
  await f.apply('ada', docs(...all.map((name) => issuer(name, `${url}/${name}`))));
  await f.trusted.settled();
  assert.deepEqual(f.names(), ['good']);
  for (const [name, says] of [
    ['slash', `${url}/slash/. Write spec.issuer like that, with the slash at its end`],
    ['keyless', 'names no keys: set jwksUri'],
    ['page', 'is not the metadata of an issuer'],
    ['empty', 'is not the metadata of an issuer'],
    ['down', 'answered 503'],
  ] as const) {
    assert.equal(f.problemOf(name)?.reason, 'NotReadable');
    assert.ok(f.problemOf(name)?.message.includes(says), f.problemOf(name)?.message);
  }
  // Mended where it was wrong, it is trusted, and nothing is said of it any more.
  await f.apply('ada', issuer('slash', `${url}/slash/`));
  await f.trusted.settled();
  assert.deepEqual([f.names().sort(), f.problemOf('slash')], [['good', 'slash'], undefined]);
});

test('one that is removed or written again while others are being read is not trusted for what was read before', async () => {
  await using f = await withIssuers();
  const { url } = f.metadata;
  for (const path of ['/a', '/b', '/slow']) f.metadata.good(path);
  await f.apply('ada', docs(issuer('a', `${url}/a`, ', maxRole: ADMIN'), issuer('b', `${url}/b`)));
  await f.trusted.settled();
  assert.deepEqual(f.names().sort(), ['a', 'b']);
  f.metadata.hold('/slow');
  await f.apply('ada', issuer('slow', `${url}/slow`));
  await until(() => f.metadata.waiting('/slow'));
  // Both were taken over into the list that is being made.
  await f.remove('ada', 'TrustedIssuer', 'b');
  f.metadata.hold('/a');
  await f.apply('ada', issuer('a', `${url}/a`));
  assert.deepEqual(f.names(), []);
  f.metadata.release('/slow');
  await until(() => f.metadata.waiting('/a'));
  assert.deepEqual(f.names(), ['slow']);
  f.metadata.release('/a');
  await f.trusted.settled();
  assert.deepEqual(
    f.trusted
      .list()
      .map(({ name, maxRole }) => [name, maxRole])
      .sort(),
    [
      ['a', 'REGULAR'],
      ['slow', 'REGULAR'],
    ],
  );
  // Its keys are fetched anew; of one that is new there are none to forget.
  assert.deepEqual(f.changed, ['a']);
});

test('P1 two issuers of one secret: the first stays, the second is told whose it is; a weak or published one is refused', async () => {
  await using f = await withIssuers({
    ONE: SECRET,
    SAME: SECRET,
    LOWER: SECRET.toLowerCase(),
    WEAK: 'abababababababababababababababababab',
    OWN: `${SECRET}-own`,
  });
  await f.apply('ada', legacy('first', 'ONE'));
  await f.trusted.settled();
  f.clock.ahead = 1_000;
  await f.apply(
    'ada',
    docs(
      legacy('second', 'SAME'),
      legacy('lowered', 'ONE', ', lowercaseSecret: true'),
      legacy('previous', 'OWN', ', previousSecretRef: {env: SAME}'),
      legacy('weak', 'WEAK'),
      legacy('missing', 'NOTHING'),
      legacy('plain-lower', 'LOWER'),
    ),
  );
  await f.trusted.settled();
  const reasons = Object.fromEntries(
    ['first', 'second', 'previous', 'weak', 'missing'].map((name) => [name, f.problemOf(name)?.reason]),
  );
  assert.deepEqual(reasons, {
    first: undefined,
    second: 'SecretShared',
    previous: 'SecretShared',
    weak: 'SecretRefused',
    missing: 'NotReadable',
  });
  assert.match(f.problemOf('second')?.message ?? '', /that of the TrustedIssuer first/);
  // What one lowers and the other spells so is one secret: one of the two speaks for its people.
  const lower = ['lowered', 'plain-lower'].filter((name) => f.problemOf(name)?.reason === 'SecretShared');
  assert.equal(lower.length, 1);
  assert.equal(
    f.problems.some(([, problem]) => problem.includes(SECRET)),
    false,
  );
  const first = f.trusted.list().find(({ name }) => name === 'first');
  assert.deepEqual([first?.issuer, first?.maxLifetime, first?.maxRole], ['', undefined, 'REGULAR']);
});
