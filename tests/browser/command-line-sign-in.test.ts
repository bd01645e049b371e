import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { signInCode } from '@onbehalf/resources';
import type { Browser } from 'playwright-core';
import { type OtherIssuer, startOtherIssuer } from '../../packages/platform/test/login/other-issuer.ts';
import { startWorld, type World } from '../e2e/world.ts';
import { launch, signInByLink, type Visitor, visit, withoutChromium } from './browser.ts';
import { startCli } from './command-line.ts';

const YES = 'They are the same: sign in';
const challenge = createHash('sha256').update('v'.repeat(43)).digest('base64url');

describe('sign-in of the command line in a browser', { skip: withoutChromium }, () => {
  let world: World;
  let office: OtherIssuer;
  let browser: Browser;
  let alice: Visitor;
  /** A page of another site, and a program that listens on a port of this machine. */
  let attacker: Server;
  let caught: string[];
  let port: number;

  before(async () => {
    world = await startWorld();
    office = await startOtherIssuer('office');
    const secret = await world.admin('POST', '/secrets', {
      ...{ apiVersion: 'onbehalf.dev/v1alpha1', kind: 'Secret', metadata: { name: 'office' } },
      spec: { data: { secret: 'a secret of 32 characters, or more' } },
    });
    assert.equal(secret.status, 201, JSON.stringify(secret.body));
    await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: TrustedIssuer
metadata: {name: office}
spec:
  issuer: ${office.url}
  jwksUri: ${office.url}/jwks
  algorithms: [ES256]
  audiences: {api: [our-api]}
  maxRole: REGULAR
  login:
    client: {id: onbehalf-console, auth: SecretBasic, secretRef: {name: office, key: secret, namespace: default}}
`);
    caught = [];
    attacker = createServer((request, response) => {
      if (request.url?.startsWith('/callback')) caught.push(request.url);
      const page = new URL(request.url ?? '/', 'http://x').searchParams.get('page') ?? '';
      response.writeHead(200, { 'content-type': 'text/html' }).end(page);
    });
    await new Promise<void>((resolve) => attacker.listen(0, '127.0.0.1', resolve));
    port = (attacker.address() as AddressInfo).port;
    browser = await launch(world);
    alice = await visit(browser);
    await signInByLink(world, alice, 'alice');
  });
  after(async () => {
    await browser?.close();
    await new Promise((resolve) => attacker.close(resolve));
    await world?.[Symbol.asyncDispose]();
    await office?.[Symbol.asyncDispose]();
  });

  const query = (more: Record<string, string> = {}) =>
    new URLSearchParams({
      ...{ client_id: 'cli', response_type: 'code', redirect_uri: `http://127.0.0.1:${port}/callback` },
      ...{ scope: 'openid offline_access', resource: `${world.url}/api`, state: 'a-state-of-20-letters' },
      ...{ code_challenge: challenge, code_challenge_method: 'S256' },
      ...more,
    });
  const hostile = (html: string) => `http://127.0.0.1:${port}/?${new URLSearchParams({ page: html })}`;

  test('G1 an attacker’s page with a signed-in browser gets no code: not by sending it there, by a frame, or by posting the form', async () => {
    const { page } = alice;
    const address = `${world.url}/oidc/auth?${query()}`;
    await page.goto(hostile(`<script>location = ${JSON.stringify(address)}</script>`));
    await page.getByRole('button', { name: YES }).waitFor();
    assert.match(await page.getByRole('main').innerText(), new RegExp(`127\\.0\\.0\\.1:${port}`));
    assert.match(await page.getByRole('main').innerText(), new RegExp(signInCode(challenge)));
    const pending = page.url();
    // A key that was meant for another window presses nothing.
    await page.keyboard.press('Enter');
    await page.keyboard.press('Space');
    assert.equal(page.url(), pending);
    // Its own page posts what ours would have.
    await page.goto(
      hostile(
        `<form method=post action="${pending}"><input name=decision value=yes></form><script>document.forms[0].submit()</script>`,
      ),
    );
    await page.waitForURL(pending);
    assert.match(await page.getByRole('main').innerText(), /That did not work/);
    await page.goto(
      hostile(
        `<iframe src="${pending}"></iframe><iframe src="${world.url}/oidc/auth?${query({ prompt: 'none' })}"></iframe>`,
      ),
    );
    await page.waitForLoadState('networkidle');
    await page.goto(`${world.url}/oidc/auth?${query({ prompt: 'none' })}`);
    await page.waitForURL(`http://127.0.0.1:${port}/callback**`);
    assert.match(caught.at(-1) ?? '', /error=interaction_required/);
    assert.deepEqual(
      caught.filter((url) => /[?&]code=/.test(url)),
      [],
    );
  });

  test('a person sees the same six characters in the terminal and on the page, confirms, and the browser lets the code through', async () => {
    const env = { ONBEHALF_URL: world.url, XDG_CONFIG_HOME: join(world.dataDir, 'alice') };
    const cli = startCli(['login', '--no-browser'], env);
    const address = await cli.printed(/^ {2}(http\S+)$/m);
    const code = await cli.printed(/page shows (\S+)/);
    const { page, complaints } = alice;
    complaints.length = 0;
    await page.goto(address);
    const shown = await page.getByRole('main').innerText();
    for (const part of ['ALICE', code]) assert.ok(shown.toUpperCase().includes(part), shown);
    await page.getByRole('button', { name: YES }).click();
    await page.getByText('You are signed in').waitFor();
    const done = await cli.ended;
    assert.deepEqual([done.code, /signed in at .+ \(REGULAR\)/.test(done.stdout)], [0, true], done.stderr);
    assert.deepEqual(complaints, []);
    // And who says no is not signed in.
    const again = startCli(['login', '--no-browser'], { ...env, XDG_CONFIG_HOME: join(world.dataDir, 'nobody') });
    await page.goto(await again.printed(/^ {2}(http\S+)$/m));
    await page.getByRole('button', { name: 'No', exact: true }).click();
    const refused = await again.ended;
    assert.equal(refused.code, 3);
    assert.match(refused.stderr, /said no/);
  });

  test('at another issuer the account is named after the provider has said who it is, and nothing is handed on before', async () => {
    const visitor = await visit(browser);
    const { page, complaints } = visitor;
    // The provider knows this browser, and asks for nothing.
    office.change.knows = 'bob';
    const before = caught.length;
    await page.goto(
      hostile(`<script>location = ${JSON.stringify(`${world.url}/login/cli?${query({ issuer: 'office' })}`)}</script>`),
    );
    await page.getByRole('button', { name: YES }).waitFor();
    assert.match(await page.getByRole('main').innerText(), /BOB \(bob\)/);
    assert.equal(caught.length, before);
    const env = { ONBEHALF_URL: world.url, XDG_CONFIG_HOME: join(world.dataDir, 'bob') };
    const cli = startCli(['login', '--issuer', 'office', '--no-browser'], env);
    const code = await cli.printed(/page shows (\S+)/);
    await page.goto(await cli.printed(/^ {2}(http\S+)$/m));
    assert.match(await page.getByRole('main').innerText(), new RegExp(code));
    complaints.length = 0;
    await page.getByRole('button', { name: YES }).click();
    await page.getByText('You are signed in').waitFor();
    const done = await cli.ended;
    assert.equal(done.code, 0, done.stderr);
    assert.deepEqual(complaints, []);
    const kept = (await visitor.context.cookies(world.url)).filter(({ name }) => !name.includes('_begin_'));
    assert.deepEqual(kept, [], 'the browser is not signed in at the server');
    await visitor.context.close();
  });
});
