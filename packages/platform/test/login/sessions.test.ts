import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVerifier } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { TokenExchangeError } from '@onbehalf/token-exchange';
import { decodeJwt } from 'jose';
import { createLogins } from '../../src/login/logins.ts';
import { createNativeLogins } from '../../src/login/native-logins.ts';
import { ownLogin } from '../../src/login/own-login.ts';
import { createLoginSessions } from '../../src/login/sessions.ts';
import type { LoginSources } from '../../src/login/sources.ts';
import { exchange } from '../issuer/exchange-fixture.ts';
import { type IdentityFixture, identityFixture, ORDERS } from '../issuer/fixture.ts';
import { consoleLogin } from './console-login.ts';
import { locationOf, pairOf } from './steps.ts';

function sessionsOf(f: IdentityFixture, sources: LoginSources) {
  const shared = { ...{ issuer: f.publicUrl, store: f.store, vault: f.vault, audit: f.audit, now: f.now }, sources };
  const logins = createLogins(shared);
  return createLoginSessions({
    ...{ ...shared, logins, native: createNativeLogins({ ...shared, logins }) },
    ...{ cookiePrefix: f.identity.sessions.cookieName, secureCookies: false },
    over: (why) => new TokenExchangeError('user_token_required', why),
  });
}

/** Nobody signs in anywhere else. */
function onlySource(o: Parameters<typeof ownLogin>[0]) {
  const own = ownLogin(o);
  return { named: () => own, of: () => own, list: () => [own] };
}

test('a console session: a cookie that holds nothing, tokens that stay here', async () => {
  await using f = await identityFixture();
  const { done, cookie } = await consoleLogin(f, 'alice');
  assert.equal(locationOf(done), '/ui/agents');
  assert.match(done.setCookie[0] ?? '', /; Path=\/; HttpOnly; SameSite=Lax$/);
  const session = await f.identity.sessions.authenticate(cookie);
  assert.deepEqual(
    [
      session?.principal.subject,
      session?.principal.role,
      session?.principal.credential.kind,
      session?.subject.refreshable,
    ],
    ['alice', 'REGULAR', 'session', true],
  );
  const current = await session?.subject.current();
  const token = current?.token.reveal() ?? '';
  assert.equal(decodeJwt(token).sub, 'alice');
  assert.equal((await exchange(f, token, ORDERS)).status, 200);
  const rows = JSON.stringify(await f.store.read(f.store.builder.selectFrom('login_sessions').selectAll().compile()));
  for (const secret of [cookie.reveal(), token, session?.csrf ?? '']) assert.equal(rows.includes(secret), false);
  assert.equal((await f.identity.sessions.authenticate(cookie))?.csrf, session?.csrf);
  assert.equal(await f.identity.sessions.authenticate(SecretValue.of('another')), undefined);
});

test('an answer to another sign-in, of another issuer, or used twice makes no session', async () => {
  await using f = await identityFixture();
  const { browser, url } = await consoleLogin(f, 'alice');
  const { sessions } = f.identity;
  const begun = await sessions.begin();
  const other = pairOf(begun.setCookie);
  const { search } = url;
  const failed = { code: 'login_failed' };
  await assert.rejects(sessions.callback(`/login/callback${search}`, undefined), failed);
  await assert.rejects(sessions.callback(`/login/callback${search}`, other), failed);
  const signedIn = await sessions.callback(`/login/callback${search}`, browser.cookieHeader('/'));
  assert.deepEqual(signedIn, { setCookie: [], location: '/ui/' }, 'who is signed in goes on with what is there');
  browser.keep(begun.setCookie);
  const { url: fresh } = await browser.follow(begun.location);
  const foreign = new URL(fresh);
  foreign.searchParams.set('iss', 'https://evil.example');
  await assert.rejects(sessions.callback(foreign.href, browser.cookieHeader('/')), failed);
  const cookies = browser.cookieHeader('/');
  await sessions.callback(fresh.href, cookies);
  await assert.rejects(sessions.callback(fresh.href, cookies), failed);
});

test('P7 20 parallel requests with a token that runs out make one refresh, stored before it is used', async () => {
  await using f = await identityFixture();
  const { cookie } = await consoleLogin(f, 'alice');
  const session = await f.identity.sessions.authenticate(cookie);
  const before = (await session?.subject.current())?.token.reveal() ?? '';
  const refreshed = async () =>
    (
      await f.store.read(
        f.store.builder.selectFrom('oidc_rows').selectAll().where('model', '=', 'RefreshToken').compile(),
      )
    ).length;
  assert.equal(await refreshed(), 1);
  f.clock.ahead = 545_000;
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      i % 2 === 0
        ? session?.subject.current().then(({ token }) => token.reveal())
        : f.identity.sessions
            .authenticate(cookie)
            .then((found) => found?.subject.current().then(({ token }) => token.reveal())),
    ),
  );
  assert.equal(new Set(all).size, 1);
  assert.notEqual(all[0], before);
  assert.equal(await refreshed(), 2);
  const [row] = await f.store.read(f.store.builder.selectFrom('login_sessions').selectAll().compile());
  assert.equal(Number(row?.fence), 1);
});

test('P6 a refresh answer with another subject ends the login', async () => {
  await using f = await identityFixture();
  const { cookie } = await consoleLogin(f, 'alice');
  const bob = await consoleLogin(f, 'bob');
  const other = (await (await f.identity.sessions.authenticate(bob.cookie))?.subject.current())?.token.reveal();
  const verifier = createVerifier({
    issuers: () => [f.identity.issuerConfig()],
    principals: f.identity.principals,
    now: f.now,
  });
  const ended: string[] = [];
  const sessions = sessionsOf(
    f,
    onlySource({
      ...{ issuer: f.publicUrl, verifier, now: f.now },
      endLogin: async (token) => void ended.push(token.reveal()),
      fetch: async () => Response.json({ access_token: other, refresh_token: 'their refresh token', expires_in: 600 }),
    }),
  );
  assert.equal((await sessions.authenticate(cookie))?.principal.subject, 'alice');
  f.clock.ahead = 545_000;
  assert.equal(await sessions.authenticate(cookie), undefined);
  assert.deepEqual(ended, ['their refresh token']);
  f.clock.ahead = 0;
  assert.equal(await sessions.authenticate(cookie), undefined);
  assert.equal((await sessions.authenticate(bob.cookie))?.principal.subject, 'bob');
  verifier.close();
});

test('X13 logout ends this login only: cookie, refresh token, access token, tickets', async () => {
  await using f = await identityFixture();
  const one = await consoleLogin(f, 'alice');
  const two = await consoleLogin(f, 'alice');
  const { sessions, tickets } = f.identity;
  const session = await sessions.authenticate(one.cookie);
  const token = (await session?.subject.current())?.token.reveal() ?? '';
  if (session === undefined) throw new Error('no session');
  const ticket = await tickets.create(session.principal, 'agent-1', { loginSession: session.idHash });
  const changes: string[] = [];
  const watch = f.store.watch(f.store.revision(), (list) =>
    changes.push(...list.map(({ kind, op }) => `${kind} ${op}`)),
  );
  const { setCookie } = await sessions.logout(one.cookie);
  assert.match(setCookie[0] ?? '', /Max-Age=0/);
  assert.equal(await sessions.authenticate(one.cookie), undefined);
  await assert.rejects(session.subject.current(), { code: 'user_token_required' });
  assert.equal(await tickets.redeem(ticket, 'agent-1'), undefined);
  assert.equal((await exchange(f, token, ORDERS)).status, 400);
  assert.ok(changes.includes('LoginSession delete') && changes.includes('Deny put'));
  // The browser is asked again who it is.
  const begun = await sessions.begin();
  assert.match((await one.browser.follow(begun.location)).url.pathname, /^\/login\/sign-in\//);
  assert.equal((await sessions.authenticate(two.cookie))?.principal.subject, 'alice');
  const left = (await (await sessions.authenticate(two.cookie))?.subject.current())?.token.reveal() ?? '';
  assert.equal((await exchange(f, left, ORDERS)).status, 200);
  watch.close();
});

test('X13 a disabled person has no session; an inactive one is told so', async () => {
  await using f = await identityFixture();
  const alice = await consoleLogin(f, 'alice');
  const bob = await consoleLogin(f, 'bob');
  await f.identity.users.setRole(f.publicUrl, 'alice', 'INACTIVE');
  await assert.rejects(f.identity.sessions.authenticate(alice.cookie), { code: 'principal_inactive', status: 403 });
  await f.identity.users.disable(f.publicUrl, 'alice', true);
  assert.equal(await f.identity.sessions.authenticate(alice.cookie), undefined);
  assert.equal((await f.identity.sessions.authenticate(bob.cookie))?.principal.subject, 'bob');
});

test('W3 a ticket is good for one agent, once, for 30 seconds, and holds no token', async () => {
  await using f = await identityFixture();
  const { cookie } = await consoleLogin(f, 'alice');
  const session = await f.identity.sessions.authenticate(cookie);
  if (session === undefined) throw new Error('no session');
  const { tickets } = f.identity;
  const login = { loginSession: session.idHash };
  const good = await tickets.create(session.principal, 'agent-1', login);
  const redeemed = await Promise.all([1, 2, 3].map(() => tickets.redeem(good, 'agent-1')));
  const [first, ...rest] = redeemed.filter((ticket) => ticket !== undefined);
  assert.deepEqual([first?.principal.subject, first?.loginIdHash, rest.length], ['alice', session.idHash, 0]);
  const other = await tickets.create(session.principal, 'agent-1', login);
  assert.equal(await tickets.redeem(other, 'agent-2'), undefined);
  assert.equal(await tickets.redeem(other, 'agent-1'), undefined);
  const subject = f.identity.subjectOfBearer(session.principal, SecretValue.of('the-bearer-token'));
  const bearer = await tickets.create(session.principal, 'agent-1', { subject });
  const rows = JSON.stringify(await f.store.read(f.store.builder.selectFrom('tickets').selectAll().compile()));
  assert.equal(rows.includes('the-bearer-token') || rows.includes(bearer.reveal()), false);
  assert.equal((await tickets.redeem(bearer, 'agent-1'))?.subject, subject);
  const late = await tickets.create(session.principal, 'agent-1', login);
  f.clock.ahead = 31_000;
  assert.equal(await tickets.redeem(late, 'agent-1'), undefined);
});

test('P7 a refresh that another replica has made meanwhile is taken over', async () => {
  await using f = await identityFixture();
  const { cookie } = await consoleLogin(f, 'alice');
  const { principals } = f.identity;
  const verifier = createVerifier({ issuers: () => [f.identity.issuerConfig()], principals, now: f.now });
  const slow = sessionsOf(
    f,
    onlySource({
      ...{ issuer: f.publicUrl, verifier, now: f.now },
      endLogin: async () => undefined,
      async fetch() {
        // While this answer is on its way, the other replica refreshes and stores.
        const other = (await f.identity.sessions.authenticate(cookie))?.subject;
        const token = (await other?.current())?.token.reveal();
        return Response.json({ access_token: token, refresh_token: 'of the slower one', expires_in: 600 });
      },
    }),
  );
  f.clock.ahead = 545_000;
  const mine = (await (await slow.authenticate(cookie))?.subject.current())?.token.reveal();
  const stored = (await (await f.identity.sessions.authenticate(cookie))?.subject.current())?.token.reveal();
  assert.equal(mine, stored);
  const query = f.store.builder.selectFrom('login_sessions').select('fence');
  assert.deepEqual(
    (await f.store.read(query.compile())).map(({ fence }) => Number(fence)),
    [1],
  );
  verifier.close();
});

test('several tabs that sign in at once do not disturb each other, and a browser keeps five at most', async () => {
  await using f = await identityFixture();
  const { sessions } = f.identity;
  const browser = f.browser();
  const { token } = await f.identity.loginLinks.create('alice');
  await browser.post('/oidc/link', { token: token.reveal() });
  const tabs = [];
  for (const place of ['/ui/one', '/ui/two', '/ui/three']) {
    const begun = await sessions.begin(place, undefined, browser.cookieHeader('/'));
    browser.keep(begun.setCookie);
    tabs.push({ place, location: begun.location });
  }
  for (const { place, location } of tabs) {
    const { url } = await browser.follow(location);
    const done = await sessions.callback(url.pathname + url.search, browser.cookieHeader('/'));
    browser.keep(done.setCookie);
    assert.equal(locationOf(done), place);
  }
  const begun = () => browser.cookies.filter(({ name }) => name.includes('_begin_'));
  assert.equal(begun().length, 0);
  const states: string[] = [];
  for (let i = 0; i < 12; i += 1) {
    f.clock.ahead += 1_000;
    const { location, setCookie } = await sessions.begin('/ui/', undefined, browser.cookieHeader('/'));
    browser.keep(setCookie);
    states.push(new URL(location).searchParams.get('state') ?? '');
  }
  assert.equal(begun().length, 5);
  // The oldest gave way: whoever is signed in goes on, whoever is not is told.
  const [oldest = ''] = states;
  const late = `/login/callback?state=${oldest}&code=any`;
  assert.equal(locationOf(await sessions.callback(late, browser.cookieHeader('/'))), '/ui/');
  const signedOut = begun().map(({ name, value }) => `${name}=${value}`);
  await assert.rejects(sessions.callback(late, signedOut.join('; ')), { code: 'login_failed' });
});
