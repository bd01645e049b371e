import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { createVerifier } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { keepHouse } from '../../src/people/housekeeping.ts';
import { type IdentityFixture, identityFixture } from '../issuer/fixture.ts';
import { CLIENT, startOtherIssuer } from './other-issuer.ts';
import { signIn } from './steps.ts';

async function start() {
  const office = await startOtherIssuer('office');
  const f = await identityFixture({ trusted: () => [office.config], logins: () => [office.login] });
  const verifier = createVerifier({ issuers: () => [office.config], principals: f.identity.principals, now: f.now });
  return {
    ...{ f, office, sessions: f.identity.sessions },
    /** At our API, with a token of the issuer. */
    bearer: (token: string) => verifier.verify(SecretValue.of(token), 'api').then(({ subject }) => subject),
    async [Symbol.asyncDispose]() {
      verifier.close();
      await f[Symbol.asyncDispose]();
      await office[Symbol.asyncDispose]();
    },
  };
}

async function post(f: IdentityFixture, body: string, path = '/oidc/backchannel-logout/office', type?: string) {
  const answer = await fetch(f.publicUrl + path, {
    method: 'POST',
    headers: { 'content-type': type ?? 'application/x-www-form-urlencoded' },
    body,
  });
  return { status: answer.status, text: await answer.text(), cache: answer.headers.get('cache-control') };
}
const form = (token: string) => new URLSearchParams({ logout_token: token }).toString();

test('X13 a logout with a sid ends that login: cookie, ticket, subject, and bearers that carry it; nobody else’s', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  const laptop = await signIn(f, office, 'alice', 'sid-1');
  const phone = await signIn(f, office, 'alice', 'sid-2');
  const bob = await signIn(f, office, 'bob', 'sid-3');
  const session = await sessions.authenticate(laptop);
  assert.ok(session);
  const ticket = await f.identity.tickets.create(session.principal, 'agent-1', { loginSession: session.idHash });
  const stolen = await office.accessToken('alice', 'sid-1');
  const other = await office.accessToken('alice', 'sid-2');
  assert.equal(await w.bearer(stolen), 'alice');
  const changes: string[] = [];
  const watch = f.store.watch(f.store.revision(), (list) =>
    changes.push(...list.map(({ kind, key, op }) => `${kind} ${key} ${op}`)),
  );
  const said = await post(f, form(await office.logoutToken({ sub: 'alice', sid: 'sid-1' })));
  assert.deepEqual([said.status, said.cache], [200, 'no-store']);
  assert.equal(await sessions.authenticate(laptop), undefined);
  await assert.rejects(session.subject.current(), { code: 'user_token_required' });
  assert.equal(await f.identity.tickets.redeem(ticket, 'agent-1'), undefined);
  await assert.rejects(w.bearer(stolen), { code: 'token_revoked' });
  assert.equal(await w.bearer(other), 'alice');
  assert.equal((await sessions.authenticate(phone))?.principal.subject, 'alice');
  assert.equal((await sessions.authenticate(bob))?.principal.subject, 'bob');
  assert.equal(changes[0], `LoginSession ${session.idHash} delete`);
  assert.match(changes[1] ?? '', new RegExp(`^Deny ${office.url} sid<\\d+ sid-1 put$`));
  assert.equal(changes.length, 2);
  watch.close();
});

test('X13 an issuer that uses the sid again for another login is believed; what was issued before stays refused, after a restart too', async () => {
  await using w = await start();
  const { f, office } = w;
  const now = Math.floor(Date.now() / 1000);
  const before = await office.accessToken('alice', 'sid-1', { iat: now });
  const undated = await office.accessToken('alice', 'sid-1', { iat: undefined });
  assert.equal((await post(f, form(await office.logoutToken({ sub: 'alice', sid: 'sid-1' })))).status, 200);
  const later = await office.accessToken('alice', 'sid-1', { iat: now + 3 });
  for (const token of [before, undated]) await assert.rejects(w.bearer(token), { code: 'token_revoked' });
  assert.equal(await w.bearer(later), 'alice');
  // And that login can end as well.
  f.clock.ahead = 5_000;
  assert.equal((await post(f, form(await office.logoutToken({ sub: 'alice', sid: 'sid-1' })))).status, 200);
  await assert.rejects(w.bearer(later), { code: 'token_revoked' });
  await f.restart();
  const verifier = createVerifier({ issuers: () => [office.config], principals: f.identity.principals, now: f.now });
  const again = (token: string) => verifier.verify(SecretValue.of(token), 'api');
  for (const token of [before, later]) await assert.rejects(again(token), { code: 'token_revoked' });
  assert.equal((await again(await office.accessToken('alice', 'sid-1', { iat: now + 9 }))).subject, 'alice');
  verifier.close();
});

for (const [hours, limit] of [
  [60, 72 * 3_600],
  [24, 3_600],
  [24_000, undefined],
] as const)
  test(`X13 what a logout ended does not come back: a token of ${hours} h where the longest is ${limit ?? 'not set'}`, async () => {
    await using w = await start();
    const { f, office } = w;
    const { config } = office;
    if (limit !== undefined) config.maxLifetime = limit;
    const onError = (error: unknown) => assert.fail(String(error));
    const house = keepHouse({ store: f.store, now: f.now, work: async () => undefined, onError });
    const now = Math.floor(Date.now() / 1000);
    const long = (sid: string) => office.accessToken('alice', sid, { iat: now, exp: now + hours * 3_600 });
    const [ended, other] = [await long('sid-1'), await long('sid-2')];
    assert.equal((await post(f, form(await office.logoutToken({ sub: 'alice', sid: 'sid-1' })))).status, 200);
    // The limit may be raised meanwhile: to the default at least, that brings nothing back.
    if (limit === 3_600) config.maxLifetime = 86_400;
    for (const part of [0, 0.5, 0.99, 1]) {
      // Believed for 30 s more than it lives.
      f.clock.ahead = part * hours * 3_600_000 + (part === 1 ? 25_000 : 0);
      await house.sweep();
      await assert.rejects(w.bearer(ended), { code: 'token_revoked' });
      assert.equal(await w.bearer(other), 'alice', String(part));
    }
    house.close();
  });

test('X13 a logout with a sub and no sid ends all logins of that person, and what was issued before; they may come again', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  const cookies = [await signIn(f, office, 'alice', 'sid-1'), await signIn(f, office, 'alice', 'sid-2')];
  const bob = await signIn(f, office, 'bob', 'sid-3');
  const token = await office.accessToken('alice', 'sid-9');
  assert.equal(await w.bearer(token), 'alice');
  assert.equal((await post(f, form(await office.logoutToken({ sub: 'alice' })))).status, 200);
  for (const cookie of cookies) assert.equal(await sessions.authenticate(cookie), undefined);
  await assert.rejects(w.bearer(token), { code: 'token_revoked' });
  assert.equal((await sessions.authenticate(bob))?.principal.subject, 'bob');
  const later = await office.accessToken('alice', 'sid-10', { iat: Math.floor(Date.now() / 1000) + 2 });
  assert.equal(await w.bearer(later), 'alice');
});

test('a forged, foreign, old, incomplete or doubled logout ends nothing', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  const stranger = await startOtherIssuer('stranger');
  const cookie = await signIn(f, office, 'alice', 'sid-1');
  const good = { sub: 'alice', sid: 'sid-1' };
  const now = Math.floor(Date.now() / 1000);
  const [header = '', payload = '', signature = ''] = (await office.logoutToken(good)).split('.');
  const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'logout+jwt' })).toString('base64url');
  const event = 'http://schemas.openid.net/event/backchannel-logout';
  const tokens: Record<string, string> = {
    'alg none': `${none}.${payload}.`,
    'no signature': `${header}.${payload}.`,
    'another payload': `${header}.${Buffer.from(JSON.stringify({ ...good, sub: 'bob' })).toString('base64url')}.${signature}`,
    'another issuer’s key': await stranger.logoutToken({ ...good, iss: office.url }),
    'another issuer': await stranger.logoutToken(good),
    'another client': await office.logoutToken({ ...good, aud: 'other' }),
    'several clients': await office.logoutToken({ ...good, aud: [CLIENT, 'other'] }),
    'a nonce': await office.logoutToken({ ...good, nonce: 'n' }),
    'no event': await office.logoutToken({ ...good, events: {} }),
    'event of another kind': await office.logoutToken({ ...good, events: { [`${event}x`]: {} } }),
    'event as text': await office.logoutToken({ ...good, events: { [event]: 'yes' } }),
    expired: await office.logoutToken({ ...good, iat: now - 300, exp: now - 120 }),
    'an hour old': await office.logoutToken({ ...good, iat: now - 3_600, exp: now + 3_600 }),
    'from the future': await office.logoutToken({ ...good, iat: now + 300 }),
    'no exp': await office.logoutToken({ ...good, exp: undefined }),
    'no iat': await office.logoutToken({ ...good, iat: undefined }),
    'no jti': await office.logoutToken({ ...good, jti: undefined }),
    'neither sid nor sub': await office.logoutToken({}),
    'empty sid': await office.logoutToken({ sub: 'alice', sid: '' }),
    'an ID token': await office.idToken('alice', 'sid-1'),
    'an access token': await office.accessToken('alice', 'sid-1'),
    'an access token with the event': await office.sign(
      { iss: office.url, aud: CLIENT, ...good, iat: now, exp: now + 60, jti: randomUUID(), events: { [event]: {} } },
      'at+jwt',
    ),
    'no token': '',
    'a megabyte': 'a'.repeat(40_000),
  };
  for (const [name, token] of Object.entries(tokens)) {
    const { status, text } = await post(f, form(token));
    assert.deepEqual([status, JSON.parse(text).error], [400, 'invalid_request'], `${name}: ${text}`);
    assert.doesNotMatch(text, /eyJ|node:|\/src\//, name);
  }
  const token = await office.logoutToken(good);
  assert.equal((await post(f, `${form(token)}&${form(token)}`)).status, 400);
  assert.equal((await post(f, JSON.stringify({ logout_token: token }), undefined, 'application/json')).status, 400);
  assert.equal((await post(f, '', `/oidc/backchannel-logout/office?${form(token)}`)).status, 404);
  assert.equal((await post(f, form(token), '/oidc/backchannel-logout/nobody')).status, 404);
  assert.equal((await post(f, form(token), '/oidc/backchannel-logout/onbehalf')).status, 404);
  assert.equal((await fetch(`${f.publicUrl}/oidc/backchannel-logout/office?${form(token)}`)).status, 404);
  assert.equal((await post(f, 'x'.repeat(70_000))).status, 413);
  assert.equal((await sessions.authenticate(cookie))?.principal.subject, 'alice', 'none of them ended anything');
  assert.equal((await post(f, form(token))).status, 200);
  assert.equal(await sessions.authenticate(cookie), undefined);
  const again = await signIn(f, office, 'alice', 'sid-2');
  const replayed = await post(f, form(token));
  assert.deepEqual([replayed.status, /used before/.test(replayed.text)], [400, true]);
  assert.equal((await sessions.authenticate(again))?.principal.subject, 'alice');
  assert.deepEqual(f.errors, []);
  await stranger[Symbol.asyncDispose]();
});

test('an issuer at which nobody signs in has no such address; a subject of several claims needs a sid', async () => {
  const office = await startOtherIssuer('office');
  const config = { ...office.config, subjectClaims: ['tid', 'oid'] };
  const { loginClientId: _none, ...bearerOnly } = office.config;
  for (const [trusted, status] of [
    [bearerOnly, 404],
    [config, 400],
  ] as const) {
    await using f = await identityFixture({ trusted: () => [trusted] });
    assert.equal((await post(f, form(await office.logoutToken({ sub: 'alice' })))).status, status);
    if (trusted === config)
      assert.equal((await post(f, form(await office.logoutToken({ sub: 'alice', sid: 'sid-1' })))).status, 200);
  }
  await office[Symbol.asyncDispose]();
});
