import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { IssuerConfig } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import type { LoginIssuer } from '../../src/login/index.ts';
import { createLogins, newLogin } from '../../src/login/logins.ts';
import type { LoginSource, Renewed } from '../../src/login/source.ts';
import { postForm, type Tokens } from '../issuer/browser.ts';
import { type IdentityFixture, identityFixture } from '../issuer/fixture.ts';
import { type OtherIssuer, startOtherIssuer } from './other-issuer.ts';
import { confirmNative, locationOf, pairOf, signIn } from './steps.ts';

/** An issuer whose TrustedIssuer can be written again, or taken away, while people are signed in. */
async function start() {
  const office = await startOtherIssuer('office');
  const config: IssuerConfig = {
    ...office.config,
    claims: { roles: 'roles', groups: 'groups' },
    roleMap: { admin: 'ADMIN', '*': 'REGULAR' },
    maxRole: 'ADMIN',
  };
  const trusted = [config];
  const logins: LoginIssuer[] = [office.login];
  const f = await identityFixture({ trusted: () => trusted, logins: () => logins });
  return {
    ...{ f, office, config, trusted, logins, sessions: f.identity.sessions },
    async [Symbol.asyncDispose]() {
      await f[Symbol.asyncDispose]();
      await office[Symbol.asyncDispose]();
    },
  };
}

const token = (f: IdentityFixture, form: Record<string, string>) =>
  postForm(f.publicUrl, { client_id: 'cli', ...form }, '/login/cli/token');

async function signInNative(
  f: IdentityFixture,
  at: OtherIssuer,
  sub: string,
  before?: (code: string) => Promise<void>,
): Promise<Tokens> {
  const { sessions } = f.identity;
  const verifier = randomBytes(32).toString('base64url');
  const redirect = 'http://127.0.0.1:49152/callback';
  const asked = {
    ...{ issuer: at.login.name, response_type: 'code', redirect_uri: redirect, state: 'a-state-of-20-letters' },
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  };
  const begun = await sessions.beginNative(new URLSearchParams(asked));
  const done = await sessions.callback(at.consent(begun.location, sub), pairOf(begun.setCookie));
  const { location } = await confirmNative(sessions, done);
  const code = new URL(location).searchParams.get('code') ?? '';
  await before?.(code);
  const answer = await token(f, {
    ...{ grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: redirect },
  });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body as unknown as Tokens;
}

test('P3 I7 a maxRole or roleMap that is lowered counts for logins that are there, with opaque tokens too', async () => {
  for (const opaque of [false, true]) {
    await using w = await start();
    const { f, office, config, trusted, sessions } = w;
    Object.assign(office.change, { opaque, id: { roles: ['admin'] }, access: { roles: ['admin'] } });
    const cookie = await signIn(f, office, 'alice');
    const role = async () => (await sessions.authenticate(cookie))?.principal.role;
    assert.equal(await role(), 'ADMIN');
    trusted[0] = { ...config, maxRole: 'REGULAR' };
    assert.equal(await role(), 'REGULAR', `opaque: ${opaque}`);
    trusted[0] = { ...config, roleMap: { admin: 'INACTIVE' } };
    await assert.rejects(role(), { code: 'principal_inactive' });
    trusted[0] = { ...config, subjectClaims: ['sid'] };
    assert.equal(await role(), undefined, 'somebody else');
    trusted[0] = { ...config, loginClientId: 'another-client', audiences: { api: ['another-api'] } };
    assert.equal(await role(), undefined);
    trusted.push(config);
    assert.equal(await role(), undefined, 'one issuer twice');
    trusted.length = 0;
    assert.equal(await role(), undefined, 'deleted');
    trusted.push(config);
    assert.equal(await role(), 'ADMIN');
  }
});

test('Y4 an issuer that is deleted, or loses its sign-in: cookie, running turn, ticket and command line are over', async () => {
  for (const gone of ['the sign-in', 'the issuer'] as const) {
    await using w = await start();
    const { f, office, trusted, logins, sessions } = w;
    const cookie = await signIn(f, office, 'alice');
    const cli = await signInNative(f, office, 'bob');
    const session = await sessions.authenticate(cookie);
    assert.ok(session);
    await session.subject.current();
    const ticket = await f.identity.tickets.create(session.principal, 'agent-1', { loginSession: session.idHash });
    if (gone === 'the issuer') trusted.length = 0;
    logins.length = 0;
    assert.equal(await sessions.authenticate(cookie), undefined);
    await assert.rejects(session.subject.current(), { code: 'user_token_required' }, gone);
    assert.equal(await f.identity.tickets.redeem(ticket, 'agent-1'), undefined);
    const answer = await token(f, { grant_type: 'refresh_token', refresh_token: cli.refresh_token ?? '' });
    assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_grant'], gone);
  }
});

test('X13 a bearer whose token is revoked in a turn has no token for the next call', async () => {
  await using w = await start();
  const { f, office, config, trusted } = w;
  const bearer = async (sub: string, sid: string) => {
    const compact = await office.accessToken(sub, sid);
    const principal = { issuer: office.url, subject: sub, credential: { kind: 'bearer' as const, sid } };
    const whole = { ...principal, kind: 'person' as const, role: 'REGULAR' as const, groups: [], groupsUnknown: true };
    const subject = f.identity.subjectOfBearer({ ...whole, delegated: false }, SecretValue.of(compact));
    await subject.current();
    return subject;
  };
  const over = { code: 'user_token_required' };
  const post = async (claims: Record<string, unknown>) =>
    (
      await fetch(`${f.publicUrl}/oidc/backchannel-logout/office`, {
        method: 'POST',
        body: new URLSearchParams({ logout_token: await office.logoutToken(claims) }),
      })
    ).status;
  const [laptop, phone, bob, carol] = await Promise.all([
    bearer('alice', 'sid-1'),
    bearer('alice', 'sid-2'),
    bearer('bob', 'sid-3'),
    bearer('carol', 'sid-4'),
  ]);
  assert.equal(await post({ sid: 'sid-1' }), 200);
  await assert.rejects(laptop.current(), over);
  await phone.current();
  assert.equal(await post({ sub: 'alice' }), 200);
  await assert.rejects(phone.current(), over);
  await bob.current();
  await f.identity.users.disable(office.url, 'bob', true);
  await assert.rejects(bob.current(), over);
  await carol.current();
  trusted.length = 0;
  await assert.rejects(carol.current(), over);
  trusted.push(config);
  await carol.current();
});

test('opaque tokens with dots in them are opaque', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  for (const opaquePrefix of ['ya29.', '..', 'a.b.c.']) {
    Object.assign(office.change, { opaque: true, opaquePrefix });
    assert.equal((await sessions.authenticate(await signIn(f, office, 'alice')))?.principal.subject, 'alice');
  }
});

test('the command line is told that it cannot use opaque tokens, and nothing of that sign-in is left', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  Object.assign(office.change, { opaque: true, opaquePrefix: 'ya29.' });
  const asked = {
    ...{ issuer: 'office', response_type: 'code', redirect_uri: 'http://127.0.0.1:49152/callback' },
    ...{ state: 'a-state-of-20-letters', code_challenge: 'x'.repeat(43), code_challenge_method: 'S256' },
  };
  const begun = await sessions.beginNative(new URLSearchParams(asked));
  const done = await sessions.callback(office.consent(begun.location, 'bob'), pairOf(begun.setCookie));
  const said = new URL(locationOf(done)).searchParams;
  assert.deepEqual([said.get('error'), said.get('code')], ['server_error', null]);
  assert.match(said.get('error_description') ?? '', /opaque access tokens/);
  assert.equal(office.requests('/revoke').length, 1);
  assert.deepEqual(await f.store.read(f.store.builder.selectFrom('login_sessions').selectAll().compile()), []);
});

test('a refresh token that was spent is not lost when the rest of the answer cannot be looked at yet', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  office.change.opaque = true;
  const cookie = await signIn(f, office, 'alice');
  f.clock.ahead = 250_000;
  office.change.userinfoStatus = 503;
  assert.equal((await sessions.authenticate(cookie))?.principal.subject, 'alice', 'the token that is there is good');
  office.change.userinfoStatus = 200;
  assert.equal((await sessions.authenticate(cookie))?.principal.subject, 'alice');
  f.clock.ahead = 320_000;
  assert.equal((await sessions.authenticate(cookie))?.principal.subject, 'alice');
});

test('P7 a refresh that another replica has made: the login goes on with its tokens', async () => {
  await using w = await start();
  const { store, vault, audit, now } = w.f;
  const who = { issuer: 'https://replicas.example', subject: 'alice' };
  const tokensFrom = (name: string, left: number) => ({
    ...{ accessToken: name, refreshToken: name, expiresAt: now() + left, renewAt: now() + left - 60_000 },
  });
  const replica = (renew: () => Promise<Renewed>) => {
    const source = { ...who, renew, end: async () => undefined } as unknown as LoginSource;
    const sources = { named: () => source, of: () => source, list: () => [] };
    return createLogins({ store, vault, audit, now, sources });
  };
  const quick = replica(async () => ({ tokens: tokensFrom('second', 300_000), who }));
  const slow = replica(async () => {
    assert.equal((await quick.fresh('id'))?.tokens.accessToken, 'second');
    return { failed: 'refused' };
  });
  await slow.rows.insert(newLogin('id', { who, sid: undefined, tokens: tokensFrom('first', 30_000) }, now()), '', {
    ...slow.line({ ...who, sid: undefined }, 'console session'),
  });
  assert.equal((await slow.fresh('id'))?.tokens.accessToken, 'second');
  assert.equal((await quick.fresh('id'))?.tokens.accessToken, 'second');
});

test('X8 an opaque token that says it lives for a thousand years is renewed within a day', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  Object.assign(office.change, { opaque: true, expiresIn: 1e12 });
  const session = await sessions.authenticate(await signIn(f, office, 'alice'));
  const { expiresAt = 0 } = (await session?.subject.current()) ?? {};
  assert.ok(expiresAt > f.now() && expiresAt <= f.now() + 86_400_000);
});

test('X13 a token that does not say when it was issued is older than any denial', async () => {
  await using w = await start();
  const { f, office } = w;
  const body = new URLSearchParams({ logout_token: await office.logoutToken({ sid: 'sid-1' }) });
  await fetch(`${f.publicUrl}/oidc/backchannel-logout/office`, { method: 'POST', body });
  const named = { issuer: office.url, subject: 'alice', sid: 'sid-1' };
  for (const issuedAt of [Number.NaN, 0, f.now() / 1000 - 1])
    assert.equal(f.identity.principals.denied({ ...named, issuedAt }), true, String(issuedAt));
  assert.equal(f.identity.principals.denied(named), true);
  assert.equal(f.identity.principals.denied({ ...named, issuedAt: f.now() / 1000 + 5 }), false);
});

test('a code of the command line opens no socket, and is not spent by the attempt', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  let tried: unknown = 'not tried';
  const answer = await signInNative(f, office, 'bob', async (code) => {
    tried = await f.identity.tickets.redeem(SecretValue.of(code), 'agent-1');
  });
  assert.equal(tried, undefined);
  assert.ok(answer.access_token);
  const cookie = await signIn(f, office, 'alice');
  const session = await sessions.authenticate(cookie);
  assert.ok(session);
  const ticket = await f.identity.tickets.create(session.principal, 'agent-1', { loginSession: session.idHash });
  const form = { code: ticket.reveal(), code_verifier: 'x'.repeat(43), redirect_uri: 'http://127.0.0.1:1/callback' };
  assert.equal((await token(f, { grant_type: 'authorization_code', ...form })).status, 400);
  assert.ok(await f.identity.tickets.redeem(ticket, 'agent-1'));
});

test('G1 a place to go on to that no cookie holds, or of another host, is the console', async () => {
  await using w = await start();
  const { f, office, sessions } = w;
  const place = async (returnTo: string) => {
    const begun = await sessions.begin(returnTo, 'office');
    assert.ok((begun.setCookie[0]?.length ?? 0) < 4_096, begun.setCookie[0]);
    const done = await f.identity.sessions.callback(office.consent(begun.location, 'alice'), pairOf(begun.setCookie));
    return locationOf(done);
  };
  assert.equal(await place('/ui/agents?of=alice#top'), '/ui/agents?of=alice#top');
  for (const evil of [
    ...['//evil.example', '/\\evil.example', 'https://evil.example', '/ui/\r\nX: 1', '/é', '', 'ui', '/\u202e'],
    `/ui/${'a'.repeat(100_000)}`,
  ])
    assert.equal(await place(evil), '/ui/', evil.slice(0, 30));
});

test('a logout token is remembered for as long as it could be shown again, whatever end it gives itself', async () => {
  await using w = await start();
  const { f, office } = w;
  const forever = await office.logoutToken({ sub: 'alice', exp: 253_402_300_799 });
  const post = async () =>
    (
      await fetch(`${f.publicUrl}/oidc/backchannel-logout/office`, {
        method: 'POST',
        body: new URLSearchParams({ logout_token: forever }),
      })
    ).status;
  assert.equal(await post(), 200);
  assert.equal(await post(), 400);
  const rows = await f.store.read(f.store.builder.selectFrom('jtis').selectAll().compile());
  assert.ok(rows.length === 1 && Number(rows[0]?.expires_at) < f.now() + 700_000, JSON.stringify(rows));
  f.clock.ahead = Number(rows[0]?.expires_at) - Date.now();
  assert.equal(await post(), 400);
});
