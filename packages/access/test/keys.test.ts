import assert from 'node:assert/strict';
import { createSecretKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { loadKeys, selectKey } from '../src/keys.ts';
import { claims, issuer, jwk, jwks, jwksServer, NOW, rsaPrivate, rsaPublic, setup, token } from './issuer.ts';

const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
const exponent3 = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).publicKey;
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey;
const ed = generateKeyPairSync('ed25519').publicKey;

test('weak, symmetric, private and unfit keys are left out, the others serve', () => {
  const good = jwk(rsaPublic, { kid: 'good' });
  const bad = [
    jwk(rsa1024),
    jwk(exponent3),
    jwk(rsaPublic, { use: 'enc' }),
    jwk(rsaPublic, { key_ops: ['sign'] }),
    jwk(rsaPublic, { alg: 'HS256' }),
    jwk(rsaPublic, { alg: 'none' }),
    jwk(rsaPublic, { alg: 'ES256' }),
    jwk(p384, { alg: 'ES256' }),
    jwk(rsaPrivate),
    jwk(rsaPublic, { kid: 5 }),
    { ...createSecretKey(Buffer.alloc(64)).export({ format: 'jwk' }), alg: 'HS256', use: 'sig' },
    { kty: 'RSA' },
    {},
  ];
  assert.deepEqual(
    loadKeys({ keys: [...bad, good] }).keys.map(({ kid }) => kid),
    ['good'],
  );
});

test('a key is chosen by kid and algorithm, and two that fit are none', () => {
  const set = loadKeys({ keys: [jwk(rsaPublic, { kid: 'a' }), jwk(p384, { kid: 'a' }), jwk(ed, { kid: 'e' })] });
  assert.equal(selectKey(set, 'a', 'RS256')?.key.asymmetricKeyType, 'rsa');
  assert.equal(selectKey(set, 'a', 'ES384')?.key.asymmetricKeyType, 'ec');
  assert.equal(selectKey(set, 'a', 'ES256'), undefined);
  assert.equal(selectKey(set, 'e', 'EdDSA')?.kid, 'e');
  assert.equal(selectKey(set, undefined, 'PS256')?.kid, 'a');
  for (const alg of ['HS256', 'none', 'constructor']) assert.equal(selectKey(set, 'a', alg), undefined);
  const twice = loadKeys({ keys: [jwk(rsaPublic, { kid: 'a' }), jwk(rsaPublic, { kid: 'a' })] });
  assert.equal(selectKey(twice, 'a', 'RS256'), undefined);
});

test('J6 500 tokens with unknown kids cause at most one fetch in 30 s, and valid tokens are unaffected', async () => {
  await using server = await jwksServer({ keys: [...jwks.keys] });
  const clock = { now: NOW };
  using v = setup({ issuers: [issuer({ keys: { kind: 'jwks', uri: server.uri } })], clock, fetch: globalThis.fetch });
  await v.verify(token());
  assert.equal(server.state.requests, 1);
  const flood = () =>
    Promise.all(
      Array.from({ length: 250 }, (_, i) => v.refuses(token(claims(), { kid: `k${i}${clock.now}` }), 'key_unknown')),
    );
  await flood();
  assert.equal(server.state.requests, 1, 'the keys were fetched less than 30 s ago');
  clock.now += 30_000;
  await Promise.all([flood(), flood(), v.verify(token(claims({ jti: 'x' })))]);
  clock.now += 10_000;
  await flood();
  assert.equal(server.state.requests, 2);
});

test('J6 a new key is found by the first token that names it', async () => {
  await using server = await jwksServer({ keys: [] });
  const clock = { now: NOW };
  using v = setup({ issuers: [issuer({ keys: { kind: 'jwks', uri: server.uri } })], clock, fetch: globalThis.fetch });
  await v.refuses(token(), 'key_unknown');
  server.state.keys = [...jwks.keys];
  clock.now += 31_000;
  assert.equal((await v.verify(token())).subject, 'alice');
});

test('J6 a request waits at most 2 s for keys', async (t) => {
  await using server = await jwksServer({ keys: [] });
  server.state.hang = true;
  using v = setup({ issuers: [issuer({ keys: { kind: 'jwks', uri: server.uri } })], fetch: globalThis.fetch });
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const refused = v.refuses(token(), 'keys_unavailable');
  await new Promise((done) => setImmediate(done));
  t.mock.timers.tick(2_000);
  await refused;
});

test('J17 a key that was removed: refused at once after reload, a cached token too', async () => {
  await using server = await jwksServer({ keys: [...jwks.keys] });
  using v = setup({ issuers: [issuer({ keys: { kind: 'jwks', uri: server.uri } })], fetch: globalThis.fetch });
  const warm = token();
  await v.verify(warm);
  server.state.keys = [];
  await v.verify(warm);
  await v.reload('another');
  await v.verify(warm);
  await v.reload('main');
  await v.refuses(warm, 'key_unknown');
  await v.refuses(token(claims({ jti: 'fresh' })), 'key_unknown');
});

test('J17 a key that was removed: refused as soon as the issuer is written again, by every verifier', async () => {
  await using server = await jwksServer({ keys: [...jwks.keys] });
  const keys = { kind: 'jwks' as const, uri: server.uri };
  const issuers = [issuer({ keys })];
  using v = setup({ issuers, fetch: globalThis.fetch });
  await v.verify(token());
  server.state.keys = [];
  issuers[0] = issuer({ keys });
  await v.verify(token()).catch(() => undefined);
  for (let tries = 0; tries < 40 && server.state.requests < 2; tries++)
    await new Promise((done) => setTimeout(done, 5));
  await new Promise((done) => setTimeout(done, 50));
  await v.refuses(token(), 'key_unknown');
  assert.equal(server.state.requests, 2, 'and fetched once for it');
});

test('J17 a key that was removed: refused within 10 min', async () => {
  await using server = await jwksServer({ keys: [...jwks.keys] });
  const clock = { now: NOW };
  using v = setup({ issuers: [issuer({ keys: { kind: 'jwks', uri: server.uri } })], clock, fetch: globalThis.fetch });
  await v.verify(token());
  server.state.keys = [];
  clock.now += 600_000;
  await v.refuses(token(claims({ iat: clock.now / 1000, exp: clock.now / 1000 + 600 })), 'key_unknown');
});

test('J17 an unreachable key set serves the last good keys for an hour, then denies', async () => {
  await using server = await jwksServer({ keys: [...jwks.keys] });
  const clock = { now: NOW };
  using v = setup({ issuers: [issuer({ keys: { kind: 'jwks', uri: server.uri } })], clock, fetch: globalThis.fetch });
  const long = (jti: string) => token(claims({ exp: NOW / 1000 + 9999, jti }));
  await v.verify(long('1'));
  server.state.status = 500;
  clock.now += 3_599_000;
  await v.verify(long('2'));
  await v.verify(long('1'));
  clock.now += 1_000;
  await v.refuses(long('1'), 'keys_unavailable');
  server.state.status = 200;
  clock.now += 31_000;
  await v.verify(long('1'));
});

test('a key set that redirects, is too large or is no key set counts as unreachable', async () => {
  const answers: [number, string | null, Record<string, string>?][] = [
    [302, null, { location: 'https://evil.example/' }],
    [200, 'x'.repeat(300_000)],
    [200, '<html>'],
    [200, '{"keys":{}}'],
    [200, '{"keys":[],"keys":[]}'],
    [204, null],
  ];
  for (const [status, body, headers] of answers) {
    const seen: RequestInit[] = [];
    const fetch = async (_url: string, init: RequestInit) => {
      seen.push(init);
      return new Response(body, { status, ...(headers === undefined ? {} : { headers }) });
    };
    using v = setup({ issuers: [issuer({ keys: { kind: 'jwks', uri: 'https://issuer.example/jwks' } })], fetch });
    await v.refuses(token(), 'keys_unavailable');
    assert.equal(seen[0]?.redirect, 'error');
  }
});

test('keys of an issuer in the same process follow its rotation', async () => {
  let current: { keys: object[] } = { keys: [...jwks.keys] };
  using v = setup({ issuers: [issuer({ keys: { kind: 'local', current: () => current } })] });
  await v.verify(token());
  current = { keys: [jwk(p384, { kid: 'r1' })] };
  await v.refuses(token(), 'key_unknown');
});
