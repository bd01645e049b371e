import assert from 'node:assert/strict';
import { test } from 'node:test';
import { signInCode } from '@onbehalf/resources';
import { decodeJwt } from 'jose';
import { type Browser, codeRequest, redeemCode } from './browser.ts';
import { type IdentityFixture, identityFixture } from './fixture.ts';

/** A browser in which this person has signed in before. */
async function signedIn(f: IdentityFixture, subject: string): Promise<Browser> {
  const browser = f.browser();
  const { token } = await f.identity.loginLinks.create(subject);
  assert.equal((await browser.post('/oidc/link', { token: token.reveal() })).status, 200);
  return browser;
}

const challengeOf = (address: string) => new URLSearchParams(address.split('?')[1]).get('code_challenge') ?? '';
const codesIn = async (f: IdentityFixture) =>
  (await f.store.read(f.store.builder.selectFrom('oidc_rows').selectAll().compile())).filter(({ model }) =>
    ['AuthorizationCode', 'Grant'].includes(String(model)),
  ).length;

test('G1 a page of another site, and a program on any port, get no code of somebody who is signed in: a page asks first', async () => {
  await using f = await identityFixture();
  const browser = await signedIn(f, 'alice');
  const asked = codeRequest(f.publicUrl, { redirect_uri: 'http://127.0.0.1:6666/callback' });
  const { url, answer } = await browser.follow(asked.address);
  assert.match(url.pathname, /^\/login\/confirm\//);
  const html = (await answer?.text()) ?? '';
  for (const shown of ['Alice (alice)', f.publicUrl, '127.0.0.1:6666', signInCode(challengeOf(asked.address))])
    assert.ok(html.includes(shown), `${shown} in ${html}`);
  assert.doesNotMatch(html, /autofocus|<script/);
  assert.match(answer?.headers.get('content-security-policy') ?? '', /form-action 'self' http:\/\/127\.0\.0\.1:6666;/);
  assert.match(answer?.headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/);
  // Silently there is an error, and opening the page again changes nothing.
  const silent = await browser.follow(codeRequest(f.publicUrl, { prompt: 'none' }).address);
  assert.deepEqual(
    [silent.url.searchParams.get('error'), silent.url.searchParams.get('code')],
    ['interaction_required', null],
  );
  await browser.follow(asked.address);
  assert.equal(await codesIn(f), 0, 'no code was made, nor a grant');
});

test('G1 the page is confirmed by a form of its own, sent from our origin, in the browser that was asked', async () => {
  await using f = await identityFixture();
  const browser = await signedIn(f, 'alice');
  const asked = codeRequest(f.publicUrl);
  const { url } = await browser.follow(asked.address);
  const form = 'application/x-www-form-urlencoded';
  const send = (headers: Record<string, string>, from = browser, body = 'decision=yes') =>
    from.request(url.pathname, { method: 'POST', headers, body });
  const ours = { 'content-type': form, origin: f.publicUrl };
  const refused = [
    await send({ ...ours, origin: 'http://127.0.0.1:9201' }),
    await send({ ...ours, origin: 'null', 'sec-fetch-site': 'cross-site' }),
    await send({ 'content-type': form, 'sec-fetch-site': 'same-site' }),
    await send({ 'content-type': form }),
    await send({ 'content-type': 'text/plain', origin: f.publicUrl }),
    await send(ours, f.browser()),
    await send(ours, await signedIn(f, 'bob')),
  ];
  assert.deepEqual(
    refused.map(({ status }) => status),
    [403, 403, 403, 403, 415, 400, 400],
  );
  assert.equal(await codesIn(f), 0);
  const done = await send(ours);
  assert.equal(done.status, 303);
  const back = await browser.follow(done.headers.get('location') ?? '');
  assert.equal(decodeJwt((await redeemCode(f.publicUrl, asked, back.url)).access_token).sub, 'alice');
  assert.equal((await send(ours)).status, 400, 'it was for one sign-in');
  assert.deepEqual(f.errors, []);
});

test('a person who says no: the command line is told, no code is made, and the next sign-in asks again', async () => {
  await using f = await identityFixture();
  const browser = await signedIn(f, 'bob');
  for (const decision of ['no', 'anything else']) {
    const { url } = await browser.follow(codeRequest(f.publicUrl).address);
    const answer = await browser.confirm(url.href, decision);
    const back = await browser.follow(answer.headers.get('location') ?? '');
    assert.deepEqual(
      [back.url.origin, back.url.searchParams.get('error')],
      ['http://127.0.0.1:49152', 'access_denied'],
    );
    assert.equal(back.url.searchParams.get('code'), null);
  }
  assert.equal(await codesIn(f), 0);
  const again = codeRequest(f.publicUrl);
  const { url } = await browser.authorize(again.address);
  assert.equal(decodeJwt((await redeemCode(f.publicUrl, again, url)).access_token).sub, 'bob');
  assert.match((await browser.follow(codeRequest(f.publicUrl).address)).url.pathname, /^\/login\/confirm\//);
});

test('a page that was opened as alice confirms nothing once somebody else is signed in in that browser', async () => {
  await using f = await identityFixture();
  const browser = await signedIn(f, 'alice');
  const { url } = await browser.follow(codeRequest(f.publicUrl).address);
  const { token } = await f.identity.loginLinks.create('bob');
  await browser.post('/oidc/link', { token: token.reveal() });
  const answer = await browser.confirm(url.href);
  const back = await browser.follow(answer.headers.get('location') ?? url.href);
  assert.equal(back.url.searchParams.get('code'), null, back.url.href);
  assert.equal(await codesIn(f), 0);
});

test('the six characters are those of the challenge, and differ where the first letters of it do', () => {
  assert.equal(signInCode('E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'), signInCode('E9Mel'.padEnd(43, 'x')));
  assert.match(signInCode('E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'), /^[A-HJ-NP-Z2-9]{3}-[A-HJ-NP-Z2-9]{3}$/);
  const all = new Set([...'AB-_09az'].flatMap((a) => [...'AZ_5'].map((b) => signInCode(`${a}AAA${b}`))));
  assert.equal(all.size, 32);
});
