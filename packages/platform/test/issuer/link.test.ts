import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { codeRequest, redeemCode } from './browser.ts';
import { identityFixture } from './fixture.ts';

test('G4 a login link: looking at it uses nothing up, using it works once', async () => {
  await using f = await identityFixture();
  const { token, url, expiresAt } = await f.identity.loginLinks.create('alice');
  const value = token.reveal();
  assert.equal(url.reveal(), `${f.publicUrl}/login/link#${value}`);
  assert.ok(Math.abs(expiresAt - f.now() - 600_000) < 5_000);
  const rows = await f.store.read(f.store.builder.selectFrom('login_links').selectAll().compile());
  assert.equal(JSON.stringify(rows).includes(value), false);

  const preview = f.browser();
  for (const method of ['GET', 'HEAD', 'GET']) {
    const page = await preview.request('/login/link', { method });
    assert.equal(page.status, 200);
    assert.equal((await page.text()).includes('Alice'), false);
    assert.equal((await preview.request('/oidc/link', { method })).status, 404);
  }
  for (let i = 0; i < 3; i += 1) {
    const described = await preview.post('/login/link/describe', { token: value });
    assert.deepEqual(await described.json(), { subject: 'alice', name: 'Alice' });
  }
  assert.deepEqual(preview.cookies, []);

  const browser = f.browser();
  const uses = await Promise.all(
    [1, 2, 3].map(() => browser.post('/oidc/link', { token: value, returnTo: '/ui/agents' })),
  );
  assert.deepEqual(uses.map(({ status }) => status).sort(), [200, 404, 404]);
  const used = uses.find(({ status }) => status === 200);
  assert.deepEqual(await used?.json(), { location: '/ui/agents' });
  assert.equal((await browser.post('/login/link/describe', { token: value })).status, 404);
  const request = codeRequest(f.publicUrl);
  const { url: back } = await browser.authorize(request.address);
  assert.equal(decodeJwt((await redeemCode(f.publicUrl, request, back)).access_token).sub, 'alice');
});

test('G4 a link that has expired, is another value, or is of a disabled person does nothing', async () => {
  await using f = await identityFixture();
  const browser = f.browser();
  const alice = (await f.identity.loginLinks.create('alice')).token.reveal();
  const bob = (await f.identity.loginLinks.create('bob')).token.reveal();
  await f.identity.users.disable(f.publicUrl, 'bob', true);
  assert.equal((await browser.post('/oidc/link', { token: bob })).status, 404);
  assert.equal((await browser.post('/oidc/link', { token: `${alice}x` })).status, 404);
  assert.equal((await browser.post('/oidc/link', {})).status, 404);
  f.clock.ahead = 601_000;
  assert.equal((await browser.post('/oidc/link', { token: alice })).status, 404);
  assert.deepEqual(browser.cookies, []);
  await assert.rejects(f.identity.loginLinks.create('nobody'), { code: 'user_not_found' });
});

test('G1 another page cannot use a link, and no link leads away', async () => {
  await using f = await identityFixture();
  const browser = f.browser();
  const { token } = await f.identity.loginLinks.create('alice');
  const body = { token: token.reveal() };
  assert.equal((await browser.post('/oidc/link', body, { origin: 'http://127.0.0.1:9201' })).status, 403);
  const site = { 'content-type': 'application/json', 'sec-fetch-site': 'same-site' };
  const sent = await browser.request('/oidc/link', { method: 'POST', headers: site, body: JSON.stringify(body) });
  assert.equal(sent.status, 403);
  assert.equal((await browser.post('/oidc/link', body, { 'content-type': 'text/plain' })).status, 415);
  const used = await browser.post('/oidc/link', { ...body, returnTo: '//evil.example' });
  assert.deepEqual(await used.json(), { location: '/ui/' });
});

test('G3 session fixation: a planted session is over, and signing in gives a new id', async () => {
  await using f = await identityFixture();
  const attacker = f.browser();
  const own = (await f.identity.loginLinks.create('bob')).token.reveal();
  await attacker.post('/oidc/link', { token: own });
  const planted = attacker.cookies.map((cookie) => ({ ...cookie }));
  const victim = f.browser();
  victim.cookies = planted.map((cookie) => ({ ...cookie }));
  const { token } = await f.identity.loginLinks.create('alice');
  assert.equal((await victim.post('/oidc/link', { token: token.reveal() })).status, 200);
  const value = (cookies: typeof planted) => cookies.find(({ name }) => name.endsWith('_op'))?.value;
  assert.notEqual(value(victim.cookies), value(planted));
  const request = codeRequest(f.publicUrl);
  const { url } = await victim.authorize(request.address);
  assert.equal(decodeJwt((await redeemCode(f.publicUrl, request, url)).access_token).sub, 'alice');
  // The id that the attacker knows signs nobody in any more.
  const { url: theirs } = await attacker.follow(codeRequest(f.publicUrl).address);
  assert.match(theirs.pathname, /^\/login\/sign-in\//);
});
