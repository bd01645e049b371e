import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ClientConfig,
  configurationProblems,
  createIdentityFetch,
  createTokenExchange,
  privateKeyJwt,
  SecretValue,
  type Target,
  TokenExchangeError,
  type TokenServiceConfig,
  targetProblem,
} from '@onbehalf/token-exchange';
import { client, orders, refusedAs, setup } from './setup.ts';

const good: TokenServiceConfig = { name: 'sts', issuer: 'https://sts.example', profile: 'rfc8693', client };
const URL = 'https://orders.internal/mcp';
const at = (changes: object): TokenServiceConfig => ({ ...good, ...changes });

/** Where the mistake is, and words of what would be right. */
const MISTAKES: Readonly<Record<string, readonly [TokenServiceConfig, path: string, right: RegExp]>> = {
  'a profile that is not known': [
    at({ profile: 'keycloack' }),
    'profile',
    /did you mean "keycloak"\? Known are rfc8693/,
  ],
  'a profile like nothing': [at({ profile: '__proto__' }), 'profile', /Known are rfc8693, onbehalf/],
  'no issuer': [at({ issuer: undefined }), 'issuer', /issuer` or `wellKnownUri/],
  'http:// to another host': [
    at({ issuer: 'http://sts.example' }),
    'issuer',
    /https:\/\/ URL, or http:\/\/ on loopback/,
  ],
  'an endpoint of http:// to another host': [at({ endpoint: 'http://10.0.0.1/token' }), 'endpoint', /https/],
  'keys of http:// to another host': [at({ jwksUri: 'http://sts.example/jwks' }), 'jwksUri', /https/],
  'a revocation endpoint of http://': [at({ revocationEndpoint: 'http://x.example/r' }), 'revocationEndpoint', /https/],
  'a host that only begins like loopback': [at({ issuer: 'http://127.0.0.1.evil.example' }), 'issuer', /https/],
  'a credential in the URL': [at({ endpoint: 'https://a:b@sts.example/t' }), 'endpoint', /contains a credential/],
  'no URL at all': [at({ wellKnownUri: 'sts.example' }), 'wellKnownUri', /not a URL/],
  'a metadata address that is none': [
    at({ issuer: undefined, wellKnownUri: 'https://sts.example/metadata' }),
    'wellKnownUri',
    /no well-known segment; name the issuer/,
  ],
  'PrivateKeyJwt without a key': [
    at({ client: { auth: 'PrivateKeyJwt', id: 'a', keyId: '1' } }),
    'client.sign',
    /needs a key: make the client with privateKeyJwt/,
  ],
  'WorkloadToken without a source': [
    at({ client: { auth: 'WorkloadToken', id: 'a', keyId: '1' } }),
    'client.assertion',
    /tokenFile/,
  ],
  'a secret given inline': [at({ client: { ...client, secret: 'hunter2-inline' } }), 'client.secret', /SecretValue/],
  'a client without a way': [at({ client: { id: 'a', auth: 'secretbasic' } }), 'client.auth', /"SecretBasic"/],
  'a client without an id': [at({ client: { ...client, id: '' } }), 'client.id', /id of the client/],
  'no client': [at({ client: undefined }), 'client', /missing/],
  'an agent with two clients': [
    at({ clientPerAgent: [1, 2].map(() => ({ agent: 'default/a', client })) }),
    'clientPerAgent[1].agent',
    /default\/a is named twice/,
  ],
  'a bad client of an agent': [
    at({ clientPerAgent: [{ agent: 'default/a', client: { ...client, secret: 'hunter2-inline' } }] }),
    'clientPerAgent[0].client.secret',
    /never the secret itself/,
  ],
  'act at keycloak': [at({ profile: 'keycloak', delegation: 'act' }), 'delegation', /use azp or none/],
  'azp at the embedded service': [at({ profile: 'onbehalf', delegation: 'azp' }), 'delegation', /use act or none/],
  'azp at dex': [at({ profile: 'dex', connectorId: 'c', delegation: 'azp' }), 'delegation', /use none/],
  'dex without its connector': [at({ profile: 'dex' }), 'connectorId', /needs a connectorId/],
  'an unknown field': [at({ jwksUrl: 'https://sts.example/jwks' }), 'jwksUrl', /did you mean "jwksUri"/],
  'no lifetime': [at({ maxLifetime: 0 }), 'maxLifetime', /above 0/],
};

for (const [what, [service, path, right]] of Object.entries(MISTAKES))
  test(`${what} is refused before anything is sent, and it is said where and what would be right`, () => {
    const found = configurationProblems(service);
    const problem = found.find((one) => one.path === path);
    assert.ok(problem, JSON.stringify(found));
    assert.match(problem.message, right);
    const fetch = () => assert.fail('something was sent');
    assert.throws(
      () => createTokenExchange({ tokenService: service, fetch }),
      (error) => {
        assert.ok(error instanceof TokenExchangeError);
        assert.deepEqual([error.code, error.actBy], ['invalid_request_configuration', 'administrator']);
        assert.ok(error.message.includes(`${path}: `), error.message);
        assert.ok(!error.message.includes('hunter2-inline'));
        return true;
      },
    );
  });

test('all mistakes are said at once; a good configuration has none', () => {
  const service = at({ profile: 'keycloak', delegation: 'act', endpoint: 'http://x.example', isuer: 'x' });
  assert.deepEqual(
    configurationProblems(service).map(({ path }) => path),
    ['isuer', 'endpoint', 'delegation'],
  );
  assert.deepEqual(configurationProblems(good), []);
  const local = ['http://localhost:8080', 'http://127.0.0.9/realms/one', 'http://[::1]:1'];
  for (const issuer of local) assert.deepEqual(configurationProblems(at({ issuer })), []);
});

test('options that do not exist are refused, and so is a client in their place that is no good', () => {
  const invalid = refusedAs('invalid_request_configuration');
  assert.throws(() => createTokenExchange({ tokenService: good, hook: {} } as never), invalid);
  const inline = { ...client, secret: 'hunter2-inline' } as unknown as ClientConfig;
  assert.throws(() => createTokenExchange({ tokenService: good, client: inline }), invalid);
  const { client: _none, ...without } = good;
  createTokenExchange({ tokenService: without as TokenServiceConfig, client });
});

const OF = (changes: Partial<Target>): Target => ({ audience: [], resource: [], scopes: [], url: URL, ...changes });
const TARGETS: readonly (readonly [TokenServiceConfig['profile'], Target, RegExp])[] = [
  ['entra-obo', OF({ resource: [URL], scopes: ['api://a/.default'] }), /refuses every resource; name the scope/],
  ['entra-obo', OF({ scopes: ['api://a/.default'] }), /neither an audience/],
  ['entra-obo', OF({ audience: ['api://a'] }), /scope, such as api:\/\/app\/\.default/],
  ['keycloak', OF({ resource: [URL] }), /needs an audience/],
  ['zitadel', OF({ resource: [URL] }), /needs an audience/],
  ['okta', OF({ audience: ['api'] }), /needs a scope/],
  ...(['keycloak', 'okta', 'zitadel', 'dex'] as const).map(
    (profile) => [profile, OF({ audience: ['api'], resource: [URL], scopes: ['s'] }), /no resource/] as const,
  ),
  ['onbehalf', OF({ audience: ['a', 'b'] }), /one audience and one resource/],
  ['rfc8693', OF({}), /neither an audience nor a resource/],
  ['rfc8693', OF({ resource: [`${URL}#part`] }), /absolute URI without fragment/],
  ['rfc8693', OF({ resource: ['/mcp'] }), /absolute URI without fragment/],
  ['rfc8693', OF({ resource: ['orders.internal/mcp'] }), /absolute URI without fragment/],
  ['rfc8693', OF({ audience: ['a'], scopes: ['read write'] }), /not a scope token/],
  ['rfc8693', { ...OF({ audience: ['a'] }), scope: ['read'] } as Target, /"scope".*did you mean "scopes"/],
  ['rfc8693', { audience: ['a'] } as unknown as Target, /needs `resource`/],
];

for (const [profile, target, right] of TARGETS)
  test(`${profile}: the target ${JSON.stringify(target)} is refused where it is configured and where it is used`, async () => {
    assert.match(targetProblem(profile, target) ?? '', right);
    await using s = await setup();
    const exchange = s.exchange({ profile, ...(profile === 'dex' && { connectorId: 'c' }) });
    const subject = await s.service.user('alice');
    const invalid = refusedAs('invalid_request_configuration');
    assert.throws(() => createIdentityFetch({ exchange, target: { ...target, url: URL }, subject }), invalid);
    await assert.rejects(exchange.token({ subject, target }), invalid);
    assert.deepEqual(s.service.counts.token, 0);
  });

test('D5 the token service itself is no target: what it gave out could be exchanged again', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  for (const own of [s.service.issuer, s.service.endpoint])
    for (const target of [OF({ audience: [own] }), OF({ resource: [own] })]) {
      await assert.rejects(exchange.token({ subject, target }), refusedAs('invalid_request_configuration'));
    }
  assert.equal(s.service.counts.token, 0);
});

test('metadata that names another issuer is refused, and nothing is sent after it', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  for (const issuer of [`${s.service.issuer}/`, s.service.issuer.replace('127.0.0.1', 'localhost')]) {
    const exchange = s.exchange({ issuer });
    await assert.rejects(exchange.token({ subject, target: orders }), refusedAs('untrusted_response', 'issuer'));
  }
  assert.equal(s.service.counts.token, 0);
});

test('privateKeyJwt takes a key that can sign, and nothing else', async () => {
  const { publicKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, [
    'sign',
    'verify',
  ]);
  const invalid = refusedAs('invalid_request_configuration');
  for (const key of [undefined, 'hunter2-inline', SecretValue.of('x'), publicKey])
    assert.throws(() => privateKeyJwt({ id: 'a', keyId: '1', key: key as never }), invalid);
});
