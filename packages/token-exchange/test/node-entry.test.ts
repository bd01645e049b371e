import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { createIdentityFetch, SecretValue, TokenExchangeError } from '@onbehalf/token-exchange';
import { nodeCrypto, nodeFetch } from '@onbehalf/token-exchange/node';
import type { Anomaly } from '@onbehalf/token-exchange/testing';
import { CompactSign, type CryptoKey, compactVerify, errors, generateKeyPair } from 'jose';
import { orders, refusedAs, setup } from './setup.ts';

const ALGORITHMS = [
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
  'EdDSA',
  'Ed25519',
];
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const signed = (alg: string, key: CryptoKey, header = {}) =>
  new CompactSign(Buffer.from('{"sub":"alice"}')).setProtectedHeader({ alg, ...header }).sign(key);
const verify = (jws: string, key: CryptoKey, algorithms: readonly string[] = ALGORITHMS) =>
  nodeCrypto.verify(jws, async () => key, algorithms);

for (const alg of ALGORITHMS)
  test(`nodeCrypto agrees with jose about ${alg}, and about every spoiled part of it`, async () => {
    const [own, other] = [await generateKeyPair(alg), await generateKeyPair(alg)];
    const jws = await signed(alg, own.privateKey);
    const answer = await verify(jws, own.publicKey);
    const expected = await compactVerify(jws, own.publicKey);
    assert.deepEqual(Buffer.from(answer.payload), Buffer.from(expected.payload));
    assert.deepEqual(answer.protectedHeader, expected.protectedHeader);
    const [header = '', payload = '', signature = ''] = jws.split('.');
    const flipped = Buffer.from(signature, 'base64url');
    flipped[5] = (flipped[5] ?? 0) ^ 1;
    const spoiled = [
      `${header}.${encode({ sub: 'mallory' })}.${signature}`,
      `${header}.${payload}.${flipped.toString('base64url')}`,
      `${header}.${payload}.`,
      `${header}.${payload}.${signature.slice(0, 20)}`,
      `${encode({ alg, kid: 'x' })}.${payload}.${signature}`,
      `${header}.${payload}`,
      `${header}.${payload}.${signature}.`,
      ` ${jws}`,
      `${header}.${payload}=.${signature}`,
    ];
    for (const one of spoiled) {
      await assert.rejects(verify(one, own.publicKey), one);
      await assert.rejects(compactVerify(one, own.publicKey));
    }
    await assert.rejects(verify(jws, other.publicKey));
    await assert.rejects(verify(jws, own.publicKey, ['ES256K']));
    await assert.rejects(verify(jws, own.privateKey));
  });

test('J1 J2 J7 nodeCrypto: none, a shared secret, extensions, an algorithm of the header that the list does not have', async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  for (const alg of ['none', 'nOnE', '', 'HS256', '__proto__', 'constructor', 7, undefined])
    for (const signature of ['', 'AAAA'])
      await assert.rejects(verify(`${encode({ alg })}.${encode({ sub: 'alice' })}.${signature}`, publicKey));
  await assert.rejects(verify(await signed('ES256', privateKey, { crit: ['b64'], b64: true }), publicKey));
  await assert.rejects(verify(`${encode({ alg: 'HS256' })}.e30.AAAA`, publicKey, ['HS256']));
});

test('nodeCrypto refuses an RSA key of 1,024 bits, and passes the errors of the key set on', async () => {
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('jwk', small.export({ format: 'jwk' }), algorithm, true, ['verify']);
  await assert.rejects(verify(`${encode({ alg: 'RS256' })}.e30.AAAA`, key), /key may not be used/);
  const unknown = () => Promise.reject(new errors.JWKSNoMatchingKey());
  await assert.rejects(
    nodeCrypto.verify(`${encode({ alg: 'ES256' })}.e30.AAAA`, unknown, ['ES256']),
    errors.JWKSNoMatchingKey,
  );
});

test('nodeCrypto makes the same hash as SecretValue', async () => {
  for (const text of ['a', 'é', 'x'.repeat(100_000)]) {
    const value = SecretValue.of(text);
    assert.equal(await nodeCrypto.sha256(value), await value.sha256());
    assert.equal(await nodeCrypto.sha256(value), createHash('sha256').update(text).digest('base64url'));
  }
});

const DEVIATIONS: readonly (readonly [Anomaly, code: string, deviation: string | undefined])[] = [
  ['foreign_key', 'untrusted_response', 'signature'],
  ['alg_none', 'untrusted_response', 'signature'],
  ['other_subject', 'untrusted_response', 'subject'],
  ['extra_audience', 'untrusted_response', 'audience'],
  ['html_200', 'untrusted_response', 'format'],
  ['huge', 'untrusted_response', 'size'],
  ['endless', 'untrusted_response', 'size'],
  ['redirect_307', 'untrusted_response', 'redirect'],
  ['not_json', 'untrusted_response', 'format'],
  ['cut', 'sts_unavailable', undefined],
  ['hang', 'sts_timeout', undefined],
  ['status_503', 'sts_unavailable', undefined],
];

for (const [anomaly, code, deviation] of DEVIATIONS)
  test(`X6 X7 X8 ${String(anomaly)} is refused with nodeFetch and nodeCrypto as without`, async () => {
    await using s = await setup();
    const subject = await s.service.user('alice');
    for (const more of [{}, { fetch: nodeFetch(), crypto: nodeCrypto }]) {
      const exchange = s.exchange({}, { ...more, timeouts: { attempt: 60, total: 400 } });
      s.service.always(undefined);
      assert.equal((await exchange.token({ subject, session: 'fine', target: orders })).claims?.sub, 'alice');
      s.service.always(anomaly);
      await assert.rejects(exchange.token({ subject, target: orders }), (error) => {
        assert.ok(error instanceof TokenExchangeError);
        assert.deepEqual([error.code, error.deviation], [code, deviation]);
        return true;
      });
    }
    assert.equal(s.service.counts.elsewhere, 0);
  });

test('a rotated key is fetched again with nodeCrypto, and connections are kept', async () => {
  await using s = await setup();
  const exchange = s.exchange({}, { fetch: nodeFetch(), crypto: nodeCrypto });
  const subject = await s.service.user('alice');
  for (const session of ['a', 'b', 'c']) await exchange.token({ subject, session, target: orders });
  assert.equal(s.service.counts.jwks, 1);
  await s.service.rotateKeys();
  await exchange.token({ subject, session: 'd', target: orders });
  assert.equal(s.service.counts.jwks, 2);
});

test('nodeFetch: one connection for many requests, non-ASCII bodies, empty answers, an aborted signal, a closed port', async () => {
  let connections = 0;
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    if (text === '') response.writeHead(204).end();
    else response.setHeader('set-cookie', ['a=1', 'b=2']).end(`${request.method} ${text}`);
  }).on('connection', () => (connections += 1));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const fetch = nodeFetch();
  for (let at = 0; at < 5; at += 1)
    assert.equal(await (await fetch(url, { method: 'POST', body: 'grüße' })).text(), 'POST grüße');
  assert.equal((await fetch(url)).status, 204);
  assert.equal(connections, 1);
  await assert.rejects(fetch(url, { signal: AbortSignal.abort() }));
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(fetch(url), TypeError);
});

test('X10 the service is down with nodeFetch: a typed error, and nothing is sent to the tool server', async () => {
  const s = await setup();
  const exchange = s.exchange({}, { fetch: nodeFetch(), crypto: nodeCrypto });
  const subject = await s.service.user('alice');
  await s.service.close();
  const fetcher = createIdentityFetch({ exchange, target: { ...orders, url: 'https://orders.internal/mcp' }, subject })(
    () => assert.fail('something was sent'),
  );
  const call = { method: 'POST', body: '{"method":"tools/call"}' };
  await assert.rejects(fetcher('https://orders.internal/mcp', call), refusedAs('sts_unavailable'));
});

test('X8 nodeFetch: half an answer and then silence ends at the deadline, and a cut one at once', async () => {
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('{"access_token":');
    if (request.url === '/cut') setTimeout(() => response.destroy(), 20);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const fetch = nodeFetch();
  const began = performance.now();
  await assert.rejects(fetch(`${url}/silent`, { signal: AbortSignal.timeout(50) }), TypeError);
  await assert.rejects(fetch(`${url}/cut`), TypeError);
  assert.ok(performance.now() - began < 2_000);
  await assert.rejects(fetch('file:///etc/hostname'), TypeError);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
