import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startWorld, type World } from '../e2e/world.ts';
import { holdsToken } from '../holds-token.ts';
import { ask, launch, signInByLink, type Visitor, visit, withoutChromium } from './browser.ts';

const QUESTION = 'What have I ordered, and how many vacation days do I have left?';

/** The drawing on a tool card, as a screen reader says it. */
const tokenOf = (page: Page, tool: string) =>
  page.getByRole('article', { name: `Tool call ${tool}` }).getByRole('figure', { name: /^Whose token/ });

describe('two people in two browsers', { skip: withoutChromium }, () => {
  let world: World;
  let browser: Browser;
  let alice: Visitor;
  let bob: Visitor;
  before(async () => {
    world = await startWorld();
    browser = await launch(world);
    [alice, bob] = await Promise.all([visit(browser), visit(browser)]);
  });
  after(async () => {
    await browser?.close();
    await world?.[Symbol.asyncDispose]();
  });

  test('somebody who is not signed in sees the sign-in and nothing else', async () => {
    const { page } = alice;
    await page.goto(`${world.url}/ui/exchanges?server=orders`);
    const link = page.getByRole('link', { name: 'Sign in' });
    assert.equal(await link.getAttribute('href'), '/login?returnTo=%2Fui%2Fexchanges%3Fserver%3Dorders');
    assert.equal(await page.getByRole('navigation').count(), 0);
    await page.goto(`${world.url}/ui/?signin=failed`);
    assert.match(await page.getByRole('alert').innerText(), /did not work/);
  });

  test('each signs in by a one-time link, which works once', async () => {
    const { body } = await world.admin<{ url: string }>('POST', '/login-links', { user: 'alice' });
    await alice.page.goto(body.url);
    await alice.page.getByRole('button', { name: 'Continue' }).click();
    await alice.page.waitForURL(`${world.url}/ui/**`);
    await signInByLink(world, bob, 'bob');
    const spare = await browser.newContext();
    const page = await spare.newPage();
    await page.goto(body.url);
    await page.getByText('was used already').waitFor();
    await spare.close();
    await signInByLink(world, alice, 'alice');
    for (const [visitor, name] of [
      [alice, 'ALICE'],
      [bob, 'BOB'],
    ] as const) {
      await visitor.page.getByRole('button', { name: `Account of ${name}` }).click();
      await visitor.page.getByText('REGULAR', { exact: true }).waitFor();
      await visitor.page.keyboard.press('Escape');
    }
  });

  test('the same agent answers each with their own data, under a token of their own for each server', async () => {
    for (const [visitor, user] of [
      [alice, 'alice'],
      [bob, 'bob'],
    ] as const) {
      const { page } = visitor;
      await page.goto(`${world.url}/ui/chat/assistant`);
      await ask(page, QUESTION);
      await page.waitForURL(/\/ui\/chat\/assistant\/[0-9a-f-]+$/);
      await page.getByText(/^now · \d+ tokens$/).waitFor();
      const orders = await tokenOf(page, 'orders.list_orders').getAttribute('aria-label');
      const hr = await tokenOf(page, 'hr.get_balance').getAttribute('aria-label');
      assert.equal(orders, `Whose token: subject ${user}, act agent:default/assistant, audience ${world.orders.url}`);
      assert.equal(hr, `Whose token: subject ${user}, act agent:default/assistant, audience ${world.hr.url}`);
      const card = page.getByRole('article', { name: 'Tool call orders.list_orders' });
      assert.match(await card.innerText(), /exchanged in [\d.]+ ms/);
      await card.getByText('Arguments and result').click();
      assert.match(await card.getByRole('region', { name: 'Result' }).innerText(), new RegExp(`Desk lamp for ${user}`));
    }
    const said = async ({ page }: Visitor) => page.getByRole('main').innerText();
    assert.doesNotMatch(await said(alice), /bob/i);
    assert.doesNotMatch(await said(bob), /alice/i);
  });

  test('I1 each sees only their own conversations and exchanges, and an address of the other leads nowhere', async () => {
    const foreign = bob.page.url();
    await alice.page.goto(`${world.url}/ui/chat`);
    await alice.page.getByRole('complementary').getByRole('listitem').first().waitFor();
    assert.equal(await alice.page.getByRole('complementary').getByRole('listitem').count(), 1);
    await alice.page.goto(foreign);
    await alice.page.getByRole('heading', { name: 'This conversation is gone' }).waitFor();
    await alice.page.goto(`${world.url}/ui/exchanges`);
    const rows = alice.page.getByRole('list', { name: /^Exchanges/ }).getByRole('listitem');
    await rows.first().waitFor();
    assert.equal(await rows.count(), 2);
    const texts = (await rows.allInnerTexts()).join('\n');
    for (const server of [world.orders.url, world.hr.url]) assert.ok(texts.includes(server), server);
    assert.doesNotMatch(texts, /bob/);
  });

  test('filters and the open entry are in the address; the claims are there, a token is not', async () => {
    const { page } = alice;
    await page.getByLabel('Server').selectOption('default/hr');
    await page.waitForURL(/server=default%2Fhr/);
    const rows = page.getByRole('list', { name: /^Exchanges/ }).getByRole('listitem');
    await rows.filter({ hasText: 'orders.' }).first().waitFor({ state: 'detached' });
    await rows.first().waitFor();
    assert.equal(await rows.count(), 1);
    await rows.getByRole('link').click();
    await page.waitForURL(/id=/);
    const linked = page.url();
    await page.reload();
    assert.equal(page.url(), linked);
    const detail = page.getByRole('dialog', { name: 'Token for hr' });
    const claims = JSON.parse(await detail.getByRole('region', { name: 'Claims' }).innerText()) as Record<
      string,
      unknown
    >;
    assert.equal(claims.sub, 'alice');
    assert.deepEqual([claims.aud].flat(), [world.hr.url]);
    assert.ok(!holdsToken(await page.content()));
    await page.keyboard.press('Escape');
    await page.waitForURL((url) => !url.search.includes('id='));
  });

  test('a conversation can be renamed, found and deleted', async () => {
    const { page } = bob;
    const list = page.getByRole('complementary');
    await list.getByRole('button', { name: /^More about/ }).click();
    await page.getByRole('menuitem', { name: 'Rename' }).click();
    await page.getByRole('textbox', { name: 'New name' }).waitFor();
    // Key by key, as a person does: what is typed replaces the old name, and nothing selects it again meanwhile.
    await page.keyboard.type('Orders of autumn');
    await page.keyboard.press('Enter');
    await list.getByRole('link', { name: /Orders of autumn/ }).waitFor();
    await page.getByRole('searchbox', { name: 'Search your conversations' }).fill('winter');
    await list.getByText('Nothing matches').waitFor();
    await page.getByRole('searchbox', { name: 'Search your conversations' }).fill('autumn');
    await list.getByRole('button', { name: 'More about Orders of autumn' }).click();
    await page.getByRole('menuitem', { name: 'Delete' }).click();
    await page.getByRole('alertdialog').getByRole('button', { name: 'Keep it' }).click();
    await list.getByRole('button', { name: 'More about Orders of autumn' }).click();
    await page.getByRole('menuitem', { name: 'Delete' }).click();
    await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click();
    await page.waitForURL(/\/ui\/chat\/?(\?|$)/);
    await list.getByText('None yet').waitFor();
  });

  test('what an administrator takes away is gone from the screen at once', async () => {
    const { page } = bob;
    await page.goto(`${world.url}/ui/chat/assistant`);
    await ask(page, 'What have I ordered?');
    await page.getByText(/^now · \d+ tokens$/).waitFor();
    await world.admin('DELETE', '/grants/bob-runs-assistant');
    await page.getByRole('status').filter({ hasText: 'Your access was taken away' }).waitFor();
    await world.admin('PATCH', '/principals', { issuer: world.url, subject: 'bob', disabled: true });
    await page.goto(`${world.url}/ui/exchanges`);
    await page
      .getByRole('link', { name: 'Sign in' })
      .or(page.getByText('Your account may not use this server'))
      .waitFor();
    assert.doesNotMatch(await page.content(), /orders/);
  });

  test('signing out ends the session on the server and clears the screen', async () => {
    const { page, context } = alice;
    const cookies = await context.cookies();
    const second = await context.newPage();
    await second.goto(`${world.url}/ui/agents`);
    await second.getByRole('heading', { name: 'assistant' }).waitFor();
    await page.getByRole('button', { name: 'Account of ALICE' }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.getByText('You are signed out').waitFor();
    assert.doesNotMatch(await page.content(), /alice/i);
    await second.getByText('Your sign-in has ended').waitFor();
    const stolen = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
    assert.equal((await fetch(`${world.url}/api/me`, { headers: { cookie: stolen } })).status, 401);
    await page.goBack().catch(() => undefined);
    assert.doesNotMatch(await page.content(), /Desk lamp/);
    assert.deepEqual(alice.complaints, []);
  });
});
