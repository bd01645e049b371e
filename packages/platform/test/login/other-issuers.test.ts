import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt } from 'jose';
import { holdsToken } from '../../../../tests/holds-token.ts';
import { type IdentityFixture, identityFixture } from '../issuer/fixture.ts';
import { CLIENT, type OtherIssuer, startOtherIssuer } from './other-issuer.ts';
import { pairOf } from './steps.ts';

async function start() {
  const office = await startOtherIssuer('office');
  const partner = await startOtherIssuer('partner');
  const f = await identityFixture({
    trusted: () => [office.config, partner.config],
    logins: () => [office.login, partner.login],
  });
  return {
    ...{ f, office, partner, sessions: f.identity.sessions },
    async [Symbol.asyncDispose]() {
      await f[Symbol.asyncDispose]();
      await office[Symbol.asyncDispose]();
      await partner[Symbol.asyncDispose]();
    },
  };
}

async function signIn(f: IdentityFixture, at: OtherIssuer, sub: string, sid?: string) {
  const { sessions } = f.identity;
  const begun = await sessions.begin('/ui/agents', at.login.name);
  const done = await sessions.callback(at.consent(begun.location, sub, sid), pairOf(begun.setCookie));
  const [name = '', value = ''] = pairOf(done.setCookie).split('=');
  assert.equal(name, sessions.cookieName);
  return { done, cookie: SecretValue.of(value), begun };
}

const failsWith = (code: string, text: RegExp) => (error: unknown) => {
  const { code: found, message } = error as { code: string; message: string };
  assert.equal(found, code, message);
  assert.match(message, text);
  assert.doesNotMatch(message, /eyJ|secret/);
  return true;
};

test('P2 two people at two other issuers, one of them with the other one’s name: three sessions, three principals', async () => {
  await using w = await start();
  const { f, office, partner, sessions } = w;
  assert.deepEqual(
    sessions.issuers().map(({ name }) => name),
    ['onbehalf', 'office', 'partner'],
  );
  const logins = [
    [office, 'alice'],
    [office, 'bob'],
    [partner, 'alice'],
  ] as const;
  for (const [at, sub] of logins) {
    const { cookie, done } = await signIn(f, at, sub);
    const session = await sessions.authenticate(cookie);
    assert.deepEqual(
      [session?.principal.issuer, session?.principal.subject, session?.principal.credential.kind],
      [at.url, sub, 'session'],
    );
    assert.deepEqual([done.issuer, done.subjectToken?.audience], [at.login.name, ['our-api', 'platform']]);
    const token = (await session?.subject.current())?.token.reveal() ?? '';
    assert.deepEqual([decodeJwt(token).iss, decodeJwt(token).sub], [at.url, sub]);
  }
  const rows = JSON.stringify(await f.store.read(f.store.builder.selectFrom('login_sessions').selectAll().compile()));
  assert.ok(!holdsToken(rows));
});

test('the authorization request has PKCE, state, nonce, a redirect of its own, and what the sign-in is configured for', async () => {
  await using w = await start();
  const { f, office } = w;
  Object.assign(office.login, { resource: ['https://api.example'], audience: ['orders-api'] });
  const { begun } = await signIn(f, office, 'alice');
  const query = new URL(begun.location).searchParams;
  assert.deepEqual(
    [query.get('client_id'), query.get('scope'), query.get('resource'), query.get('audience')],
    [CLIENT, 'openid orders', 'https://api.example', 'orders-api'],
  );
  assert.deepEqual(
    [query.get('code_challenge_method'), query.get('redirect_uri')],
    ['S256', `${f.publicUrl}/login/callback/office`],
  );
  const [request] = office.requests('/token');
  assert.ok(request);
  assert.equal(request.form.get('resource'), 'https://api.example');
  assert.match(request.authorization ?? '', /^Basic /);
  assert.equal(request.form.has('client_secret'), false);
  assert.ok((request.form.get('code_verifier') ?? '').length >= 43);
});

test('an answer of another issuer, to another sign-in, for another nonce, or at another path makes no session', async () => {
  await using w = await start();
  const { office, partner, sessions } = w;
  const cases: [string, string, RegExp, (o: { location: string; cookie: string }) => Promise<unknown>][] = [
    [
      'path of the partner',
      'login_failed',
      /not to this sign-in/,
      ({ location, cookie }) =>
        sessions.callback(office.consent(location, 'alice').replace('/office', '/partner'), cookie),
    ],
    [
      'iss of the partner',
      'login_failed',
      /not to this sign-in/,
      ({ location, cookie }) =>
        sessions.callback(
          office.consent(location, 'alice').replace(encodeURIComponent(office.url), encodeURIComponent(partner.url)),
          cookie,
        ),
    ],
    [
      'no iss',
      'login_failed',
      /not to this sign-in/,
      ({ location, cookie }) => sessions.callback(office.consent(location, 'alice').replace(/&iss=.*$/, ''), cookie),
    ],
    [
      'state of another',
      'login_failed',
      /not to this sign-in/,
      async ({ cookie }) =>
        sessions.callback(office.consent((await sessions.begin('/', 'office')).location, 'alice'), cookie),
    ],
    [
      'a code of another sign-in',
      'login_failed',
      /refused the code|not to this sign-in/,
      async ({ location, cookie }) => {
        const other = await sessions.begin('/', 'office');
        const code = new URL(office.consent(other.location, 'bob'), office.url).searchParams.get('code') ?? '';
        const mine = new URL(office.consent(location, 'alice'), office.url);
        mine.searchParams.set('code', code);
        return sessions.callback(mine.pathname + mine.search, cookie);
      },
    ],
    [
      'no cookie',
      'login_failed',
      /not begun in this browser/,
      ({ location }) => sessions.callback(office.consent(location, 'alice'), undefined),
    ],
    [
      'the person says no',
      'login_refused',
      /access_denied/,
      ({ location, cookie }) => {
        const query = new URL(location).searchParams;
        const said = new URLSearchParams({ error: 'access_denied', state: query.get('state') ?? '', iss: office.url });
        return sessions.callback(`/login/callback/office?${said}`, cookie);
      },
    ],
  ];
  for (const [name, code, text, attempt] of cases) {
    const begun = await sessions.begin('/ui/', 'office');
    await assert.rejects(
      attempt({ location: begun.location, cookie: pairOf(begun.setCookie) }),
      failsWith(code, text),
      name,
    );
  }
  await assert.rejects(sessions.begin('/ui/', 'nobody'), failsWith('login_failed', /no|nobody/));
});

test('tokens that do not fit: of another person, audience or client, unsigned, without an ID token', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  const cases: [string, Partial<OtherIssuer['change']>, string, RegExp][] = [
    ['two people', { id: { sub: 'bob' } }, 'login_unusable', /name two people/],
    ['another audience', { access: { aud: 'other-api' } }, 'login_unusable', /audience_mismatch/],
    ['an ID token for another client', { id: { aud: 'other' } }, 'login_failed', /not to this sign-in/],
    ['two clients, another azp', { id: { aud: [CLIENT, 'x'], azp: 'x' } }, 'login_failed', /not to this sign-in/],
    ['an expired ID token', { id: { exp: 1_000_000 } }, 'login_failed', /not to this sign-in/],
    ['another nonce', { id: { nonce: 'another' } }, 'login_failed', /not to this sign-in/],
    ['an ID token that is a logout token', { id: { events: {} } }, 'login_unusable', /type_refused/],
    ['down', { status: 503 }, 'login_unavailable', /did not answer/],
    [
      'a secret that is wrong',
      { status: 401, error: 'invalid_client' },
      'login_failed',
      /refused the code: invalid_client/,
    ],
  ];
  const straight = { ...office.change };
  for (const [name, bent, code, text] of cases) {
    Object.assign(office.change, straight, bent);
    await assert.rejects(signIn(f, office, 'alice'), failsWith(code, text), name);
  }
  Object.assign(office.change, straight);
  const { cookie } = await signIn(f, office, 'alice');
  assert.equal((await sessions.authenticate(cookie))?.principal.subject, 'alice');
  const rows = await f.store.read(f.store.builder.selectFrom('login_sessions').selectAll().compile());
  assert.equal(rows.length, 1);
});

test('metadata that names another issuer, or a sign-in without TLS, is not used', async () => {
  for (const metadata of [
    { issuer: 'https://evil.example' },
    { authorization_endpoint: 'javascript:alert(1)' },
    ...['token', 'userinfo', 'revocation', 'end_session'].map((name) => ({
      [`${name}_endpoint`]: 'ftp://evil.example',
    })),
  ]) {
    await using w = await start();
    w.office.change.metadata = metadata;
    await assert.rejects(w.sessions.begin('/ui/', 'office'), { code: 'login_unavailable' });
  }
});

test('opaque access tokens: the ID token says who, UserInfo must agree, and the token is handed on as it is', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  office.change.opaque = true;
  office.change.userinfo = 'bob';
  await assert.rejects(signIn(f, office, 'alice'), failsWith('login_unusable', /name two people/));
  office.change.userinfo = undefined;
  const { cookie, done } = await signIn(f, office, 'alice');
  assert.equal(done.subjectToken?.audience, undefined);
  const session = await sessions.authenticate(cookie);
  assert.deepEqual([session?.principal.subject, session?.principal.name], ['alice', 'ALICE']);
  assert.match((await session?.subject.current())?.token.reveal() ?? '', /^[0-9a-f-]{36}$/);
  await f.identity.users.disable(office.url, 'alice', true);
  assert.equal(await sessions.authenticate(cookie), undefined);
  await f.identity.users.disable(office.url, 'alice', false);
  assert.equal(await sessions.authenticate(cookie), undefined, 'what was before stays ended');
  assert.ok(await sessions.authenticate((await signIn(f, office, 'bob')).cookie));
});

test('P7 20 parallel requests make one refresh; P6 another subject in it ends the login; a failing issuer does not', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  for (const opaque of [false, true]) {
    Object.assign(office.change, { opaque, id: {}, access: {}, userinfo: undefined, status: undefined });
    f.clock.ahead = 0;
    const alice = await signIn(f, office, 'alice');
    const bob = await signIn(f, office, 'bob');
    const before = office.requests('/token').length;
    const old = (await (await sessions.authenticate(alice.cookie))?.subject.current())?.token.reveal();
    f.clock.ahead = 250_000;
    const tokens = await Promise.all(
      Array.from({ length: 20 }, async () =>
        (await (await sessions.authenticate(alice.cookie))?.subject.current())?.token.reveal(),
      ),
    );
    assert.equal(office.requests('/token').length, before + 1);
    assert.ok(new Set(tokens).size === 1 && tokens[0] !== undefined && tokens[0] !== old);
    // The issuer is down: the token that is there is used to its end.
    office.change.status = 503;
    assert.equal((await sessions.authenticate(bob.cookie))?.principal.subject, 'bob');
    office.change.status = undefined;
    // Its next answer is about somebody else, with or without an ID token that says so.
    for (const id of [{}, { sub: 'mallory' }]) {
      f.clock.ahead = 0;
      const victim = await signIn(f, office, 'bob');
      Object.assign(office.change, opaque ? { userinfo: 'mallory', id } : { access: { sub: 'mallory' }, id });
      f.clock.ahead = 250_000;
      assert.equal(await sessions.authenticate(victim.cookie), undefined);
      Object.assign(office.change, { access: {}, userinfo: undefined, id: {} });
      assert.equal(await sessions.authenticate(victim.cookie), undefined, 'and stays ended');
    }
  }
});

test('a refresh that the issuer refuses ends the login', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  const { cookie } = await signIn(f, office, 'alice');
  f.clock.ahead = 250_000;
  office.change.status = 400;
  assert.equal(await sessions.authenticate(cookie), undefined);
  office.change.status = undefined;
  assert.equal(await sessions.authenticate(cookie), undefined);
});

test('signing out ends the login at the issuer: the refresh token is revoked, its session ended, no token in an address', async () => {
  await using w = await start();
  const { f, office, partner, sessions } = w;
  const { cookie } = await signIn(f, office, 'alice');
  const other = await signIn(f, office, 'bob');
  await sessions.logout(cookie);
  assert.equal(await sessions.authenticate(cookie), undefined);
  assert.equal((await sessions.authenticate(other.cookie))?.principal.subject, 'bob');
  const [revoked] = office.requests('/revoke');
  const [ended] = office.requests('/end');
  assert.match(revoked?.form.get('token') ?? '', /^[0-9a-f-]{36}$/);
  assert.match(revoked?.authorization ?? '', /^Basic /);
  assert.equal(decodeJwt(ended?.form.get('id_token_hint') ?? '').sub, 'alice');
  assert.equal(partner.requests('/revoke').length + partner.requests('/end').length, 0);
});
