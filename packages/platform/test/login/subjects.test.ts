import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IssuerConfig, Principal } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { agentNamed, bearerSubject, exchange, platformExchange, targetOf } from '../issuer/exchange-fixture.ts';
import { identityFixture, ORDERS } from '../issuer/fixture.ts';
import { signInByLink } from '../people/people.ts';

const PARTNERS = ['https://idp.one.example', 'https://idp.two.example'] as const;

/** Two other identity providers, whose people may use this token service. */
async function partners() {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'RS256', use: 'sig' };
  const configs = (): IssuerConfig[] =>
    PARTNERS.map((issuer, i) => ({
      ...{ name: i === 0 ? 'one' : 'two', issuer, algorithms: ['RS256'], audiences: { api: ['our-api'] } },
      keys: { kind: 'static', jwks: { keys: [jwk] } },
      ...{ subjectClaims: ['sub'], maxRole: 'REGULAR' },
    }));
  const token = (iss: string, aud: string | string[], more: Record<string, unknown> = {}) =>
    new SignJWT({ iss, aud, sub: '42', ...more })
      .setProtectedHeader({ alg: 'RS256', kid: 'k1', typ: 'at+jwt' })
      .setIssuedAt()
      .setExpirationTime('10m')
      .sign(privateKey);
  return { configs, token };
}

test('P2 two issuers with the same sub are two people at the tool server', async () => {
  const { configs, token } = await partners();
  await using f = await identityFixture({ trusted: configs });
  const seen = [];
  for (const issuer of PARTNERS) {
    const { status, body } = await exchange(f, await token(issuer, ['our-api', f.publicUrl]), ORDERS);
    assert.equal(status, 200);
    const { sub, sub_id: id } = decodeJwt(String(body.access_token));
    seen.push([sub, id]);
    assert.deepEqual(f.asked.at(-1)?.subject, { issuer, subject: '42' });
  }
  assert.deepEqual(seen, [
    ['one:42', { format: 'iss_sub', iss: PARTNERS[0], sub: '42' }],
    ['two:42', { format: 'iss_sub', iss: PARTNERS[1], sub: '42' }],
  ]);
  // Meant for the requesting client is enough; meant for our API alone, or for somebody else, is not.
  assert.equal((await exchange(f, await token(PARTNERS[0], 'platform'), ORDERS)).status, 200);
  for (const audience of ['our-api', 'https://orders.internal/mcp', []])
    assert.equal((await exchange(f, await token(PARTNERS[0], audience), ORDERS)).body.error, 'invalid_request');
  assert.equal((await exchange(f, await token('https://idp.three.example', f.publicUrl), ORDERS)).status, 400);
  await f.identity.users.disable(PARTNERS[0], '42', true);
  assert.equal((await exchange(f, await token(PARTNERS[0], f.publicUrl), ORDERS)).status, 400);
  assert.equal((await exchange(f, await token(PARTNERS[1], f.publicUrl), ORDERS)).status, 200);
});

test('may_act of another issuer is honoured, and its act is kept', async () => {
  const { configs, token } = await partners();
  await using f = await identityFixture({ trusted: configs });
  const ask = async (more: Record<string, unknown>) => exchange(f, await token(PARTNERS[0], f.publicUrl, more), ORDERS);
  assert.equal((await ask({ may_act: { sub: 'agent:default/researcher' } })).body.error, 'invalid_request');
  assert.equal((await ask({ may_act: 'agent:default/assistant' })).body.error, 'invalid_request');
  assert.equal((await ask({ may_act: { sub: 'agent:default/assistant' } })).status, 200);
  const { body } = await ask({ act: { sub: 'their-gateway' } });
  assert.deepEqual((decodeJwt(String(body.access_token)).act as { act: unknown }).act, { sub: 'their-gateway' });
});

test('the token of a bearer is exchanged until it ends, and no longer', async () => {
  await using f = await identityFixture();
  const { access_token: token } = await signInByLink(f, 'alice');
  const subject = bearerSubject(f, token);
  assert.equal((await subject.current()).token.reveal(), token);
  assert.equal(subject.refreshable, false);
  f.clock.ahead = 601_000;
  await assert.rejects(subject.current(), { code: 'user_token_required' });
  await assert.rejects(subject.current(AbortSignal.abort()), { name: 'AbortError' });
});

const legacyPrincipal = (f: { now(): number }, userId: string, life: number): Principal => ({
  ...{ issuer: 'legacy:env', subject: userId, kind: 'person', name: 'Same Name', role: 'REGULAR' },
  ...{ groups: [], groupsUnknown: true, delegated: false },
  credential: { kind: 'legacy', expiresAt: f.now() + life },
});

const legacyConfig = (mintSubject: boolean) => (): IssuerConfig[] => [
  {
    ...{ name: 'env', issuer: '', algorithms: [], audiences: {}, subjectClaims: ['userId'], maxRole: 'REGULAR' },
    keys: { kind: 'static', jwks: { keys: [] } },
    legacyHs256: { secret: SecretValue.of('b0a5d2f4c8e14a6fb7d3a9c1e2f40b6d'), mintSubject },
  },
];

test('P1 a person without a token of their own: minted for the token service alone, and audited', async () => {
  await using f = await identityFixture({ trusted: legacyConfig(true) });
  const client = platformExchange(f);
  const subs = [];
  for (const userId of ['7', '8']) {
    const subject = f.identity.subjectOfLegacy(legacyPrincipal(f, userId, 3_600_000));
    if (subject === undefined) throw new Error('not minted');
    const first = await subject.current();
    assert.equal((await subject.current()).token, first.token);
    const minted = first.token.reveal();
    assert.equal(decodeProtectedHeader(minted).typ, 'subject+jwt');
    const { aud, sub, exp = 0, iat = 0 } = decodeJwt(minted);
    assert.deepEqual([aud, sub, exp - iat <= 300], [f.publicUrl, `legacy:env:${userId}`, true]);
    const actor = f.identity.platform.actorFor(agentNamed(f, 'assistant'));
    const token = await client.token({ subject, actor, target: targetOf(ORDERS, ['orders.read']) });
    subs.push([token.claims?.sub, token.claims?.sub_id?.sub]);
    f.clock.ahead += 241_000;
    assert.notEqual((await subject.current()).token, first.token);
  }
  assert.deepEqual(subs, [
    ['legacy:env:7', '7'],
    ['legacy:env:8', '8'],
  ]);
  const minted = (await f.audit.query({ type: 'issue' })).filter(({ entry }) => entry.outcome === 'minted');
  assert.equal(minted.length, 4);
  const short = f.identity.subjectOfLegacy(legacyPrincipal(f, '7', 100_000));
  assert.ok(((await short?.current())?.expiresAt ?? 0) <= f.now() + 100_000);
  await f.identity.users.disable('legacy:env', '7', true);
  const token = (await short?.current())?.token.reveal() ?? '';
  assert.equal((await exchange(f, token, ORDERS)).body.error, 'invalid_request');
  f.clock.ahead += 101_000;
  await assert.rejects(async () => short?.current(), { code: 'user_token_required' });
});

test('nothing is minted unless the issuer says so', async () => {
  await using f = await identityFixture({ trusted: legacyConfig(false) });
  assert.equal(f.identity.subjectOfLegacy(legacyPrincipal(f, '7', 60_000)), undefined);
});

test('people of every issuer are listed; a person of another is written at most once an hour', async () => {
  await using f = await identityFixture();
  const { issuer, users } = f.identity;
  const principal = {
    ...legacyPrincipal(f, '7', 60_000),
    issuer: PARTNERS[0],
    credential: { kind: 'bearer' } as const,
  };
  for (let i = 0; i < 50; i += 1) await f.identity.noteSeen(principal);
  const [first, second, third] = (await users.list()).sort((a, b) => (a.subject < b.subject ? -1 : 1));
  assert.deepEqual([first?.subject, first?.issuer, first?.role], ['7', PARTNERS[0], undefined]);
  assert.deepEqual([second?.subject, second?.role, second?.email], ['alice', 'REGULAR', 'alice@example.com']);
  assert.equal(third?.lastSeen, undefined);
  const revision = f.store.revision();
  await f.identity.noteSeen(principal);
  assert.equal(f.store.revision(), revision);
  f.clock.ahead = 3_601_000;
  await f.identity.noteSeen(principal);
  assert.equal(f.store.revision(), revision + 1);

  await assert.rejects(users.create({ subject: 'alice', role: 'ADMIN' }), { code: 'user_exists' });
  await assert.rejects(users.create({ subject: 'a b', role: 'ADMIN' }), { code: 'invalid_user' });
  await assert.rejects(users.setRole(PARTNERS[0], '7', 'ADMIN'), { code: 'role_not_local' });
  await assert.rejects(users.setRole(issuer, 'nobody', 'ADMIN'), { code: 'user_not_found' });
  assert.equal((await users.ensure({ subject: 'alice', role: 'ADMIN' })).role, 'REGULAR');
  const by = { issuer, subject: 'root' };
  await users.setRole(issuer, 'alice', 'AUDITOR', by);
  assert.equal(f.identity.principals.lookup(issuer, 'alice')?.role, 'AUDITOR');
  const line = (await f.audit.query({ type: 'change', sub: 'root' })).at(-1)?.entry;
  assert.deepEqual([line?.outcome, line?.data], ['role set', { role: 'AUDITOR', before: 'REGULAR' }]);
});
