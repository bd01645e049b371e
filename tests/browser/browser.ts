import { existsSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import type { World } from '../e2e/world.ts';

const CHROMIUM = '/usr/bin/chromium';
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** For `describe(…, { skip })`. Where the tests must not be left out (CI=true) they run, and fail at the launch. */
export const withoutChromium: string | false =
  existsSync(CHROMIUM) || process.env.CI === 'true' ? false : `${CHROMIUM} is missing: apt-get install chromium`;

export interface Wire extends AsyncDisposable {
  port: number;
  /** Cuts every connection, and refuses new ones until `mend`. */
  cut(): void;
  mend(): void;
}

/** The network between browser and server, to be cut. */
export async function startWire(target: number): Promise<Wire> {
  const open = new Set<Socket>();
  let down = false;
  const server = createServer((near) => {
    if (down) return near.destroy();
    const far = connect(target, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = () => {
    down = true;
    for (const socket of open) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    mend: () => {
      down = false;
    },
    async [Symbol.asyncDispose]() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Debian's Chromium; what it sends to the server's address goes over the wire, if there is one. */
export function launch(world: World, wire?: Wire): Promise<Browser> {
  const rules = wire ? [`--host-resolver-rules=MAP localhost:${new URL(world.url).port} 127.0.0.1:${wire.port}`] : [];
  return chromium.launch({ executablePath: CHROMIUM, args: [...ARGUMENTS, ...rules] });
}

export interface Visitor {
  context: BrowserContext;
  page: Page;
  /** Everything that the browser complained about: refused by the policy, thrown, failed. */
  complaints: string[];
}

export async function visit(browser: Browser, options: Parameters<Browser['newContext']>[0] = {}): Promise<Visitor> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    // Chromium notes each refusal of the API and each cut as an error; what is left is the page's own fault.
    if (message.type() === 'error' && !/Failed to load resource|^WebSocket connection to/.test(message.text()))
      complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  return { context, page, complaints };
}

/** By a one-time link, as a person does it. */
export async function signInByLink(world: World, { page }: Visitor, user: string): Promise<void> {
  const { body } = await world.admin<{ url: string }>('POST', '/login-links', { user });
  await page.goto(body.url);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL(`${world.url}/ui/**`);
  const signIn = page.getByRole('link', { name: 'Sign in' });
  const account = page.getByRole('button', { name: /^Account of/ });
  await signIn.or(account).first().waitFor();
  // The link signs in at the issuer; the console then asks the issuer, which asks nothing any more.
  if (await signIn.isVisible()) await signIn.click();
  await account.waitFor();
}

export async function ask(page: Page, text: string): Promise<void> {
  const box = page.getByRole('textbox', { name: /^Message to/ });
  await box.fill(text);
  await box.press('Enter');
}
