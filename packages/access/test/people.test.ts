import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  isPublishedSecret,
  issuerProblems,
  type PrincipalRecord,
  verifiesWithLowercasedSecret,
} from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { claims, encode, ISS, issuer, NOW, setup, token } from './issuer.ts';

const now = NOW / 1000;
const shared = 'Tq8#mZp2-Lw5vNc9xRb7yKd4sGf1hJ3a';

function hs256(payload: object, secret = shared, header: object = { alg: 'HS256', typ: 'JWT' }): string {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

function person(overrides: object = {}): object {
  return { sub: 'Alex Kim', userId: 7, email: 'alex@x', role: 'REGULAR', exp: now + 600, ...overrides };
}

function legacy(more: object = {}) {
  const legacyHs256 = { secret: SecretValue.of(shared), ...more };
  return issuer({ name: 'env', issuer: '', algorithms: [], legacyHs256 });
}

test('P1 two people of one display name are two principals, and one of two names is one', async () => {
  using v = setup({ issuers: [legacy()] });
  const first = await v.verify(hs256(person()));
  const second = await v.verify(hs256(person({ userId: 8 })));
  const renamed = await v.verify(hs256(person({ userId: '7', sub: 'Alex Lee' })));
  assert.deepEqual([first.issuer, first.subject, first.name, first.email], ['legacy:env', '7', 'Alex Kim', 'alex@x']);
  assert.equal(second.subject, '8');
  assert.equal(renamed.subject, '7');
  assert.equal(first.credential.kind, 'legacy');
});

test('P1 a token with iss or aud, without userId, or at another door is refused', async () => {
  using v = setup({ issuers: [legacy(), issuer()] });
  await v.refuses(hs256(person({ iss: 'legacy:env' })), 'issuer_unknown');
  await v.refuses(hs256(person({ iss: ISS })), 'algorithm_refused');
  await v.refuses(hs256(person({ aud: 'x' })), 'claims_invalid');
  await v.refuses(hs256(person({ iss: null })), 'issuer_unknown');
  for (const userId of [undefined, null, 0, -1, 7.5, '07', '+7', ' 7', '7.0', '1e3', '', 'alex', [7], 2 ** 60, true]) {
    await v.refuses(hs256(person({ userId })), 'subject_invalid');
  }
  for (const exp of [undefined, '9999999999', 1e20]) await v.refuses(hs256(person({ exp })), 'claims_invalid');
  await v.refuses(hs256(person({ exp: now - 31 })), 'token_expired');
  await v.refuses(hs256(person({ iat: now + 120 })), 'token_not_yet_valid');
  for (const door of ['mcp', 'a2a', 'openai'] as const) await v.refuses(hs256(person()), 'audience_mismatch', door);
});

test('P1 role: none is no access, more than REGULAR only where configured', async () => {
  using v = setup({ issuers: [legacy()] });
  for (const role of [undefined, null, '', 'OWNER', 'INACTIVE', ['ADMIN']])
    await v.refuses(hs256(person({ role })), 'principal_inactive');
  assert.equal((await v.verify(hs256(person({ role: 'ADMIN' })))).role, 'REGULAR');
  assert.equal((await v.verify(hs256(person({ role: 'RESTRICTED' })))).role, 'RESTRICTED');
  using open = setup({ issuers: [legacy({ maxRole: 'ADMIN' })] });
  assert.equal((await open.verify(hs256(person({ role: 'ADMIN' })))).role, 'ADMIN');
});

test('P1 secrets: rotation, lower case, weak and well-known ones', async () => {
  const next = `next-${shared}`;
  using rotating = setup({
    issuers: [legacy({ secret: SecretValue.of(next), previousSecret: SecretValue.of(shared) })],
  });
  await rotating.verify(hs256(person()));
  await rotating.verify(hs256(person(), next));
  await rotating.refuses(hs256(person(), shared.toLowerCase()), 'signature_invalid');
  using lower = setup({ issuers: [legacy({ lowercaseSecret: true })] });
  await lower.verify(hs256(person(), shared.toLowerCase()));
  await lower.refuses(hs256(person()), 'signature_invalid');
  const old = SecretValue.of(hs256(person(), shared.toLowerCase()));
  assert.equal(verifiesWithLowercasedSecret(old, SecretValue.of(shared)), true);
  assert.equal(verifiesWithLowercasedSecret(SecretValue.of(hs256(person())), SecretValue.of(shared)), false);
  const weak = [
    'short',
    'a'.repeat(64),
    'change-me-change-me-change-me-change-me',
    'your-256-bit-secret-your-256-bit-secret',
    'a-string-secret-at-least-256-bits-long',
    'secret'.repeat(8),
    ' -----BEGIN RSA PUBLIC KEY-----MIIBCgKCAQEA',
    `-----BEGIN PUBLIC KEY-----\n${'A'.repeat(64)}`,
    '{"kty":"RSA","n":"AAAAAAAAAAAAAAAAAAAAAAAAAAA"}',
  ];
  for (const secret of weak) {
    const configured = legacy({ secret: SecretValue.of(secret) });
    assert.equal(issuerProblems(configured).length, 1, secret);
    using v = setup({ issuers: [configured] });
    await v.refuses(hs256(person(), secret), 'issuer_misconfigured');
  }
  // What is weak beside a good one is refused too.
  using beside = setup({ issuers: [legacy({ previousSecret: SecretValue.of('changeme'.repeat(5)) })] });
  await beside.refuses(hs256(person()), 'issuer_misconfigured');
  using v = setup({ issuers: [legacy()] });
  for (const alg of ['HS384', 'HS512', 'hs256', 'none'])
    await v.refuses(hs256(person(), shared, { alg }), 'issuer_unknown');
  await v.refuses(hs256(person(), shared, { alg: 'HS256', jwk: {} }), 'header_refused');
});

const PUBLISHED = [
  '8a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d',
  'your-256-bit-secret',
  'your-secret-key',
  'secret',
  'changeme',
  'sk-1234',
  'random',
];

for (const literal of PUBLISHED) {
  test(`P1 the published secret ${literal} signs for nobody: alone, repeated, filled up or cut off, in any case`, async () => {
    const long = literal.repeat(Math.ceil(40 / literal.length));
    const forms = [
      literal,
      long,
      long.slice(0, 37),
      `${literal}-`.repeat(6),
      literal.padEnd(40, '0'),
      literal.padEnd(41, 'x'),
      literal.padStart(43, '='),
      `${literal}${literal}`.padEnd(60, '!'),
      literal.padStart(40, '#').padEnd(64, '#'),
    ];
    const cases = forms.flatMap((form) => [form, form.toUpperCase(), form.slice(0, 1).toUpperCase() + form.slice(1)]);
    for (const secret of new Set(cases)) {
      assert.equal(isPublishedSecret(SecretValue.of(secret)), true, secret);
      for (const shared of [SecretValue.of(secret), async () => SecretValue.of(secret)]) {
        using v = setup({ issuers: [legacy({ secret: shared })] });
        await v.refuses(hs256(person(), secret), 'issuer_misconfigured');
        using lower = setup({ issuers: [legacy({ secret: shared, lowercaseSecret: true })] });
        await lower.refuses(hs256(person(), secret.toLowerCase()), 'issuer_misconfigured');
      }
    }
  });
}

test('P1 a secret that can be guessed from its pattern signs for nobody, a random one of any alphabet does', () => {
  for (const secret of [
    'abcdefg'.repeat(1).padEnd(32, 'gfedcba'),
    '0123456701234567012345670123456701',
    '12345678'.repeat(4),
    '1234567890'.repeat(4),
    'abcdefghijklmnopqrstuvwxyzABCDEF',
    'zyxwvutsrqponmlkjihgfedcba9876543210',
    '0123456789:;<=>?@ABCDEFGHIJKLMNO',
    'aabbccddeeffgghhiijjkkllmmnnooppqqrrss',
    'ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠαβγδεζηθικλμνξοπ',
    'your secret goes here, at least 32 bytes',
    'CHANGE-ME-before-production-0815-4711',
  ])
    assert.equal(isPublishedSecret(SecretValue.of(secret)), true, secret);
  for (const [length, encoding] of [
    [16, 'hex'],
    [32, 'hex'],
    [24, 'base64'],
    [48, 'base64url'],
  ] as const)
    for (let at = 0; at < 500; at += 1) {
      const secret = randomBytes(length).toString(encoding);
      assert.equal(isPublishedSecret(SecretValue.of(secret)), false, secret);
    }
  assert.equal(isPublishedSecret(SecretValue.of('correct horse battery staple, and another')), false);
});

test('P1 two HS256 issuers, each with its own secret: each speaks for its own people, one that is broken for none', async () => {
  const other = randomBytes(32).toString('hex');
  const second = { ...legacy({ secret: SecretValue.of(other) }), name: 'partner' };
  const broken = { ...legacy({ secret: async () => Promise.reject(new Error('gone')) }), name: 'broken' };
  for (const issuers of [
    [legacy(), second],
    [second, legacy()],
    [broken, second, legacy()],
  ]) {
    using v = setup({ issuers });
    const [ours, theirs] = [await v.verify(hs256(person())), await v.verify(hs256(person(), other))];
    assert.deepEqual([ours.issuer, theirs.issuer], ['legacy:env', 'legacy:partner']);
    assert.equal(ours.subject, theirs.subject);
    await v.refuses(hs256(person(), randomBytes(32).toString('hex')), 'signature_invalid');
  }
  using v = setup({ issuers: [broken] });
  await v.refuses(hs256(person()), 'keys_unavailable');
  using none = setup({ issuers: [issuer()] });
  await none.refuses(hs256(person()), 'algorithm_refused');
});

test('P1 a shared secret that is read for each token counts from the next one on', async () => {
  let current = shared;
  using v = setup({ issuers: [legacy({ secret: async () => SecretValue.of(current) })] });
  const old = hs256(person());
  await v.verify(old);
  current = randomBytes(32).toString('hex');
  await v.refuses(old, 'signature_invalid');
  assert.equal((await v.verify(hs256(person(), current))).subject, '7');
});

test('J10 P1 shared-secret tokens have no longest life unless one is configured; then one without iat is refused', async () => {
  using v = setup({ issuers: [legacy()] });
  await v.verify(hs256(person({ exp: now + 30 * 86_400 })));
  using limited = setup({ issuers: [{ ...legacy(), maxLifetime: 3600 }] });
  await limited.verify(hs256(person({ iat: now, exp: now + 3600 })));
  await limited.refuses(hs256(person({ iat: now, exp: now + 3601 })), 'lifetime_too_long');
  await limited.refuses(hs256(person({ exp: now + 60 })), 'claim_missing');
});

test('P2 two issuers with one subject are two principals', async () => {
  const partner = issuer({ name: 'partner', issuer: 'https://partner.example' });
  using v = setup({ issuers: [issuer(), partner] });
  const ours = await v.verify(token());
  const theirs = await v.verify(token(claims({ iss: 'https://partner.example' })));
  assert.equal(ours.subject, theirs.subject);
  assert.notEqual(ours.issuer, theirs.issuer);
});

test('P3 an ADMIN claim is capped by maxRole', async () => {
  using v = setup({ issuers: [issuer({ maxRole: 'REGULAR' })] });
  assert.equal((await v.verify(token(claims({ roles: ['ADMIN', 'AUDITOR'] })))).role, 'REGULAR');
  const roleMap = { 'platform-admins': 'ADMIN', staff: 'REGULAR' } as const;
  using mapped = setup({ issuers: [issuer({ roleMap, claims: { roles: 'realm_access.roles' } })] });
  const roleOf = async (roles: unknown) => (await mapped.verify(token(claims({ realm_access: { roles } })))).role;
  assert.equal(await roleOf(['staff', 'platform-admins']), 'ADMIN');
  assert.equal(await roleOf('staff'), 'REGULAR');
  assert.equal(await roleOf(['staff', 5]), 'REGULAR');
  for (const roles of [['ADMIN'], ['constructor'], [], undefined, { staff: 1 }, [5]]) {
    await mapped.refuses(token(claims({ realm_access: { roles } })), 'principal_inactive');
  }
  using open = setup({ issuers: [issuer({ roleMap: { ...roleMap, '*': 'RESTRICTED' } })] });
  assert.equal((await open.verify(token(claims({ roles: ['other'] })))).role, 'RESTRICTED');
  assert.equal((await open.verify(token(claims({ roles: ['*'] })))).role, 'RESTRICTED');
});

test('P4 a groups claim that is missing, overflowed or of the wrong type is unknown', async () => {
  using v = setup();
  const unknown = [
    { groups: undefined },
    { groups: null },
    { groups: { 0: 'a' } },
    { groups: [], hasgroups: true },
    { groups: ['a'], _claim_names: { groups: 'src1' } },
  ];
  for (const more of unknown) {
    const { groups, groupsUnknown } = await v.verify(token(claims(more)));
    assert.deepEqual([groups, groupsUnknown], [[], true], JSON.stringify(more));
  }
  const { groups, groupsUnknown } = await v.verify(token(claims({ groups: ['a', 'b'] })));
  assert.deepEqual([groups, groupsUnknown], [['a', 'b'], false]);
});

test('P4 what is no text in a groups or roles claim is left out alone, and the issuer is told of', async () => {
  const odd: string[] = [];
  using v = setup({ issuers: [issuer({ onOddClaim: (claim) => odd.push(claim) })] });
  const { groups, groupsUnknown } = await v.verify(token(claims({ groups: ['a', 5, null, ['b'], { c: 1 }, 'd'] })));
  assert.deepEqual([groups, groupsUnknown, odd], [['a', 'd'], false, ['groups']]);
  assert.equal((await v.verify(token(claims({ roles: [7, 'REGULAR'] })))).role, 'REGULAR');
  assert.deepEqual(odd, ['groups', 'roles']);
  await v.refuses(token(claims({ roles: [7] })), 'principal_inactive');
});

test('a claim path leads to names with dots where they are quoted, and to a claim of exactly that name first', async () => {
  const access = { 'my.app': { roles: ['REGULAR'] }, my: { app: { roles: ['ADMIN'] } } };
  const roleAt = async (path: string, more: object) => {
    using v = setup({ issuers: [issuer({ claims: { roles: path }, maxRole: 'ADMIN' })] });
    return (await v.verify(token(claims({ roles: undefined, ...more })))).role;
  };
  assert.equal(await roleAt('access."my.app".roles', { access }), 'REGULAR');
  assert.equal(await roleAt('access.my.app.roles', { access }), 'ADMIN');
  assert.equal(await roleAt('"https://a.example/roles"', { 'https://a.example/roles': 'REGULAR' }), 'REGULAR');
  assert.equal(await roleAt('https://a.example/roles', { 'https://a.example/roles': 'REGULAR' }), 'REGULAR');
});

test('scope may be a list, as scp may', async () => {
  using v = setup();
  for (const scope of ['a b', ['a', 'b'], ['a b']])
    assert.equal((await v.verify(token(claims({ scope })))).credential.scope, 'a b');
  for (const scope of [5, ['a', 5], { a: 1 }]) await v.refuses(token(claims({ scope })), 'claims_invalid');
});

test('D4 a token with act is delegated, and names the chain', async () => {
  using v = setup();
  const act = { sub: 'agent:default/child', act: { sub: 'agent:default/parent' } };
  const principal = await v.verify(token(claims({ act })));
  assert.equal(principal.delegated, true);
  assert.deepEqual(principal.act, ['agent:default/child', 'agent:default/parent']);
});

test('services and workloads are told from people', async () => {
  using v = setup();
  assert.equal((await v.verify(token(claims({ sub: 'svc', client_id: 'svc' })))).kind, 'service');
  assert.equal((await v.verify(token(claims({ idtyp: 'app' })))).kind, 'service');
  assert.equal((await v.verify(token(claims({ 'kubernetes.io': { namespace: 'x' } })))).kind, 'workload');
  assert.equal((await v.verify(token(claims({ client_id: 'console' })))).kind, 'person');
});

test('disabled, not_before and the deny-list are looked at on every hit of the cache', async () => {
  const records = new Map<string, PrincipalRecord>();
  const denied = new Set<string>();
  const principals = {
    lookup: (iss: string, sub: string) => records.get(`${iss} ${sub}`),
    denied: (c: { subject: string; sid?: string; jti?: string }) => denied.has(`${c.subject} ${c.sid} ${c.jti}`),
  };
  using v = setup({ principals });
  const alice = token(claims({ sid: 's1', jti: 'j1' }));
  const bob = token(claims({ sub: 'bob' }));
  const records0 = `${ISS} alice`;
  await v.verify(alice);
  await v.verify(bob);
  records.set(records0, { disabled: true });
  await v.refuses(alice, 'principal_disabled');
  await v.verify(bob);
  records.set(records0, { disabled: false, notBefore: now + 1 });
  await v.refuses(alice, 'token_revoked');
  records.set(records0, { disabled: false, notBefore: now });
  await v.verify(alice);
  await v.refuses(token(claims({ iat: undefined })), 'token_revoked');
  denied.add('alice s1 j1');
  await v.refuses(alice, 'token_revoked');
  await v.verify(bob);
});

test("the embedded issuer: role, name and kind are the record's, a change holds for the old token", async () => {
  const record: PrincipalRecord = { disabled: false, role: 'ADMIN', name: 'Alice' };
  const known = new Map([['alice', record]]);
  const principals = { lookup: (_: string, subject: string) => known.get(subject), denied: () => false };
  using v = setup({ issuers: [issuer({ rolesFromPrincipals: true })], principals });
  const old = token(claims({ roles: ['RESTRICTED'] }));
  const { role, name } = await v.verify(old);
  assert.deepEqual([role, name], ['ADMIN', 'Alice']);
  record.role = 'REGULAR';
  assert.equal((await v.verify(old)).role, 'REGULAR');
  record.role = 'INACTIVE';
  await v.refuses(old, 'principal_inactive');
  await v.refuses(token(claims({ sub: 'stranger', roles: ['ADMIN'] })), 'principal_inactive');
});

test('the cache never outlives exp, its configuration, or its size, and keeps the doors apart', async () => {
  const clock = { now: NOW };
  const issuers = [issuer({ leeway: 0 })];
  using v = setup({ issuers, clock, cacheSize: 2 });
  const one = token();
  await v.verify(one);
  clock.now += 600_000;
  await v.refuses(one, 'token_expired');
  clock.now = NOW;
  await v.verify(one);
  await v.refuses(one, 'audience_mismatch', 'mcp');
  for (const sub of ['a', 'b', 'c']) assert.equal((await v.verify(token(claims({ sub })))).subject, sub);
  assert.equal((await v.verify(one)).subject, 'alice');
  issuers.splice(0, 1, issuer({ audiences: {} }));
  await v.refuses(one, 'audience_mismatch');
});
