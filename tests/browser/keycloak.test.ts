import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Condition } from '@onbehalf/resources';
import type { Browser } from 'playwright-core';
import { hasKeycloak, type RunningKeycloak, setUpKeycloak, startKeycloak } from '../../tools/keycloak.ts';
import { realmOf, type SeenAtServers, startOurServer } from '../e2e/keycloak-world.ts';
import { freePort, type World } from '../e2e/world.ts';
import { holdsToken } from '../holds-token.ts';
import { ask, launch, type Visitor, visit, withoutChromium } from './browser.ts';
import { startCli } from './command-line.ts';

const REALM = join(import.meta.dirname, '..', '..', 'examples', 'keycloak', 'realm.json');
const ALICE = '11111111-1111-4111-8111-111111111111';
const BOB = '22222222-2222-4222-8222-222222222222';
const withoutKeycloak =
  process.env.CI !== undefined || hasKeycloak()
    ? false
    : 'Keycloak has not been set up on this machine; under CI it is';

interface Named {
  id: string;
  name?: string;
  clientId?: string;
}

describe('sign-in at Keycloak in a browser', { skip: withoutChromium || withoutKeycloak }, () => {
  let dir: string;
  let keycloak: RunningKeycloak;
  let realm: ReturnType<typeof realmOf>;
  let ours: Awaited<ReturnType<typeof startOurServer>>;
  let world: World;
  let browser: Browser;
  let alice: Visitor;
  let bob: Visitor;
  const seen: SeenAtServers = { orders: [], hr: [], payroll: [] };

  before(
    async () => {
      await setUpKeycloak();
      dir = await mkdtemp(join(tmpdir(), 'onbehalf-sign-in-'));
      keycloak = await startKeycloak({ port: await freePort(), realm: REALM, dir });
      realm = realmOf(keycloak);
      ours = await startOurServer(keycloak.url, seen);
      world = ours.world;
      const [client] = await realm<(Named & { attributes: Record<string, string> })[]>(
        'GET',
        '/clients?clientId=onbehalf-console',
      );
      assert.ok(client);
      // In the realm's file stands the port of an ordinary start.
      await realm('PUT', `/clients/${client.id}`, {
        ...client,
        redirectUris: [`${world.url}/login/callback/keycloak`],
        attributes: {
          ...client.attributes,
          'backchannel.logout.url': `${world.url}/oidc/backchannel-logout/keycloak`,
        },
      });
      await realm('PUT', '/events/config', {
        eventsEnabled: true,
        enabledEventTypes: ['REFRESH_TOKEN', 'REFRESH_TOKEN_ERROR', 'CODE_TO_TOKEN', 'LOGOUT', 'TOKEN_EXCHANGE'],
      });
      browser = await launch(world);
      [alice, bob] = await Promise.all([visit(browser), visit(browser)]);
    },
    { timeout: 900_000 },
  );
  after(async () => {
    await browser?.close();
    await ours?.close();
    await keycloak?.stop();
    if (dir) await rm(dir, { recursive: true, force: true });
  });

  /** At Keycloak's own form. */
  async function signIn({ page }: Visitor, name: string): Promise<void> {
    await page.goto(`${world.url}/ui/`);
    await page.getByRole('link', { name: 'Sign in' }).click();
    await page.waitForURL(`${keycloak.url}/realms/office/**`);
    await page.locator('#username').fill(name);
    await page.locator('#password').fill(`${name}-password`);
    await page.locator('#kc-login').click();
    await page.waitForURL(`${world.url}/ui/**`);
    await page.getByRole('button', { name: /^Account of/ }).waitFor();
  }

  /** What the page's own cookie is worth. */
  const me = ({ page }: Visitor) =>
    page.evaluate(async () => {
      const answer = await fetch('/api/me');
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    });

  const eventsOf = async (type: string, user?: string) => {
    const all = await realm<{ userId?: string }[]>('GET', `/events?type=${type}&max=1000`);
    return all.filter(({ userId }) => user === undefined || userId === user).length;
  };
  const sessionsOf = (user: string) => realm<{ id: string }[]>('GET', `/users/${user}/sessions`);

  const condition = async () => {
    const { body } = await world.admin<{ status: { conditions?: Condition[] } }>('GET', '/trusted-issuers/keycloak');
    const { status, reason, message } =
      body.status.conditions?.find(({ type }) => type === 'SubjectTokenUnusable') ?? assert.fail('no condition');
    return { status, reason, message };
  };

  /** One turn in the page; what was called stands in the cards. */
  async function chat({ page }: Visitor, agent: string, text: string): Promise<void> {
    await page.goto(`${world.url}/ui/chat/${agent}`);
    await ask(page, text);
    await page.waitForURL(new RegExp(`/ui/chat/${agent}/[0-9a-f-]+$`));
    await page.getByText(/^now · \d+ tokens$/).waitFor();
  }

  test('C6 two people sign in at the form of Keycloak; the browser holds a cookie that no script reads, and no token', async () => {
    const addresses: string[] = [];
    alice.page.on('framenavigated', (frame) => addresses.push(frame.url()));
    await signIn(alice, 'alice');
    await signIn(bob, 'bob');
    for (const [visitor, sub] of [
      [alice, ALICE],
      [bob, BOB],
    ] as const) {
      const { status, body } = await me(visitor);
      assert.equal(status, 200);
      assert.deepEqual(
        [body.issuer, body.subject, body.role, body.signedInBy],
        [`${keycloak.url}/realms/office`, sub, 'REGULAR', 'session'],
      );
      const cookies = await visitor.context.cookies(world.url);
      assert.ok(cookies.length > 0 && cookies.every(({ httpOnly, value }) => httpOnly && !holdsToken(value)));
      const stored = await visitor.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
      assert.ok(!holdsToken(stored));
    }
    assert.ok(!holdsToken(addresses.join('\n')));
    assert.doesNotMatch(addresses.join('\n'), /id_token|access_token/);
    assert.deepEqual(await condition(), {
      status: 'False',
      reason: 'Usable',
      message: 'what people sign in with can be exchanged at the token services in use',
    });
  });

  test('exchange at Keycloak: two people, two servers, and azp names the agent', async () => {
    await chat(alice, 'assistant', 'list my orders and my vacation days balance');
    await chat(bob, 'assistant', 'list my orders and my vacation days balance');
    for (const audience of ['orders', 'hr'] as const) {
      assert.deepEqual(
        seen[audience].map(({ sub }) => sub),
        [ALICE, BOB],
      );
      for (const { aud, azp } of seen[audience]) assert.deepEqual([aud, azp], [audience, 'agent-assistant']);
    }
    // Keycloak cannot say `act`; what it says of the agent is shown.
    const drawn = alice.page.getByRole('figure', { name: /^Whose token/ }).first();
    assert.match((await drawn.getAttribute('aria-label')) ?? '', /azp agent-assistant, audience (orders|hr)$/);
    const shown = await alice.page.getByRole('main').innerText();
    assert.ok(shown.includes(`of ${ALICE}`) && !shown.includes(BOB), shown);
  });

  test('exchange at the embedded token service: act names the agent', async () => {
    await chat(alice, 'clerk', 'list my orders');
    await chat(bob, 'clerk', 'list my orders');
    assert.deepEqual(
      world.seen.orders.map(({ sub, act }) => [sub, (act as { sub: string }).sub]),
      [
        [`keycloak:${ALICE}`, 'agent:default/clerk'],
        [`keycloak:${BOB}`, 'agent:default/clerk'],
      ],
    );
  });

  test('P7 an access token that runs out is renewed once, however many ask, and only for whom it is', async () => {
    const before = [await eventsOf('REFRESH_TOKEN', ALICE), await eventsOf('REFRESH_TOKEN', BOB)];
    await realm('PUT', '', { accessTokenLifespan: 12 });
    const fresh = await visit(browser);
    await signIn(fresh, 'alice');
    await fresh.page.waitForTimeout(7_000);
    const answers = await fresh.page.evaluate(() =>
      Promise.all(Array.from({ length: 20 }, async () => (await fetch('/api/me')).status)),
    );
    assert.deepEqual(new Set(answers), new Set([200]));
    assert.deepEqual(
      [await eventsOf('REFRESH_TOKEN', ALICE), await eventsOf('REFRESH_TOKEN', BOB)],
      [(before[0] ?? 0) + 1, before[1]],
    );
    // What is exchanged afterwards is exchanged for the new token.
    const calls = seen.orders.length;
    await chat(fresh, 'assistant', 'list my orders');
    assert.equal(seen.orders.at(-1)?.sub, ALICE);
    assert.equal(seen.orders.length, calls + 1);
    await realm('PUT', '', { accessTokenLifespan: 300 });
    await fresh.context.close();
  });

  test('X13 back-channel logout: what ends at Keycloak ends here within a second, and only that login', async () => {
    await chat(bob, 'assistant', 'list my orders');
    const cookies = (await bob.context.cookies(world.url)).map(({ name, value }) => `${name}=${value}`).join('; ');
    const asked = seen.orders.length;
    // Where he has his account, not here.
    const there = await bob.context.newPage();
    await there.goto(`${keycloak.url}/realms/office/protocol/openid-connect/logout`);
    await there.locator('#kc-logout').click();
    const until = Date.now() + 1_000;
    const status = async () => (await fetch(`${world.url}/api/me`, { headers: { cookie: cookies } })).status;
    while ((await status()) !== 401) assert.ok(Date.now() < until, 'the cookie is still good');
    // The open page knows it by itself.
    await bob.page.getByText('Your sign-in has ended').waitFor();
    assert.equal((await me(alice)).status, 200);
    assert.equal(seen.orders.length, asked);
    await chat(alice, 'assistant', 'list my orders');
    assert.equal(seen.orders.at(-1)?.sub, ALICE);
    await there.close();
    await signIn(bob, 'bob');
    await chat(bob, 'assistant', 'list my orders');
    assert.equal(seen.orders.at(-1)?.sub, BOB);
  });

  test('signing out here ends the login at Keycloak: the next sign-in asks for the password', async () => {
    assert.equal((await sessionsOf(BOB)).length, 1);
    const others = (await sessionsOf(ALICE)).length;
    await bob.page.getByRole('button', { name: /^Account of/ }).click();
    await bob.page.getByRole('menuitem', { name: 'Sign out' }).click();
    await bob.page.getByText('You are signed out').waitFor();
    assert.equal((await sessionsOf(BOB)).length, 0);
    assert.equal((await sessionsOf(ALICE)).length, others);
    await signIn(bob, 'bob');
  });

  test('the command line signs in at Keycloak through the server, runs the doctor, and signs out', async () => {
    await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: alice-reads}
spec: {to: {principal: {issuer: "${keycloak.url}/realms/office", subject: ${ALICE}}}, on: {namespace: default}, verbs: [read]}
`);
    const cli = (words: string[]) => startCli(words, { ONBEHALF_URL: world.url, XDG_CONFIG_HOME: dir });
    const login = cli(['login', '--no-browser']);
    const address = await login.printed(/^ {2}(http\S+)$/m);
    const visitor = await visit(browser);
    const { page } = visitor;
    await page.goto(address);
    await page.waitForURL(`${keycloak.url}/realms/office/**`);
    await page.locator('#username').fill('alice');
    await page.locator('#password').fill('alice-password');
    await page.locator('#kc-login').click();
    await page.getByRole('button', { name: 'They are the same: sign in' }).click();
    await page.getByText('You are signed in').waitFor();
    assert.deepEqual(await visitor.context.cookies(world.url), [], 'the browser is not signed in at the server');
    await visitor.context.close();
    const done = await login.ended;
    assert.deepEqual([done.code, done.stdout.includes('(REGULAR)')], [0, true], done.stderr);
    assert.match((await cli(['whoami']).ended).stdout, new RegExp(`${ALICE}.+${keycloak.url}/realms/office`));
    const doctor = await cli(['doctor', 'token-service', 'keycloak', '--agent', 'assistant', '-o', 'json']).ended;
    assert.equal(doctor.code, 1, doctor.stderr);
    const { items: trials } = JSON.parse(doctor.stdout) as { items: { server: string; trial: { ok: boolean } }[] };
    assert.deepEqual(trials.map(({ server, trial }) => [server, trial.ok]).sort(), [
      ['hr', true],
      ['orders', true],
      ['payroll', false],
    ]);
    assert.equal((await cli(['logout']).ended).code, 0);
    assert.equal((await cli(['whoami']).ended).code, 3);
  });

  test('a mapper that is missing is named at the TrustedIssuer, and said to the person', async () => {
    const scope = (await realm<Named[]>('GET', '/client-scopes')).find(({ name }) => name === 'exchangeable');
    const path = `/client-scopes/${scope?.id}/protocol-mappers/models`;
    const mappers = await realm<(Named & object)[]>('GET', path);
    const without = async (name: string, work: () => Promise<void>) => {
      const mapper = mappers.find((one) => one.name === name) ?? assert.fail(name);
      await realm('DELETE', `${path}/${mapper.id}`);
      const visitor = await visit(browser);
      const { page } = visitor;
      await page.goto(`${world.url}/login`);
      await page.locator('#username').fill('alice');
      await page.locator('#password').fill('alice-password');
      await page.locator('#kc-login').click();
      await page.waitForURL(`${world.url}/ui/**`);
      if (name === 'audience onbehalf-api') await page.getByText('cannot be used here').waitFor();
      await work();
      await visitor.context.close();
      await realm('POST', path, mapper);
    };
    await without('audience agent-assistant', async () => {
      const found = await condition();
      assert.deepEqual([found.status, found.reason], ['True', 'RequesterNotInAudience']);
      assert.match(found.message, /TokenService keycloak exchanges as agent-assistant.+audience mapper/);
    });
    await without('audience platform', async () => {
      const found = await condition();
      assert.deepEqual([found.status, found.reason], ['True', 'RequesterNotInAudience']);
      assert.match(found.message, /TokenService onbehalf .+platform/);
    });
    await without('audience onbehalf-api', async () => {
      const found = await condition();
      assert.deepEqual([found.status, found.reason], ['True', 'NotAccepted']);
      assert.match(found.message, /audience_mismatch/);
    });
    const last = await visit(browser);
    await signIn(last, 'alice');
    assert.equal((await condition()).status, 'False');
    await last.context.close();
  });
});
