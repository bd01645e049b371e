import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createVerifier } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt } from 'jose';
import { postForm, type Tokens } from '../issuer/browser.ts';
import { type IdentityFixture, identityFixture } from '../issuer/fixture.ts';
import { type OtherIssuer, startOtherIssuer } from './other-issuer.ts';
import { confirmNative, locationOf, pairOf, signIn as signInBrowser } from './steps.ts';

const REDIRECT = 'http://127.0.0.1:49152/callback';
const TOKEN = '/login/cli/token';
const REVOKE = '/login/cli/revoke';

async function start() {
  const office = await startOtherIssuer('office');
  const f = await identityFixture({ trusted: () => [office.config], logins: () => [office.login] });
  return {
    ...{ f, office, sessions: f.identity.sessions },
    async [Symbol.asyncDispose]() {
      await f[Symbol.asyncDispose]();
      await office[Symbol.asyncDispose]();
    },
  };
}

const queryOf = (verifier: string, more: Record<string, string> = {}) =>
  new URLSearchParams({
    ...{ issuer: 'office', response_type: 'code', redirect_uri: REDIRECT, state: 'a-state-of-20-letters' },
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...more,
  });

/** The browser's part: up to the redirect to the command line. */
async function authorize(f: IdentityFixture, at: OtherIssuer, sub: string, sid?: string) {
  const verifier = randomBytes(32).toString('base64url');
  const begun = await f.identity.sessions.beginNative(queryOf(verifier));
  const { sessions } = f.identity;
  const asked = await sessions.callback(at.consent(begun.location, sub, sid), pairOf(begun.setCookie));
  const done = await confirmNative(sessions, asked);
  const back = new URL(done.location);
  assert.ok(
    done.setCookie.every((line) => /Max-Age=0/.test(line)),
    'the browser gets no session',
  );
  assert.deepEqual(
    [back.origin + back.pathname, back.searchParams.get('state'), back.searchParams.get('iss')],
    [REDIRECT, 'a-state-of-20-letters', f.publicUrl],
  );
  return { verifier, code: back.searchParams.get('code') ?? '' };
}

const redeem = (f: IdentityFixture, code: string, verifier: string, more: Record<string, string> = {}) =>
  postForm(
    f.publicUrl,
    {
      ...{ client_id: 'cli', grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: REDIRECT },
      ...more,
    },
    TOKEN,
  );
const refresh = (f: IdentityFixture, token: string) =>
  postForm(f.publicUrl, { client_id: 'cli', grant_type: 'refresh_token', refresh_token: token }, TOKEN);

async function signIn(f: IdentityFixture, at: OtherIssuer, sub: string, sid?: string): Promise<Tokens> {
  const { code, verifier } = await authorize(f, at, sub, sid);
  const { status, body } = await redeem(f, code, verifier);
  assert.equal(status, 200, JSON.stringify(body));
  return body as unknown as Tokens;
}

test('two people of another issuer on the command line: tokens of that issuer, renewed by the server, which keeps its refresh token', async () => {
  await using w = await start();
  const { f, office } = w;
  const alice = await signIn(f, office, 'alice');
  const bob = await signIn(f, office, 'bob');
  assert.deepEqual(
    [alice, bob].map(({ access_token: token }) => decodeJwt(token).sub),
    ['alice', 'bob'],
  );
  const again = (await refresh(f, alice.refresh_token)).body;
  assert.equal(again.access_token, alice.access_token);
  f.clock.ahead = 250_000;
  const before = office.requests('/token').length;
  const renewed = await Promise.all(Array.from({ length: 20 }, () => refresh(f, String(again.refresh_token))));
  assert.equal(office.requests('/token').length, before + 1);
  assert.equal(new Set(renewed.map(({ body }) => body.access_token)).size, 1);
  assert.equal(new Set(renewed.map(({ body }) => body.refresh_token)).size, 1);
  const [first] = renewed;
  assert.notEqual(first?.body.access_token, alice.access_token);
  assert.equal(decodeJwt(String(first?.body.access_token)).sub, 'alice');
  assert.equal(first?.headers.get('cache-control'), 'no-store');
  const sent = office.requests('/token').map(({ form }) => form.get('refresh_token'));
  assert.ok(!sent.includes(alice.refresh_token), 'what the command line holds is nothing to the issuer');
});

test('each refresh token is good once: what was used up ends the login, whoever shows it', async () => {
  await using w = await start();
  const { f, office } = w;
  const first = (await signIn(f, office, 'alice')).refresh_token;
  const bob = await signIn(f, office, 'bob');
  const second = String((await refresh(f, first)).body.refresh_token);
  assert.notEqual(second, first);
  // An answer that was lost: the one before is answered with the one after, for a moment.
  assert.equal((await refresh(f, first)).body.refresh_token, second);
  const third = String((await refresh(f, second)).body.refresh_token);
  f.clock.ahead = 31_000;
  assert.deepEqual((await refresh(f, second)).body.error, 'invalid_grant');
  assert.deepEqual((await refresh(f, third)).body.error, 'invalid_grant', 'nor does the rightful one go on');
  assert.equal(office.requests('/revoke').length, 1);
  assert.equal((await refresh(f, bob.refresh_token)).status, 200);
  const [id = ''] = bob.refresh_token.split('.');
  assert.equal((await refresh(f, `${id}.${'x'.repeat(43)}`)).status, 400, 'a guess is a use');
});

test('signing out of the command line ends that login: its token is refused, the issuer is told with the last of a sid', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  const verifier = createVerifier({ issuers: () => [office.config], principals: f.identity.principals, now: f.now });
  const cookie = await signInBrowser(f, office, 'alice', 'sid-1');
  const cli = await signIn(f, office, 'alice', 'sid-1');
  const bob = await signIn(f, office, 'bob', 'sid-2');
  const enters = (token: string) => verifier.verify(SecretValue.of(token), 'api').then(({ subject }) => subject);
  assert.equal(await enters(cli.access_token), 'alice');
  const changes: string[] = [];
  const watch = f.store.watch(f.store.revision(), (list) =>
    changes.push(...list.map(({ kind, key }) => `${kind} ${key}`)),
  );
  assert.equal((await postForm(f.publicUrl, { client_id: 'cli', token: cli.refresh_token }, REVOKE)).status, 200);
  await assert.rejects(enters(cli.access_token), { code: 'token_revoked' });
  assert.ok(changes.includes('LoginSession sid-1'), 'what was exchanged for the bearer is dropped');
  assert.equal((await refresh(f, cli.refresh_token)).status, 400);
  assert.equal((await sessions.authenticate(cookie))?.principal.subject, 'alice', 'the console stays');
  assert.equal(office.requests('/revoke').length, 0);
  await sessions.logout(cookie);
  assert.equal(office.requests('/revoke').length, 1);
  assert.equal(await enters(bob.access_token), 'bob');
  assert.equal((await postForm(f.publicUrl, { client_id: 'cli', token: 'nobody knows' }, REVOKE)).status, 200);
  watch.close();
  verifier.close();
});

test('a code is good once, for whoever asked for it; used twice, late or by another, it ends the login', async () => {
  await using w = await start();
  const { f, office } = w;
  const twice = await authorize(f, office, 'alice');
  const first = await redeem(f, twice.code, twice.verifier);
  assert.equal(first.status, 200);
  assert.deepEqual((await redeem(f, twice.code, twice.verifier)).body.error, 'invalid_grant');
  assert.equal((await refresh(f, String(first.body.refresh_token))).status, 400);
  for (const bent of [{ code_verifier: 'x'.repeat(43) }, { redirect_uri: 'http://127.0.0.1:1/callback' }]) {
    const { code, verifier } = await authorize(f, office, 'alice');
    assert.equal((await redeem(f, code, verifier, bent)).status, 400);
    assert.equal((await redeem(f, code, verifier)).status, 400, 'a try that failed has used it up');
  }
  const late = await authorize(f, office, 'alice');
  f.clock.ahead = 61_000;
  assert.equal((await redeem(f, late.code, late.verifier)).status, 400);
  f.clock.ahead = 0;
  const rows = f.store.builder
    .selectFrom('login_sessions')
    .selectAll()
    .where('expires_at', '>', Date.now() + 61_000);
  assert.equal((await f.store.read(rows.compile())).length, 0, 'none of them left a login that outlives its code');
  const { code, verifier } = await authorize(f, office, 'bob');
  assert.equal((await redeem(f, code, verifier, { client_id: 'console' })).status, 401);
  assert.equal((await redeem(f, code, verifier, { grant_type: 'password' })).body.error, 'unsupported_grant_type');
  assert.equal((await redeem(f, '', verifier)).body.error, 'invalid_request');
  assert.equal((await redeem(f, code, verifier)).status, 200, 'what is not a try does not use it up');
});

test('the id of a command line is no cookie, a cookie no refresh token, and neither is one at the token service', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  const cli = await signIn(f, office, 'alice');
  assert.equal(await sessions.authenticate(SecretValue.of(cli.refresh_token)), undefined);
  const cookie = (await signInBrowser(f, office, 'bob')).reveal();
  assert.equal((await refresh(f, cookie)).status, 400);
  const there = { client_id: 'cli', grant_type: 'refresh_token', refresh_token: cli.refresh_token };
  assert.equal((await postForm(f.publicUrl, there)).status, 400);
  const rows = JSON.stringify([
    await f.store.read(f.store.builder.selectFrom('login_sessions').selectAll().compile()),
    await f.store.read(f.store.builder.selectFrom('tickets').selectAll().compile()),
  ]);
  for (const secret of [cli.refresh_token, cli.access_token, cookie]) assert.ok(!rows.includes(secret));
});

test('only an address of this machine is answered, and only with PKCE; a refusal is told to the command line', async () => {
  await using w = await start();
  const { office, sessions } = w;
  const verifier = randomBytes(32).toString('base64url');
  const bad: Record<string, string>[] = [
    { redirect_uri: 'https://evil.example/callback' },
    { redirect_uri: 'http://127.0.0.1.evil.example:80/callback' },
    { redirect_uri: 'http://127.0.0.1:80@evil.example/callback' },
    { redirect_uri: 'http://127.0.0.1:80/callback?x=1' },
    { redirect_uri: 'http://localhost:80/callback' },
    { redirect_uri: 'http://[::1]:80/callback' },
    { redirect_uri: 'http://127.0.0.1:99999/callback' },
    { code_challenge_method: 'plain' },
    { code_challenge: 'short' },
    { response_type: 'token' },
    { state: 'short' },
    { issuer: 'nobody' },
  ];
  for (const more of bad)
    await assert.rejects(sessions.beginNative(queryOf(verifier, more)), { code: 'login_failed' }, JSON.stringify(more));
  const begun = await sessions.beginNative(queryOf(verifier));
  const state = new URL(begun.location).searchParams.get('state') ?? '';
  const said = new URLSearchParams({ error: 'access_denied', state, iss: office.url });
  const done = await sessions.callback(`/login/callback/office?${said}`, pairOf(begun.setCookie));
  const back = new URL(locationOf(done));
  assert.deepEqual(
    [back.origin + back.pathname, back.searchParams.get('error'), back.searchParams.get('state')],
    [REDIRECT, 'access_denied', 'a-state-of-20-letters'],
  );
});

test('an attacker’s page and another program get no code: the person is asked first, once, by the browser that began', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  const verifier = randomBytes(32).toString('base64url');
  const query = queryOf(verifier);
  const begun = await sessions.beginNative(query);
  const asked = await sessions.callback(office.consent(begun.location, 'alice'), pairOf(begun.setCookie));
  assert.ok('confirm' in asked && !('location' in asked), 'nothing is handed on');
  const { confirm } = asked;
  assert.deepEqual(
    [confirm.subject, confirm.name, confirm.issuer, confirm.at, confirm.redirectUri, confirm.challenge],
    ['alice', 'ALICE', 'office', office.url, REDIRECT, query.get('code_challenge')],
  );
  const rows = await f.store.read(f.store.builder.selectFrom('tickets').selectAll().compile());
  assert.equal(rows.length, 1);
  // Another browser, and the same one before the callback, cannot speak for it.
  const failed = { code: 'login_failed' };
  await assert.rejects(sessions.decideNative(confirm.state, true, undefined), failed);
  await assert.rejects(sessions.decideNative(confirm.state, true, pairOf(begun.setCookie)), failed);
  const other = await sessions.beginNative(queryOf(verifier));
  await assert.rejects(sessions.decideNative(confirm.state, true, pairOf(other.setCookie)), failed);
  // Nor can the answer of the issuer be played again instead.
  await assert.rejects(
    sessions.callback(`/login/callback/office?state=${confirm.state}`, pairOf(asked.setCookie)),
    failed,
  );
  const said = await Promise.allSettled([1, 2].map(() => confirmNative(sessions, asked)));
  assert.deepEqual(said.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  await assert.rejects(confirmNative(sessions, asked), failed);
  // The person says no: the command line is told, and the issuer that this login is over.
  const again = await sessions.beginNative(queryOf(verifier));
  const no = await sessions.callback(office.consent(again.location, 'bob'), pairOf(again.setCookie));
  const back = new URL((await confirmNative(sessions, no, false)).location);
  assert.deepEqual([back.origin + back.pathname, back.searchParams.get('error')], [REDIRECT, 'access_denied']);
  assert.equal(back.searchParams.get('code'), null);
  assert.equal(office.requests('/revoke').length, 1);
  // And says nothing for five minutes.
  const late = await sessions.beginNative(queryOf(verifier));
  const waiting = await sessions.callback(office.consent(late.location, 'bob'), pairOf(late.setCookie));
  f.clock.ahead = 301_000;
  await assert.rejects(confirmNative(sessions, waiting), failed);
});
