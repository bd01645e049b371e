import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVerifier } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { signInByLink, signInByPassword } from '../people/people.ts';
import { codeRequest, postForm, redeemCode } from './browser.ts';
import { identityFixture } from './fixture.ts';

test('a person signs in with a password and gets tokens for the API', async () => {
  await using f = await identityFixture();
  const { browser, request, page, answer } = await signInByPassword(f, 'alice');
  assert.match(await (page.answer?.text() ?? ''), /<title>Sign in to Onbehalf<\/title>/);
  assert.equal(answer.status, 200);
  const { location } = (await answer.json()) as { location: string };
  const { url } = await browser.authorize(location);
  assert.equal(url.origin, 'http://127.0.0.1:49152');
  assert.equal(url.searchParams.get('state'), 'state-1');
  assert.equal(url.searchParams.get('iss'), f.publicUrl);
  const tokens = await redeemCode(f.publicUrl, request, url);
  assert.equal(tokens.expires_in, 600);

  const jwks = (await (await fetch(`${f.publicUrl}/jwks`)).json()) as JSONWebKeySet;
  const { payload, protectedHeader } = await jwtVerify(tokens.access_token, createLocalJWKSet(jwks), {
    issuer: f.publicUrl,
    audience: `${f.publicUrl}/api`,
    typ: 'at+jwt',
  });
  assert.equal(protectedHeader.alg, 'ES256');
  assert.equal(payload.sub, 'alice');
  assert.equal(payload.client_id, 'cli');
  assert.deepEqual(payload.sub_id, { format: 'iss_sub', iss: f.publicUrl, sub: 'alice' });
  assert.deepEqual(payload.amr, ['pwd']);
  assert.equal(typeof payload.sid, 'string');
  assert.equal(decodeJwt(tokens.id_token).aud, 'cli');
  assert.deepEqual(f.errors, []);
});

test('J11 D6 the token is good at its own door and nowhere else, and ID and refresh tokens are good nowhere', async () => {
  await using f = await identityFixture();
  const { principals } = f.identity;
  const verifier = createVerifier({ issuers: () => [f.identity.issuerConfig()], principals });
  const api = await signInByLink(f, 'alice');
  const mcp = await signInByLink(f, 'alice', { resource: `${f.publicUrl}/mcp` });
  const who = await verifier.verify(SecretValue.of(api.access_token), 'api');
  assert.deepEqual([who.issuer, who.subject, who.role, who.name], [f.publicUrl, 'alice', 'REGULAR', 'Alice']);
  assert.deepEqual(who.credential.amr, ['link']);
  assert.equal((await verifier.verify(SecretValue.of(mcp.access_token), 'mcp')).subject, 'alice');
  for (const [token, door] of [
    [api.access_token, 'mcp'],
    [api.access_token, 'a2a'],
    [api.access_token, 'openai'],
    [mcp.access_token, 'api'],
    [api.id_token, 'api'],
    [api.refresh_token, 'api'],
  ] as const)
    await assert.rejects(verifier.verify(SecretValue.of(token), door), { name: 'AccessError', status: 401 });
  verifier.close();
});

test('a resource that is no door, a foreign redirect and a missing challenge are refused', async () => {
  await using f = await identityFixture();
  const answers = await Promise.all(
    [{ resource: 'https://orders.internal/mcp' }, { code_challenge: '', code_challenge_method: '' }].map(async (more) =>
      (await f.browser().follow(codeRequest(f.publicUrl, more).address)).url.searchParams.get('error'),
    ),
  );
  assert.deepEqual(answers, ['invalid_target', 'invalid_request']);
  const foreign = codeRequest(f.publicUrl, { redirect_uri: 'https://evil.example/callback' });
  const { url, answer } = await f.browser().follow(foreign.address);
  assert.equal(url.origin, f.publicUrl);
  assert.equal(answer?.status, 400);
  const page = (await answer?.text()) ?? '';
  assert.match(page, /Sign-in failed/);
  assert.doesNotMatch(page, /at .*\.js|node_modules/);
  assert.match(answer?.headers.get('content-security-policy') ?? '', /default-src 'none'/);
});

test('a code is good once, with its own verifier', async () => {
  await using f = await identityFixture();
  const { browser, request, answer } = await signInByPassword(f, 'alice');
  const { location } = (await answer.json()) as { location: string };
  const { url } = await browser.authorize(location);
  const fields = {
    ...{ grant_type: 'authorization_code', client_id: 'cli', redirect_uri: request.redirectUri },
    code: url.searchParams.get('code') ?? '',
  };
  const wrong = await postForm(f.publicUrl, { ...fields, code_verifier: 'x'.repeat(43) });
  assert.deepEqual([wrong.status, wrong.body.error], [400, 'invalid_grant']);
  const tries = await Promise.all(
    [1, 2, 3].map(() => postForm(f.publicUrl, { ...fields, code_verifier: request.verifier })),
  );
  assert.deepEqual(tries.map(({ status }) => status).sort(), [200, 400, 400]);
  assert.equal(tries[0]?.headers.get('cache-control'), 'no-store');
});

test('refresh rotates; an answer that was lost is given again for 30 s, and a refresh token that comes back later ends the login', async () => {
  await using f = await identityFixture();
  const verifier = createVerifier({ issuers: () => [f.identity.issuerConfig()], principals: f.identity.principals });
  const first = await signInByLink(f, 'alice');
  const bob = await signInByLink(f, 'bob');
  const refresh = (token: string) =>
    postForm(f.publicUrl, { grant_type: 'refresh_token', client_id: 'cli', refresh_token: token });
  const second = await refresh(first.refresh_token);
  assert.equal(second.status, 200);
  const { access_token: token, refresh_token: next } = second.body as { access_token: string; refresh_token: string };
  assert.notEqual(next, first.refresh_token);
  assert.equal(decodeJwt(token).sub, 'alice');
  assert.equal(decodeJwt(token).sid, decodeJwt(first.access_token).sid);
  await verifier.verify(SecretValue.of(token), 'api');
  // Lost on the way, or asked for by several commands at once: one answer, and one line of tokens.
  f.clock.ahead = 20_000;
  const again = await Promise.all(Array.from({ length: 5 }, () => refresh(first.refresh_token)));
  for (const { status, body } of again) {
    assert.deepEqual([status, body.access_token, body.refresh_token], [200, token, next]);
    assert.ok(Number(body.expires_in) <= 580, `${body.expires_in}`);
  }
  const both = await Promise.all([refresh(bob.refresh_token), refresh(bob.refresh_token)]);
  assert.deepEqual(both[0].body, both[1].body);
  const asConsole = { grant_type: 'refresh_token', client_id: 'console', refresh_token: first.refresh_token };
  const rows = JSON.stringify(await f.store.read(f.store.builder.selectFrom('oidc_rows').selectAll().compile()));
  for (const secret of [token, next, first.refresh_token]) assert.ok(!rows.includes(secret));
  f.clock.ahead = 31_000;
  const reused = await refresh(first.refresh_token);
  assert.equal((await postForm(f.publicUrl, asConsole)).status, 400);
  assert.deepEqual([reused.status, reused.body.error], [400, 'invalid_grant']);
  assert.equal((await refresh(next)).status, 400);
  await assert.rejects(verifier.verify(SecretValue.of(token), 'api'), { code: 'token_revoked' });
  assert.equal((await verifier.verify(SecretValue.of(bob.access_token), 'api')).subject, 'bob');
  verifier.close();
});

test('both metadata documents name the one token endpoint and key set', async () => {
  await using f = await identityFixture();
  const documents = await Promise.all(
    ['openid-configuration', 'oauth-authorization-server'].map(async (name) =>
      (await fetch(`${f.publicUrl}/.well-known/${name}`)).json(),
    ),
  );
  assert.deepEqual(documents[0], documents[1]);
  const { issuer, token_endpoint: endpoint, jwks_uri: jwks } = documents[0] as Record<string, string>;
  assert.deepEqual([issuer, endpoint, jwks], [f.publicUrl, `${f.publicUrl}/sts/token`, `${f.publicUrl}/jwks`]);
  const { keys } = (await (await fetch(jwks ?? '')).json()) as { keys: Record<string, string>[] };
  assert.equal(keys.length, 1);
  assert.equal('d' in (keys[0] ?? {}), false);
  const token = await signInByLink(f, 'alice');
  assert.equal(decodeProtectedHeader(token.access_token).kid, keys[0]?.kid);
});

test('keys, logins and refresh tokens survive a restart', async () => {
  await using f = await identityFixture();
  const tokens = await signInByLink(f, 'alice');
  await f.restart();
  const again = await postForm(f.publicUrl, {
    ...{ grant_type: 'refresh_token', client_id: 'cli', refresh_token: tokens.refresh_token },
  });
  assert.equal(again.status, 200);
  const verifier = createVerifier({ issuers: () => [f.identity.issuerConfig()], principals: f.identity.principals });
  assert.equal((await verifier.verify(SecretValue.of(tokens.access_token), 'api')).subject, 'alice');
  verifier.close();
});
