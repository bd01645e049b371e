import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { exportJWK, type JWK, jwtVerify, SignJWT } from 'jose';
import { openJws, publicKeysOf, signer } from '../../src/issuer/jws.ts';

const ALL = ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'];
const claims = { sub: 'alice', aud: 'https://issuer.example' };
const ec = () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const jwk = async (key: KeyObject, kid: string): Promise<JWK> => ({ ...(await exportJWK(key)), kid });

test('what is signed here another library verifies, and what it signs is opened here, by every algorithm', async () => {
  const { privateKey, publicKey } = ec();
  const sign = signer(await jwk(privateKey, 'k1'), 'k1');
  const { payload, protectedHeader } = await jwtVerify(sign('at+jwt', claims).reveal(), publicKey, { typ: 'at+jwt' });
  assert.deepEqual([payload, protectedHeader], [claims, { alg: 'ES256', kid: 'k1', typ: 'at+jwt' }]);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  for (const [alg, pair] of [
    ['ES256', ec()],
    ['EdDSA', generateKeyPairSync('ed25519')],
    ['PS256', rsa],
    ['RS256', rsa],
  ] as const) {
    const token = await new SignJWT(claims).setProtectedHeader({ alg, kid: 'k2', typ: 'x+jwt' }).sign(pair.privateKey);
    const keys = publicKeysOf({ keys: [await jwk(pair.publicKey, 'k2')] });
    assert.deepEqual(openJws(token, keys, ALL), { typ: 'x+jwt', payload: claims }, alg);
    assert.throws(
      () =>
        openJws(
          token,
          keys,
          ALL.filter((one) => one !== alg),
        ),
      `${alg} must be allowed`,
    );
    assert.throws(
      () =>
        openJws(
          token.replace(/.\.(?=[^.]*$)/, (end) => (end === 'A.' ? 'B.' : 'A.')),
          keys,
          ALL,
        ),
      alg,
    );
  }
});

test('J1 J2 J7 no algorithm, a secret, an extension, a DER signature, another spelling of it: nothing is opened', async () => {
  const { privateKey, publicKey } = ec();
  const public_ = await jwk(publicKey, 'k1');
  const keys = publicKeysOf({ keys: [public_] });
  const good = signer(await jwk(privateKey, 'k1'), 'k1')('at+jwt', claims).reveal();
  const [header = '', payload = '', signature = ''] = good.split('.');
  assert.ok(openJws(good, keys, ALL));
  const headed = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const hmac = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', kid: 'k1' })
    .sign(Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })));
  const { sign } = await import('node:crypto');
  const der = sign('sha256', Buffer.from(`${header}.${payload}`), privateKey).toString('base64url');
  for (const [what, token] of [
    ['none', `${headed({ alg: 'none', kid: 'k1' })}.${payload}.`],
    ['no signature', `${header}.${payload}.`],
    ['the key as a secret', hmac],
    ['crit', `${headed({ alg: 'ES256', kid: 'k1', crit: ['exp'] })}.${payload}.${signature}`],
    ['b64', `${headed({ alg: 'ES256', kid: 'k1', b64: false })}.${payload}.${signature}`],
    ['another kid', `${headed({ alg: 'ES256', kid: 'k2' })}.${payload}.${signature}`],
    ['DER', `${header}.${payload}.${der}`],
    ['padding', `${good}=`],
    ['cut', good.slice(0, -2)],
    ['four parts', `${good}.x`],
    ['two parts', `${header}.${payload}`],
    ['a property of every object', `${headed({ alg: 'constructor', kid: 'k1' })}.${payload}.${signature}`],
  ] as const)
    assert.throws(() => openJws(token, keys, [...ALL, 'none', 'HS256', 'constructor']), what);
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const small = publicKeysOf({ keys: [await jwk(weak.publicKey, 'k1')] });
  assert.throws(() => openJws(good, small, ALL));
  // Two keys that fit are none.
  assert.throws(() => openJws(good, publicKeysOf({ keys: [public_, public_] }), ALL));
});
