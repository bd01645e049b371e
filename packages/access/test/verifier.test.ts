import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { API, claims, ecToken, encode, ISS, issuer, jwk, jwks, NOW, rsaPublic, setup, token } from './issuer.ts';

const now = NOW / 1000;

test('a token of a trusted issuer becomes a principal', async () => {
  using v = setup();
  const payload = claims({
    name: 'Alice',
    email: 'a@x',
    groups: ['g1'],
    sid: 's',
    jti: 'j',
    azp: 'c',
    scope: 'a b',
    amr: ['pwd'],
  });
  const principal = await v.verify(token(payload));
  const { tokenHash, ...credential } = principal.credential;
  assert.match(tokenHash ?? '', /^[\w-]{43}$/);
  assert.deepEqual(credential, {
    kind: 'bearer',
    expiresAt: NOW + 600_000,
    sid: 's',
    jti: 'j',
    azp: 'c',
    scope: 'a b',
    amr: ['pwd'],
  });
  const { credential: _, ...who } = principal;
  assert.deepEqual(who, {
    issuer: ISS,
    subject: 'alice',
    kind: 'person',
    name: 'Alice',
    email: 'a@x',
    role: 'REGULAR',
    groups: ['g1'],
    groupsUnknown: false,
    delegated: false,
  });
  assert.equal((await v.verify(ecToken())).subject, 'alice');
});

test('J1 alg none in any spelling, and an empty signature', async () => {
  using v = setup({ issuers: [issuer({ algorithms: ['RS256', 'ES256'] })] });
  for (const alg of ['none', 'nOnE', 'NONE', 'None', 'none ', '']) {
    await v.refuses(token(claims(), { alg }), 'algorithm_refused');
    const unsigned = `${encode({ alg, typ: 'at+jwt', kid: 'r1' })}.${encode(claims())}.`;
    await v.refuses(unsigned, 'token_malformed');
  }
  await v.refuses(`${token().split('.').slice(0, 2).join('.')}.`, 'token_malformed');
  for (const alg of [null, 5, ['RS256'], undefined]) await v.refuses(token(claims(), { alg }), 'header_refused');
});

test('J1 none and HS256 are refused also where a configuration lists them', async () => {
  using v = setup({ issuers: [issuer({ algorithms: ['none', 'HS256', 'RS256'] })] });
  await v.refuses(token(claims(), { alg: 'none' }), 'issuer_misconfigured');
  await v.refuses(token(), 'issuer_misconfigured');
});

test('J2 HS256 keyed with the public key of the issuer, in every form', async () => {
  using v = setup();
  const pem = rsaPublic.export({ format: 'pem', type: 'spki' }).toString();
  const keys = [
    pem,
    `\n ${pem}`,
    pem.trim(),
    JSON.stringify(jwks.keys[0]),
    JSON.stringify(jwks),
    rsaPublic.export({ format: 'jwk' }).n ?? '',
  ];
  for (const secret of keys) {
    for (const payload of [claims(), claims({ iss: undefined, aud: undefined, userId: 1, role: 'ADMIN' })]) {
      const input = `${encode({ alg: 'HS256', typ: 'at+jwt', kid: 'r1' })}.${encode(payload)}`;
      await v.refuses(
        `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`,
        'algorithm_refused',
      );
    }
  }
});

test('J3 the configured list decides, not the key and not the token', async () => {
  const keys = { kind: 'static' as const, jwks: { keys: [jwk(rsaPublic, { kid: 'r1' })] } };
  using v = setup({ issuers: [issuer({ keys, algorithms: ['PS256'] })] });
  await v.refuses(token(), 'algorithm_refused');
  await v.refuses(token(claims(), { alg: 'PS256' }), 'signature_invalid');
  using fits = setup({ issuers: [issuer({ keys, algorithms: ['RS256', 'ES256'] })] });
  await fits.verify(token());
  await fits.refuses(token(claims(), { alg: 'ES256' }), 'key_unknown');
  await fits.refuses(token(claims(), { alg: 'RS512' }), 'algorithm_refused');
});

test('J4 keys and addresses of keys in the header, with no fetch', async () => {
  using v = setup();
  for (const name of ['jwk', 'jku', 'x5u', 'x5c']) {
    for (const value of [jwks.keys[0], 'https://evil.example/jwks', ['MII'], null]) {
      await v.refuses(token(claims(), { [name]: value }), 'header_refused');
    }
  }
});

test('J7 crit, b64, zip and enc', async () => {
  using v = setup();
  const extensions = [
    { crit: ['b64'], b64: false },
    { b64: false },
    { b64: true },
    { crit: [] },
    { crit: ['exp'] },
    { zip: 'DEF' },
    { enc: 'A256GCM' },
  ];
  for (const extension of extensions) await v.refuses(token(claims(), extension), 'header_refused');
});

test('J8 look-alikes of the issuer', async () => {
  using v = setup();
  const names = [
    `${ISS}/`,
    'http://issuer.example',
    `${ISS}.evil.example`,
    `${ISS} `,
    'HTTPS://issuer.example',
    `${ISS}:443`,
    ISS.slice(0, -1),
    '',
    '__proto__',
    'constructor',
  ];
  for (const iss of [...names, undefined, null, [ISS], { toString: ISS }]) {
    await v.refuses(token(claims({ iss })), 'issuer_unknown');
  }
});

test('J9 the audience of this door must be among the audiences', async () => {
  using v = setup();
  for (const aud of [
    undefined,
    null,
    '',
    [],
    'https://onbehalf.example',
    API.slice(0, -1),
    `${API}/`,
    ['x', 'y'],
    [[API]],
    { 0: API },
    [API, 5],
    7,
  ]) {
    await v.refuses(token(claims({ aud })), 'audience_mismatch');
  }
  for (const aud of [API, [API], ['other', API]]) await v.verify(token(claims({ aud })));
});

test('J10 times', async () => {
  using v = setup();
  for (const exp of [undefined, null, String(now + 600), 1e20, -1, [now + 600], true]) {
    await v.refuses(token(claims({ exp })), 'claims_invalid');
  }
  await v.refuses(
    `${encode({ alg: 'RS256', typ: 'at+jwt', kid: 'r1' })}.${encode('{"exp":1e999}')}.AA`,
    'issuer_unknown',
  );
  for (const time of ['nbf', 'iat']) {
    await v.refuses(token(claims({ [time]: now + 120 })), 'token_not_yet_valid');
    for (const value of [String(now), null, {}]) await v.refuses(token(claims({ [time]: value })), 'claims_invalid');
    await v.verify(token(claims({ [time]: now + 20 })));
  }
  await v.verify(token(claims({ exp: now - 20 })));
  await v.refuses(token(claims({ exp: now - 30 })), 'token_expired');
  await v.refuses(token(claims({ exp: now - 3600 })), 'token_expired');
});

test('J10 a token that lives longer than its issuer may grant', async () => {
  using v = setup({ issuers: [issuer({ maxLifetime: 600 })] });
  await v.verify(token());
  await v.refuses(token(claims({ exp: now + 601 })), 'lifetime_too_long');
  // Without `iat` a token could be any part of a longer one.
  for (const exp of [now + 601, now + 600, now + 1])
    await v.refuses(token(claims({ exp, iat: undefined })), 'claim_missing');
  using unlimited = setup();
  await unlimited.verify(token(claims({ exp: now + 10 * 86_400, iat: undefined })));
});

test('J11 other kinds of token: by type where it is strict', async () => {
  using v = setup();
  for (const typ of [
    'JWT',
    undefined,
    'id_token',
    'rt+jwt',
    'logout+jwt',
    'delegation+jwt',
    'subject+jwt',
    'at+jwt ',
    '',
  ]) {
    await v.refuses(token(claims(), { typ }), 'type_refused');
  }
  for (const typ of ['application/at+jwt', 'AT+JWT']) await v.verify(token(claims(), { typ }));
  await v.refuses(token(claims({ aud: 'https://tools.example/mcp' })), 'audience_mismatch');
});

test('J11 other kinds of token: by claims where the type is relaxed', async () => {
  using v = setup({ issuers: [issuer({ typ: ['JWT', ''], loginClientId: 'console' })] });
  const scoped = (more: object = {}) => token(claims({ scope: 'openid', ...more }), { typ: 'JWT' });
  await v.verify(scoped());
  await v.verify(token(claims({ scp: ['x'] }), { typ: undefined }));
  await v.refuses(token(claims(), { typ: 'JWT' }), 'not_an_access_token');
  for (const empty of ['', [], [''], 5])
    await v.refuses(token(claims({ scp: empty }), { typ: 'JWT' }), 'not_an_access_token');
  for (const name of ['nonce', 'at_hash', 'c_hash', 'events'])
    await v.refuses(scoped({ [name]: 'x' }), 'not_an_access_token');
  for (const typ of ['ID', 'Refresh', 'Offline', 'Logout', 'refresh'])
    await v.refuses(scoped({ typ }), 'not_an_access_token');
  await v.verify(scoped({ typ: 'Bearer' }));
  await v.refuses(scoped({ aud: [API, 'console'] }), 'not_an_access_token');
});

test('J11 the login client as audience of the API is a misconfiguration where types are relaxed', async () => {
  using v = setup({ issuers: [issuer({ typ: ['JWT'], loginClientId: API })] });
  await v.refuses(token(claims({ scope: 'x' }), { typ: 'JWT' }), 'issuer_misconfigured');
});

test('J11 a configured claim stands for a scope, and must have its value', async () => {
  using v = setup({ issuers: [issuer({ typ: ['JWT'], requiredClaims: { token_use: 'access' } })] });
  await v.verify(token(claims({ token_use: 'access' }), { typ: 'JWT' }));
  for (const use of ['id', undefined, ['access']]) {
    await v.refuses(token(claims({ token_use: use, scope: 'x' }), { typ: 'JWT' }), 'claim_missing');
  }
});

test('J11 a sender-constrained token without its proof', async () => {
  using v = setup();
  for (const cnf of [{ jkt: 'x' }, { 'x5t#S256': 'x' }, {}, null])
    await v.refuses(token(claims({ cnf })), 'sender_constrained');
});

test('J12 the subject', async () => {
  using v = setup();
  for (const sub of [undefined, null, '', 5, ['alice'], {}, 'a\nb', 'a\u0000b', 'x'.repeat(1025)]) {
    await v.refuses(token(claims({ sub })), 'subject_invalid');
  }
  using entra = setup({ issuers: [issuer({ subjectClaims: ['tid', 'oid'] })] });
  assert.equal((await entra.verify(token(claims({ tid: 't', oid: 'o' })))).subject, 't:o');
  await entra.refuses(token(claims({ tid: 't' })), 'subject_invalid');
  await entra.refuses(token(claims({ tid: 't:o', oid: 'p' })), 'subject_invalid');
});

test('J12 claims of the wrong type', async () => {
  using v = setup();
  for (const name of ['jti', 'sid', 'azp', 'client_id', 'scope', 'act'])
    await v.refuses(token(claims({ [name]: 5 })), 'claims_invalid');
  for (const act of [{}, { sub: '' }, { sub: 'a', act: 'b' }, [], null])
    await v.refuses(token(claims({ act })), 'claims_invalid');
});

test('a signature of another key, or over other bytes', async () => {
  using v = setup();
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  await v.refuses(token(claims(), {}, other), 'signature_invalid');
  const [header, , signature] = token().split('.');
  await v.refuses(`${header}.${encode(claims({ sub: 'bob' }))}.${signature}`, 'signature_invalid');
  await v.refuses(token(claims(), { kid: 'unknown' }), 'key_unknown');
  await v.refuses(token(claims(), { kid: undefined, alg: 'ES256' }), 'signature_invalid');
  await v.verify(token(claims(), { kid: undefined }));
});

test('tenants of a multi-tenant issuer', async () => {
  const template = `${ISS}/{tenantid}/v2.0`;
  using v = setup({ issuers: [issuer({ issuer: template, tenants: ['t1', 't2'] })] });
  await v.verify(token(claims({ iss: `${ISS}/t1/v2.0`, tid: 't1' })));
  await v.refuses(token(claims({ iss: `${ISS}/t3/v2.0`, tid: 't3' })), 'issuer_unknown');
  await v.refuses(token(claims({ iss: `${ISS}/t1/v2.0`, tid: 't3' })), 'tenant_refused');
  await v.refuses(token(claims({ iss: template, tid: 't1' })), 'issuer_unknown');
  using none = setup({ issuers: [issuer({ tenants: [] })] });
  await none.refuses(token(), 'tenant_refused');
});

test('D6 a token for one door is refused at the others', async () => {
  using v = setup();
  const mcp = token(claims({ aud: 'https://onbehalf.example/mcp' }));
  assert.equal((await v.verify(mcp, 'mcp')).subject, 'alice');
  for (const door of ['api', 'a2a', 'openai'] as const) await v.refuses(mcp, 'audience_mismatch', door);
  const api = token();
  await v.verify(api);
  for (const door of ['mcp', 'a2a', 'openai'] as const) await v.refuses(api, 'audience_mismatch', door);
});

test('two configurations of one issuer: neither serves', async () => {
  using v = setup({ issuers: [issuer(), issuer({ name: 'second', maxRole: 'REGULAR' })] });
  await v.refuses(token(), 'issuer_misconfigured');
});
