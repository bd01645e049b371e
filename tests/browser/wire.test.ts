import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startWorld, type World } from '../e2e/world.ts';
import { ask, launch, signInByLink, startWire, type Visitor, visit, type Wire, withoutChromium } from './browser.ts';

const answers = (page: Page) => page.locator('.markdown');
const connection = (page: Page, state: string) => page.locator(`[data-connection="${state}"]`);

describe('an answer, as it is written', { skip: withoutChromium }, () => {
  let world: World;
  let wire: Wire;
  let browser: Browser;
  let alice: Visitor;
  before(async () => {
    world = await startWorld();
    wire = await startWire(Number(new URL(world.url).port));
    browser = await launch(world, wire);
    alice = await visit(browser);
    await signInByLink(world, alice, 'alice');
    await alice.page.goto(`${world.url}/ui/chat/assistant`);
    await ask(alice.page, 'Hello');
    await alice.page.getByText(/^now · \d+ tokens$/).waitFor();
  });
  after(async () => {
    await browser?.close();
    await wire?.[Symbol.asyncDispose]();
    await world?.[Symbol.asyncDispose]();
  });

  /** How long the text is, again and again, until `enough`. */
  async function lengths(page: Page, enough: (seen: number[]) => boolean): Promise<number[]> {
    const seen: number[] = [];
    while (!enough(seen)) {
      const length = (await answers(page).last().textContent())?.length ?? 0;
      if (length !== seen.at(-1)) seen.push(length);
      await page.waitForTimeout(30);
    }
    return seen;
  }

  test('text appears piece by piece', async () => {
    const { page } = alice;
    await ask(page, '!slow what can you do');
    await page.getByRole('button', { name: 'Stop' }).waitFor();
    const before = await answers(page).count();
    await answers(page).nth(1).waitFor();
    const seen = await lengths(page, (known) => known.length >= 4);
    assert.deepEqual(
      [...seen].sort((a, b) => a - b),
      seen,
      'text only grows',
    );
    assert.ok(before <= 2);
  });

  test('Stop stops the work of the server, and says so', async () => {
    const { page } = alice;
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('Stopped', { exact: true }).waitFor();
    const length = (await answers(page).last().textContent())?.length;
    const token = await world.token('alice');
    const session = page.url().split('/').at(-1);
    const { body } = await world.as<{ events: { type: string; data: { state?: string } }[] }>(
      token,
      'GET',
      `/agents/assistant/sessions/${session}/events`,
    );
    assert.equal(body.events.findLast(({ type }) => type === 'turn.ended')?.data.state, 'stopped');
    await page.waitForTimeout(500);
    assert.equal((await answers(page).last().textContent())?.length, length, 'nothing comes after the end');
  });

  test('a turn that failed says why, and can be tried again', async () => {
    const { page } = alice;
    await ask(page, '!error');
    await page.getByText('Failed: model_unavailable').waitFor();
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('Failed: model_unavailable').nth(1).waitFor();
    assert.equal(await page.getByText('!error', { exact: true }).count(), 2);
  });

  test('a cut wire in mid-turn: the rest comes afterwards, nothing lost and nothing twice', async () => {
    const { page } = alice;
    const first = await answers(page).first().innerText();
    const asked = await page.getByText('!slow and again', { exact: true }).count();
    assert.equal(asked, 0);
    await ask(page, '!slow and again');
    await page.getByText('!slow and again', { exact: true }).waitFor();
    await lengths(page, (known) => known.length >= 3);
    wire.cut();
    await connection(page, 'reconnecting').waitFor();
    await page.waitForTimeout(700);
    wire.mend();
    await connection(page, 'open').waitFor();
    await page
      .getByText(/ tokens$/)
      .nth(1)
      .waitFor({ timeout: 20_000 });
    const resumed = await answers(page).last().innerText();
    assert.equal(resumed, first, 'the planner introduces itself with the same words each time');
    assert.equal(await page.getByText('!slow and again', { exact: true }).count(), 1);
    await page.reload();
    await page
      .getByText(/ tokens$/)
      .nth(1)
      .waitFor();
    assert.equal(await answers(page).last().innerText(), first);
    assert.equal(await page.getByText('!slow and again', { exact: true }).count(), 1);
  });

  test('a message that was sent while the wire was cut arrives once', async () => {
    const { page } = alice;
    await connection(page, 'open').waitFor();
    wire.cut();
    await connection(page, 'reconnecting').waitFor();
    await ask(page, 'Are you there');
    await page.waitForTimeout(600);
    wire.mend();
    await page
      .getByText(/ tokens$/)
      .nth(2)
      .waitFor({ timeout: 20_000 });
    assert.equal(await page.getByText('Are you there', { exact: true }).count(), 1);
  });

  test('Shift+Enter begins a new line and sends nothing', async () => {
    const { page } = alice;
    const box = page.getByRole('textbox', { name: /^Message to/ });
    await box.fill('one');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('two');
    assert.equal(await box.inputValue(), 'one\ntwo');
  });
});
