import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { signInByPassword } from '../people/people.ts';
import { codeRequest, redeemCode } from './browser.ts';
import { identityFixture, PASSWORD } from './fixture.ts';

test('a wrong password, an unknown and a disabled person get one answer', async () => {
  await using f = await identityFixture();
  await f.identity.users.disable(f.publicUrl, 'bob', true);
  const answers = [];
  for (const [name, password] of [
    ['alice', 'wrong'],
    ['nobody', PASSWORD],
    ['bob', PASSWORD],
  ] as const) {
    const { answer } = await signInByPassword(f, name, password);
    answers.push([answer.status, await answer.text()]);
  }
  assert.equal(answers[0]?.[0], 401);
  assert.deepEqual(answers[1], answers[0]);
  assert.deepEqual(answers[2], answers[0]);
  const lines = await f.audit.query({ type: 'login' });
  assert.deepEqual(
    lines.map(({ entry }) => [entry.principal?.subject, entry.outcome, entry.reason]),
    [
      ['alice', 'refused', 'wrong'],
      ['', 'refused', 'wrong'],
      ['bob', 'refused', 'disabled'],
    ],
  );
  assert.equal(JSON.stringify(lines).includes(PASSWORD), false);
});

test('G1 the sign-in form of another page, or of another type, is refused', async () => {
  await using f = await identityFixture();
  await f.withPasswords();
  const browser = f.browser();
  const page = await browser.follow(codeRequest(f.publicUrl).address);
  const path = page.url.pathname;
  const body = { username: 'alice', password: PASSWORD };
  const send = (headers: Record<string, string>) =>
    browser.request(path, { method: 'POST', headers, body: JSON.stringify(body) });
  const json = { 'content-type': 'application/json' };
  const refused = [
    await send({ ...json, origin: 'http://127.0.0.1:9201' }),
    await send({ ...json, 'sec-fetch-site': 'same-site' }),
    await send({ ...json, 'sec-fetch-site': 'cross-site' }),
    await send({ ...json, origin: 'null', 'sec-fetch-site': 'same-origin' }),
    await send(json),
  ];
  assert.deepEqual(
    refused.map(({ status }) => status),
    [403, 403, 403, 403, 403],
  );
  const typed = await send({ 'content-type': 'text/plain', origin: f.publicUrl });
  assert.equal(typed.status, 415);
  assert.equal((await send({ ...json, 'sec-fetch-site': 'same-origin' })).status, 200);
  const stranger = await f.browser().post(path, body);
  assert.equal(stranger.status, 400);
});

test('C4 the pages allow nothing inline, stand in no frame, and escape what they show', async () => {
  await using f = await identityFixture();
  const hint = '"><script>alert(1)</script>';
  const page = await f.browser().follow(codeRequest(f.publicUrl, { login_hint: hint }).address);
  const html = (await page.answer?.text()) ?? '';
  assert.equal(html.includes('<script>alert'), false);
  assert.match(html, /&quot;&gt;&lt;script&gt;/);
  assert.doesNotMatch(html, /<style|style=|onclick=|<script(?! src)/);
  const policy = page.answer?.headers.get('content-security-policy') ?? '';
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.equal(page.answer?.headers.get('referrer-policy'), 'no-referrer');
  for (const [, path = ''] of html.matchAll(/(?:src|href)="(\/login\/assets\/[^"]+)"/g)) {
    const asset = await fetch(f.publicUrl + path);
    assert.equal(asset.status, 200);
    assert.equal(asset.headers.get('x-content-type-options'), 'nosniff');
    assert.ok((await asset.text()).length > 100);
  }
});

test('G3 signing in as somebody else in one browser: the session before is over, whoever knows its id', async () => {
  await using f = await identityFixture();
  const { browser, answer } = await signInByPassword(f, 'alice');
  await browser.follow(((await answer.json()) as { location: string }).location);
  const planted = f.browser();
  planted.cookies = [...browser.cookies];
  const again = codeRequest(f.publicUrl, { prompt: 'login' });
  const page = await browser.follow(again.address);
  const second = await browser.post(page.url.pathname, { username: 'bob', password: PASSWORD });
  assert.equal(second.status, 200, `${await second.clone().text()} ${f.errors}`);
  for (let i = 0; i < 2; i += 1) {
    const theirs = await planted.follow(codeRequest(f.publicUrl).address);
    assert.match(theirs.url.pathname, /^\/login\/sign-in\//);
  }
  const { url } = await browser.authorize(((await second.json()) as { location: string }).location);
  assert.equal(url.searchParams.has('code'), true, url.href);
  assert.equal(decodeJwt((await redeemCode(f.publicUrl, again, url)).access_token).sub, 'bob');
});

test('the page to sign out ends the browser session at the issuer', async () => {
  await using f = await identityFixture();
  const { browser, answer } = await signInByPassword(f, 'alice');
  await browser.follow(((await answer.json()) as { location: string }).location);
  const { answer: page } = await browser.follow('/oidc/session/end');
  const html = (await page?.text()) ?? '';
  assert.match(html, /<title>Sign out of Onbehalf<\/title>/);
  const [, xsrf = ''] = /name="xsrf" value="([^"]+)"/.exec(html) ?? [];
  const confirmed = await browser.request('/oidc/session/end/confirm', {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', origin: f.publicUrl },
    body: new URLSearchParams({ xsrf, logout: 'yes' }),
  });
  assert.equal(confirmed.status, 303);
  const done = await browser.follow(confirmed.headers.get('location') ?? '');
  assert.match((await done.answer?.text()) ?? '', /You are signed out/);
  const next = await browser.follow(codeRequest(f.publicUrl).address);
  assert.match(next.url.pathname, /^\/login\/sign-in\//);
});

test('a person who is disabled while signed in is asked to sign in again', async () => {
  await using f = await identityFixture();
  const { browser, answer } = await signInByPassword(f, 'alice');
  await browser.follow(((await answer.json()) as { location: string }).location);
  await f.identity.users.disable(f.publicUrl, 'alice', true);
  const next = await browser.follow(codeRequest(f.publicUrl).address);
  assert.match(next.url.pathname, /^\/login\/sign-in\//);
  await f.identity.users.disable(f.publicUrl, 'alice', false);
  const still = await browser.follow(codeRequest(f.publicUrl).address);
  assert.match(still.url.pathname, /^\/login\/sign-in\//);
});

test('what is no file of the pages, and no sign-in that was begun, is a clear refusal, whatever it is called', async () => {
  await using f = await identityFixture();
  for (const [path, status] of [
    ['/login/assets/constructor', 404],
    ['/login/assets/__proto__', 404],
    ['/oidc/auth/abc', 400],
    ['/oidc/auth/abc?client_id=cli', 400],
  ] as const)
    assert.equal((await f.browser().request(`${f.publicUrl}${path}`)).status, status, path);
});
