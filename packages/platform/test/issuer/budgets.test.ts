import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { loadConfig } from '../../src/config.ts';
import { createLimits, LimitError } from '../../src/limits/index.ts';
import { createAttempts } from '../../src/people/index.ts';
import { signInByLink, signInByPassword } from '../people/people.ts';
import { type Browser, codeRequest, postForm } from './browser.ts';
import { exchange, exchangeForm } from './exchange-fixture.ts';
import { type IdentityFixture, identityFixture, ORDERS, PASSWORD } from './fixture.ts';

/** The page of a sign-in, and tries on it from any address. */
async function page(f: IdentityFixture, browser: Browser = f.browser()) {
  const { url } = await browser.follow(codeRequest(f.publicUrl, { prompt: 'login' }).address);
  return (username: string, password: string, address: string) =>
    browser.post(url.pathname, { username, password }, { 'x-forwarded-for': address });
}

test('60 passwords for 60 names from one address: 30 are looked at, one after the other, and somebody else waits for none of them', async () => {
  await using f = await identityFixture();
  await f.withPasswords();
  const [attack, other] = [await page(f), await page(f)];
  let attacked = 0;
  const flood = Array.from({ length: 60 }, async (_, i) => {
    const answer = await attack(`name-${i}`, 'wrong', '192.0.2.1');
    if (answer.status === 401) attacked += 1;
    return answer;
  });
  // They have all arrived once the last is refused.
  assert.equal((await Promise.race(flood.slice(30))).status, 429);
  const bob = await other('bob', PASSWORD, '192.0.2.2');
  assert.equal(bob.status, 200);
  assert.ok(attacked < 20, `${attacked} of them were looked at before`);
  const answers = await Promise.all(flood);
  const statuses = answers.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [...Array(30).fill(401), ...Array(30).fill(429)]);
  const refused = answers.find(({ status }) => status === 429);
  assert.ok(Number(refused?.headers.get('retry-after')) >= 1);
  const lines = await f.audit.query({ type: 'login' });
  assert.equal(lines.length, 31, 'what was not looked at has no line of its own');
  assert.deepEqual([...new Set(lines.map(({ entry }) => entry.address))].sort(), ['192.0.2.1', '192.0.2.2']);
});

const settings = loadConfig({ env: {} }).limits;

/** Passwords without the pages: what is waited for is noted, and over at once. */
async function attempts(f: IdentityFixture, passes = true) {
  await f.withPasswords();
  const waits: number[] = [];
  const attempt = createAttempts({
    store: f.store,
    now: f.now,
    // Without `passes` nothing fills again, however long a hash takes.
    limits: passes ? f.identity.limits : createLimits({ settings, trustedProxies: [], elapsed: () => 0 }),
    sleep: async (ms) => {
      waits.push(ms);
      if (passes) f.clock.ahead += ms;
    },
  });
  return {
    waits,
    attempt: (subject: string, password: string, address: string, browser?: string) =>
      attempt({ subject, password: SecretValue.of(password), address, browser }),
  };
}

test('a name alone is never locked: guesses from everywhere make the next one wait, not a browser that its person has used', async () => {
  await using f = await identityFixture();
  for (const name of ['alice', 'nobody']) {
    const { attempt, waits } = await attempts(f);
    for (let i = 0; i < 12; i += 1) assert.equal(await attempt(name, `wrong ${i}`, `192.0.2.${i}`), false);
    assert.ok(
      waits.length === 7 && waits.every((ms, i) => ms <= 15_000 && ms > (waits[i - 1] ?? 0) * 0.9),
      `${waits} for ${name}`,
    );
    assert.ok((waits.at(-1) ?? 0) > 14_000, `${waits}`);
    const before = waits.length;
    if (name === 'alice') {
      assert.equal(await attempt('alice', 'wrong', '192.0.2.99', 'browser-1'), false);
      assert.equal(waits.length, before, 'the known browser waits for nothing');
      assert.equal(await attempt('alice', PASSWORD, '192.0.2.100'), true, 'nor is anybody else refused');
      assert.equal(waits.length, before + 1);
      assert.equal(await attempt('alice', 'wrong', '192.0.2.101'), false);
      assert.equal(waits.length, before + 1, 'the right one has ended it');
    }
    assert.equal(await attempt('bob', PASSWORD, '192.0.2.102'), true);
  }
});

test('ten for one name from one address, thirty for one address; a known browser has a count of its own', async () => {
  await using f = await identityFixture();
  const { attempt } = await attempts(f, false);
  const refused = (budget: string) => (error: unknown) => error instanceof LimitError && error.budget === budget;
  const results = await Promise.allSettled(Array.from({ length: 11 }, () => attempt('alice', 'wrong', '192.0.2.1')));
  const looked = results.filter(({ status }) => status === 'fulfilled').length;
  assert.equal(looked, 5, 'and five of one name wait at once');
  await assert.rejects(attempt('alice', PASSWORD, '192.0.2.1'), refused('passwordsOfName'));
  assert.equal(await attempt('alice', PASSWORD, '192.0.2.1', 'browser-1'), true);
  for (let i = 0; i < 18; i += 1) await attempt(`name-${i}`, 'wrong', '192.0.2.1');
  await assert.rejects(attempt('bob', PASSWORD, '192.0.2.1'), refused('passwords'));
  assert.equal(await attempt('bob', PASSWORD, '192.0.2.1', 'browser-2'), true);
  assert.equal(await attempt('bob', PASSWORD, '192.0.2.2'), true);
});

test('a browser is known by a cookie that names nobody, opens nothing, and cannot be made up', async () => {
  await using f = await identityFixture({ limits: { passwords: 2 } });
  const { browser, answer } = await signInByPassword(f, 'alice');
  assert.equal(answer.status, 200);
  const line = answer.headers.getSetCookie().find((one) => /_known=/.test(one)) ?? '';
  assert.match(line, /; HttpOnly; SameSite=Lax; Max-Age=\d+$/);
  assert.doesNotMatch(line, /alice/);
  const forged = f.browser();
  forged.cookies = browser.cookies
    .filter(({ name }) => name.endsWith('_known'))
    .map((cookie) => ({ ...cookie, value: `${cookie.value.slice(0, -2)}xx` }));
  const [known, stranger] = [await page(f, browser), await page(f, forged)];
  const from = '192.0.2.7';
  for (let i = 0; i < 2; i += 1) assert.equal((await stranger(`name-${i}`, 'wrong', from)).status, 401);
  assert.equal((await stranger('alice', PASSWORD, from)).status, 429, 'the address has used its budget up');
  assert.equal((await known('bob', PASSWORD, from)).status, 429, 'it is known for alice alone');
  assert.equal((await known('alice', PASSWORD, from)).status, 200);
});

test('refusals of the token endpoint beyond the budget are 429 and one counting line; what is right is answered all the time', async () => {
  await using f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  const bad = (address: string, client: string) =>
    postForm(f.publicUrl, { grant_type: 'client_credentials', client_id: client, client_secret: 'x' }, '/sts/token', {
      'x-forwarded-for': address,
    });
  const answers = [];
  for (let i = 0; i < 200; i += 1) answers.push(await bad('192.0.2.1', `client-${i}`));
  const refused = answers.filter(({ status }) => status === 429);
  assert.ok(refused.length >= 160, `${refused.length}`);
  for (const { body, headers } of refused) {
    assert.equal(body.error, 'slow_down');
    assert.ok(Number(headers.get('retry-after')) >= 1);
  }
  assert.equal((await bad('192.0.2.2', 'client-1')).status, 401, 'another address is another count');
  const form = await exchangeForm(f, subject, ORDERS);
  assert.equal((await postForm(f.publicUrl, form, '/sts/token', { 'x-forwarded-for': '192.0.2.1' })).status, 200);
  assert.equal((await exchange(f, subject, ORDERS)).status, 200);
  await f.restart();
  const lines = (await f.audit.query({ type: 'refusal' })).map(({ entry }) => entry);
  const counted = lines.filter(({ outcome }) => outcome === 'counted');
  assert.deepEqual(
    counted.map(({ address, data }) => [address, data?.omitted]),
    [['192.0.2.1', refused.length]],
  );
  assert.equal(lines.length, 200 - refused.length + 1 + 1);
});

test('sign-ins that nobody goes on with make no more rows than one address may begin', async () => {
  await using f = await identityFixture({ limits: { signIns: 5 } });
  const begin = (address: string) =>
    f.browser().request(codeRequest(f.publicUrl).address, { headers: { 'x-forwarded-for': address } });
  const statuses: number[] = [];
  for (let i = 0; i < 8; i += 1) statuses.push((await begin('192.0.2.1')).status);
  assert.deepEqual(statuses, [...Array(5).fill(303), 429, 429, 429]);
  const refused = await begin('192.0.2.1');
  assert.ok(Number(refused.headers.get('retry-after')) >= 60);
  assert.match(await refused.text(), /Try again later/);
  // What the library below would take for the same address is none.
  const { pathname, search } = new URL(codeRequest(f.publicUrl).address, f.publicUrl);
  for (const path of [
    `${pathname}/`,
    pathname.toUpperCase().replace('/OIDC', '/oidc'),
    '/oidc/Auth',
    '/oidc/Session/end',
  ])
    assert.equal((await f.browser().request(`${f.publicUrl}${path}${search}`)).status, 404, path);
  const rows = await f.store.read(f.store.builder.selectFrom('oidc_rows').selectAll().compile());
  assert.equal(rows.filter(({ model }) => model === 'Interaction').length, 5);
  assert.equal((await begin('192.0.2.2')).status, 303);
});
