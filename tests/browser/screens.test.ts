import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import axe from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { startWorld, type World } from '../e2e/world.ts';
import { ask, launch, signInByLink, type Visitor, visit, withoutChromium } from './browser.ts';

const WCAG = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const QUESTION = 'What have I ordered, show the details of the latest one, and how many vacation days do I have left?';

interface AxeResults {
  violations: { id: string; help: string; nodes: { target: string[]; failureSummary: string }[] }[];
}

/** Rules of WCAG 2.2 AA that a machine can check. A focus guard of Base UI hands the focus on before anybody notices it. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const results = await page.evaluate<AxeResults>(
    `axe.run({ exclude: [['[data-base-ui-focus-guard]']] }, { runOnly: { type: 'tag', values: ${JSON.stringify(WCAG)} } })`,
  );
  return results.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary}`),
  );
}

describe('each screen, in light and dark, wide and narrow', { skip: withoutChromium }, () => {
  let world: World;
  let browser: Browser;
  let alice: Visitor;
  let session: string;
  before(async () => {
    world = await startWorld();
    browser = await launch(world);
    // Its policy stops the checker's own script, which no visitor would bring.
    alice = await visit(browser, { bypassCSP: true, reducedMotion: 'reduce' });
    await signInByLink(world, alice, 'alice');
    const { page } = alice;
    await page.goto(`${world.url}/ui/chat/assistant`);
    await ask(page, QUESTION);
    await page.getByText(/ tokens$/).waitFor();
    session = page.url();
  });
  after(async () => {
    await browser?.close();
    await world?.[Symbol.asyncDispose]();
  });

  /** Looks at what is there now: in both colour schemes, and narrow without anything to the side. */
  async function examine(page: Page, name: string) {
    const folder = process.env.ONBEHALF_SCREENSHOTS;
    if (folder !== undefined) mkdirSync(folder, { recursive: true });
    const wide = page.viewportSize() ?? { width: 1280, height: 800 };
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(150);
      assert.deepEqual(await violations(page), [], `${name}, ${colorScheme}`);
      if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}-${colorScheme}.png`) });
    }
    await page.setViewportSize({ width: 360, height: 740 });
    await page.waitForTimeout(100);
    const overflow = await page.evaluate<number>(
      'document.documentElement.scrollWidth - document.documentElement.clientWidth',
    );
    assert.equal(overflow, 0, `${name}: something is wider than 360 px`);
    assert.deepEqual(await violations(page), [], `${name}, narrow`);
    if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}-narrow.png`) });
    await page.setViewportSize(wide);
  }

  const screens: readonly [name: string, path: string, ready: (page: Page) => Promise<unknown>][] = [
    ['agents', '/ui/agents', (page) => page.getByRole('heading', { name: 'assistant' }).waitFor()],
    ['agent', '/ui/agents/assistant', (page) => page.getByText('can be talked to').waitFor()],
    ['agent-tools', '/ui/agents/assistant?tab=tools', (page) => page.getByText('refund_order').waitFor()],
    ['agent-access', '/ui/agents/assistant?tab=access', (page) => page.getByText('alice-runs-assistant').waitFor()],
    ['agent-yaml', '/ui/agents/assistant?tab=yaml', (page) => page.getByText('apiVersion').waitFor()],
    ['models', '/ui/models', (page) => page.getByText('not a language model', { exact: false }).first().waitFor()],
    ['chat', '/ui/chat', (page) => page.getByRole('link', { name: /^assistant/ }).waitFor()],
    ['new-chat', '/ui/chat/assistant', (page) => page.getByText('get_balance').waitFor()],
    [
      'exchanges',
      '/ui/exchanges',
      (page) =>
        page
          .getByRole('list', { name: /^Exchanges/ })
          .getByText('cached')
          .waitFor(),
    ],
    ['not-found', '/ui/nothing/here', (page) => page.getByText('There is no such page').waitFor()],
    ['gone', '/ui/agents/nobody', (page) => page.getByRole('alert').waitFor()],
  ];
  for (const [name, path, ready] of screens)
    test(`${name} has no violation of WCAG AA`, async () => {
      await alice.page.goto(`${world.url}${path}`);
      await ready(alice.page);
      await examine(alice.page, name);
    });

  test('a conversation has none either, with its cards open', async () => {
    const { page } = alice;
    await page.goto(session);
    await page.getByText(/ tokens$/).waitFor();
    await examine(page, 'conversation');
    await page.getByText('Arguments and result').last().click();
    await ask(page, '!error');
    await page.getByText('Failed: model_unavailable').waitFor();
    await examine(page, 'conversation-failed');
  });

  test('nor have the detail of an exchange, the menu and the question before deleting', async () => {
    const { page } = alice;
    await page.goto(`${world.url}/ui/exchanges`);
    await page
      .getByRole('list', { name: /^Exchanges/ })
      .getByRole('link')
      .first()
      .click();
    await page.getByRole('dialog').waitFor();
    await page.waitForTimeout(250);
    await examine(page, 'exchange');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: /^Account of/ }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).waitFor();
    await examine(page, 'account');
    await page.goto(session);
    await page
      .getByRole('complementary')
      .getByRole('button', { name: /^More about/ })
      .click();
    await page.getByRole('menuitem', { name: 'Delete' }).click();
    await page.getByRole('alertdialog').waitFor();
    await page.waitForTimeout(250);
    await examine(page, 'delete');
  });

  test('a token that was refused shows why, and who must act', async () => {
    await world.applied(behindBrokenTokenService(world));
    await world.admin('PUT', '/secrets/broken/values', { data: { secret: 'not a real one' } });
    await world.admin('POST', '/mcp-servers/payroll/actions/test');
    const { page } = alice;
    await page.goto(`${world.url}/ui/chat/accountant`);
    await ask(page, 'How many vacation days is my balance?');
    await page.getByText(/ tokens$/).waitFor();
    const card = page.getByRole('article', { name: 'Tool call payroll.get_balance' });
    assert.match(await card.innerText(), /refused: [a-z_]+/);
    assert.match(await card.innerText(), /must act/);
    await examine(page, 'conversation-refused');
    await page.goto(`${world.url}/ui/exchanges?result=refused`);
    await page
      .getByRole('list', { name: /^Exchanges/ })
      .getByText(/^refused/)
      .first()
      .waitFor();
    await examine(page, 'exchanges-refused');
  });

  test('the first load of a conversation, its largest screen, is at most 250 kB gzip', async () => {
    const visitor = await visit(browser, { storageState: await alice.context.storageState() });
    const sizes: Promise<number>[] = [];
    visitor.page.on('response', (response) => {
      if (response.url().startsWith(`${world.url}/ui/`))
        sizes.push(response.body().then((body) => gzipSync(body).length));
    });
    await visitor.page.goto(session);
    await visitor.page.getByText(/ tokens$/).waitFor();
    const sum = (await Promise.all(sizes)).reduce((total, size) => total + size, 0);
    assert.ok(sizes.length > 5);
    assert.ok(sum <= 250_000, `${sum} bytes`);
    await visitor.context.close();
  });

  test('nor has the sign-in, nor an empty console', async () => {
    const visitor = await visit(browser, { bypassCSP: true, reducedMotion: 'reduce' });
    await visitor.page.goto(`${world.url}/ui/?signin=failed`);
    await visitor.page.getByRole('link', { name: 'Sign in' }).waitFor();
    await examine(visitor.page, 'sign-in');
    await signInByLink(world, visitor, 'carol');
    for (const [path, words] of [
      ['/ui/agents', 'No agent that you may see'],
      ['/ui/exchanges', 'No exchange yet'],
      ['/ui/chat', 'Nobody to talk to yet'],
    ] as const) {
      await visitor.page.goto(`${world.url}${path}`);
      await visitor.page.getByText(words).waitFor();
      await examine(visitor.page, `empty${path.replaceAll('/', '-')}`);
    }
    await visitor.context.close();
  });

  test('the theme is chosen by button, kept in this browser, and everything is reached by keyboard', async () => {
    const { page } = alice;
    await page.emulateMedia({ colorScheme: 'light' });
    await page.goto(`${world.url}/ui/agents`);
    const background = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    const light = await background();
    const toggle = page.getByRole('button', { name: /^Theme/ });
    await toggle.click();
    assert.equal(await background(), light);
    await toggle.click();
    const dark = await background();
    assert.notEqual(dark, light);
    await page.reload();
    await page.getByRole('heading', { name: 'assistant' }).waitFor();
    assert.equal(await background(), dark);
    await toggle.click();
    await page.keyboard.press('Tab');
    await page.goto(`${world.url}/ui/agents`);
    await page.getByRole('heading', { name: 'assistant' }).waitFor();
    const reached: string[] = [];
    for (let step = 0; step < 14; step++) {
      await page.keyboard.press('Tab');
      reached.push(await page.evaluate<string>('document.activeElement.textContent'));
    }
    for (const name of ['Skip to content', 'Chat', 'Exchanges', 'assistant'])
      assert.ok(
        reached.some((text) => text.includes(name)),
        `${name} in ${reached.join(' | ')}`,
      );
  });
});

/** A tool server like `hr`, whose token service nobody answers for. */
function behindBrokenTokenService({ url, hr }: World): string {
  return `
apiVersion: onbehalf.dev/v1alpha1
kind: TokenService
metadata: {name: broken}
spec:
  issuer: http://127.0.0.1:1
  endpoint: http://127.0.0.1:1/token
  profile: rfc8693
  client: {id: onbehalf, auth: SecretBasic, secretRef: {name: broken, namespace: default, key: secret}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Secret
metadata: {name: broken}
spec: {}
---
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: payroll}
spec:
  url: ${hr.url}
  auth:
    mode: Exchange
    tokenServiceRef: {name: broken}
    resourceFrom: ServerURL
    scopes: [hr.read]
    discovery: {mode: None}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: accountant}
spec:
  type: Declarative
  declarative:
    modelConfigRef: {name: default}
    tools: [{type: McpServer, mcpServer: {name: payroll, toolNames: [get_balance]}}]
---
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: alice-runs-accountant}
spec:
  to: {principal: {issuer: "${url}", subject: alice}}
  on: {kind: Agent, name: accountant}
  verbs: [run]
`;
}
