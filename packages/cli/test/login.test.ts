import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, readdir, readFile, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { tokenFile } from '../src/token-file.ts';
import { cli, type Seen, startServer, temporaryDirectory } from './harness.ts';

/** An issuer with one user, who agrees at once. It knows PKCE, the redirect and rotation, and nothing of our code. */
async function startIssuer(options: { lifetimeS?: number; iss?: string } = {}) {
  const codes = new Map<string, { challenge: string; redirect: string }>();
  const state = {
    refresh: 'r-1',
    generation: 1,
    refreshes: 0,
    revoked: [] as string[],
    authorized: [] as URL[],
    down: false,
  };
  const tokens = () => ({
    access_token: `access-${state.generation}`,
    refresh_token: state.refresh,
    token_type: 'Bearer',
    expires_in: options.lifetimeS ?? 300,
  });
  const server = await startServer((seen, response) => {
    const url = new URL(seen.path, issuer.url);
    const form = new URLSearchParams(seen.text);
    if (url.pathname === '/.well-known/openid-configuration')
      return {
        status: 200,
        body: {
          issuer: issuer.url,
          authorization_endpoint: `${issuer.url}/authorize`,
          token_endpoint: `${issuer.url}/token`,
          revocation_endpoint: `${issuer.url}/revoke`,
        },
      };
    if (url.pathname === '/authorize') {
      state.authorized.push(url);
      const query = url.searchParams;
      const redirect = query.get('redirect_uri') ?? '';
      codes.set('code-1', { challenge: query.get('code_challenge') ?? '', redirect });
      const back = new URL(redirect);
      back.searchParams.set('code', 'code-1');
      back.searchParams.set('state', query.get('state') ?? '');
      back.searchParams.set('iss', options.iss ?? issuer.url);
      response.writeHead(303, { location: back.href }).end();
      return 'handled';
    }
    if (url.pathname === '/revoke') {
      state.revoked.push(form.get('token') ?? '');
      return { status: 200, body: {} };
    }
    if (url.pathname === '/token') {
      if (state.down) return { status: 503, body: {} };
      if (form.get('grant_type') === 'authorization_code') {
        const known = codes.get(form.get('code') ?? '');
        codes.clear();
        const hash = createHash('sha256')
          .update(form.get('code_verifier') ?? '')
          .digest('base64url');
        const good =
          known?.challenge === hash && known.redirect === form.get('redirect_uri') && form.get('client_id') === 'cli';
        return good ? { status: 200, body: tokens() } : { status: 400, body: { error: 'invalid_grant' } };
      }
      if (form.get('refresh_token') !== state.refresh) return { status: 400, body: { error: 'invalid_grant' } };
      state.refreshes++;
      state.generation++;
      state.refresh = `r-${state.generation}`;
      return { status: 200, body: tokens() };
    }
    if (url.pathname === '/api/me') {
      const good = seen.headers.authorization === `Bearer access-${state.generation}`;
      return good
        ? { status: 200, body: { issuer: issuer.url, subject: 'alice', role: 'REGULAR', groups: [] } }
        : { status: 401, body: { code: 'unauthenticated', title: 'no', status: 401 } };
    }
    return undefined;
  });
  const issuer = {
    url: server.url,
    seen: server.seen as Seen[],
    state,
    [Symbol.asyncDispose]: server[Symbol.asyncDispose],
  };
  return issuer;
}

/** Follows the redirects, as a browser does. */
const browse = (url: string) => {
  fetch(url).catch(() => undefined);
  return true;
};

test('login by code with PKCE over a loopback redirect; the tokens are in a file of mode 0600 and nowhere else', async () => {
  await using directory = await temporaryDirectory();
  await using issuer = await startIssuer();
  const env = { ONBEHALF_URL: issuer.url, XDG_CONFIG_HOME: directory.path };
  const ran = await cli(['login'], { env, openBrowser: browse });
  assert.deepEqual([ran.code, ran.stdout], [0, `signed in at ${issuer.url} as alice (REGULAR)\n`]);
  const [asked] = issuer.state.authorized;
  const query = Object.fromEntries(asked?.searchParams ?? []);
  assert.equal(query.client_id, 'cli');
  assert.equal(query.scope, 'openid offline_access');
  assert.equal(query.resource, `${issuer.url}/api`);
  assert.equal(query.code_challenge_method, 'S256');
  assert.match(query.redirect_uri ?? '', /^http:\/\/127\.0\.0\.1:\d+\/callback$/);
  const path = tokenFile({ env }, issuer.url);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await stat(dirname(path))).mode & 0o777, 0o700);
  assert.deepEqual(await readdir(dirname(path)), [path.split('/').at(-1)], 'no lock and no temporary file stays');
  assert.doesNotMatch(`${ran.stdout}${ran.stderr}`, /access-1|r-1|code-1/);
  assert.match((await cli(['whoami'], { env })).stdout, /^alice of/);
  assert.equal((await cli(['logout'], { env })).code, 0);
  assert.deepEqual(issuer.state.revoked, ['r-1']);
  await assert.rejects(stat(path));
  assert.equal((await cli(['whoami'], { env })).code, 3);
});

test('a redirect with another state is not ours; an answer of another issuer (RFC 9207) ends the sign-in', async () => {
  await using directory = await temporaryDirectory();
  await using issuer = await startIssuer({ iss: 'https://evil.example' });
  const env = { ONBEHALF_URL: issuer.url, XDG_CONFIG_HOME: directory.path };
  let forged: Promise<number> | undefined;
  const ran = await cli(['login'], {
    env,
    openBrowser(url) {
      const target = new URL(new URL(url).searchParams.get('redirect_uri') ?? '');
      target.search = '?code=stolen&state=guessed';
      forged = fetch(target).then(({ status }) => {
        browse(url);
        return status;
      });
      return true;
    },
  });
  assert.equal(await forged, 404);
  assert.equal(ran.code, 3);
  assert.match(ran.stderr, /evil\.example answered instead/);
  assert.ok(
    issuer.seen.every(({ path }) => path !== '/token'),
    'no code is redeemed',
  );
});

test('I8 whatever is asked of the loopback port while it waits, the sign-in goes on', async () => {
  await using directory = await temporaryDirectory();
  await using issuer = await startIssuer();
  const env = { ONBEHALF_URL: issuer.url, XDG_CONFIG_HOME: directory.path };
  let answers: Promise<string[]> | undefined;
  const ran = await cli(['login'], {
    env,
    openBrowser(url) {
      const query = new URL(url).searchParams;
      const port = Number(new URL(query.get('redirect_uri') ?? '').port);
      const { length } = query.get('state') ?? '';
      const ask = (target: string) =>
        new Promise<string>((resolve) => {
          const socket = connect(port, '127.0.0.1', () => socket.end(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`));
          let text = '';
          socket.on('data', (chunk) => {
            text += String(chunk);
          });
          socket.on('close', () => resolve(text.slice(0, 12)));
        });
      const state = encodeURIComponent('é'.repeat(length));
      answers = Promise.all(['//', 'http://[', `/callback?code=x&state=${state}`].map(ask)).finally(() => browse(url));
      return true;
    },
  });
  assert.deepEqual(await answers, Array(3).fill('HTTP/1.1 404'));
  assert.equal(ran.code, 0, ran.stderr);
});

test('an issuer that is not the server, or sends elsewhere, is refused before anything is opened', async () => {
  for (const change of [
    { issuer: 'https://evil.example' },
    { token_endpoint: 'https://evil.example/token' },
    { revocation_endpoint: 'https://evil.example/revoke' },
  ]) {
    await using server = await startServer(() => ({
      status: 200,
      body: {
        issuer: server.url,
        authorization_endpoint: `${server.url}/a`,
        token_endpoint: `${server.url}/t`,
        ...change,
      },
    }));
    let opened = false;
    const ran = await cli(['login', '--server', server.url], { openBrowser: () => (opened = true) });
    assert.deepEqual([ran.code, opened], [1, false]);
  }
});

test('below 60 s left the token is renewed, once for all commands at the same time, and the rotated one is kept', async () => {
  await using directory = await temporaryDirectory();
  await using issuer = await startIssuer({ lifetimeS: 300 });
  const env = { ONBEHALF_URL: issuer.url, XDG_CONFIG_HOME: directory.path };
  await cli(['login'], { env, openBrowser: browse });
  const start = Date.now();
  assert.equal((await cli(['whoami'], { env, now: () => start + 235_000 })).code, 0);
  assert.equal(issuer.state.refreshes, 0, '65 s are enough');
  const later = () => start + 250_000;
  const codes = await Promise.all(
    Array.from({ length: 8 }, async () => (await cli(['whoami'], { env, now: later })).code),
  );
  assert.deepEqual(codes, Array(8).fill(0));
  assert.equal(issuer.state.refreshes, 1);
  assert.equal((await cli(['whoami'], { env, now: () => later() + 250_000 })).code, 0);
  assert.equal(issuer.state.refreshes, 2);
  assert.equal((await stat(tokenFile({ env }, issuer.url))).mode & 0o777, 0o600);
});

test('an issuer that is down keeps the login; one that has ended it deletes it, and says what to do', async () => {
  await using directory = await temporaryDirectory();
  await using issuer = await startIssuer({ lifetimeS: 30 });
  const env = { ONBEHALF_URL: issuer.url, XDG_CONFIG_HOME: directory.path };
  await cli(['login'], { env, openBrowser: browse });
  issuer.state.down = true;
  assert.equal((await cli(['whoami'], { env })).code, 4);
  issuer.state.down = false;
  assert.equal((await cli(['whoami'], { env })).code, 0);
  issuer.state.refresh = 'somebody else used it';
  const ended = await cli(['whoami'], { env });
  assert.equal(ended.code, 3);
  assert.match(ended.stderr, /next: onbehalf login/);
  await assert.rejects(stat(tokenFile({ env }, issuer.url)));
});

test('a token file that others can read is not used', async () => {
  await using directory = await temporaryDirectory();
  await using issuer = await startIssuer();
  const env = { ONBEHALF_URL: issuer.url, XDG_CONFIG_HOME: directory.path };
  await cli(['login'], { env, openBrowser: browse });
  const path = tokenFile({ env }, issuer.url);
  await chmod(path, 0o644);
  const ran = await cli(['whoami'], { env });
  assert.equal(ran.code, 3);
  assert.match(ran.stderr, /can be read by others/);
});

test('two servers have two logins', async () => {
  await using directory = await temporaryDirectory();
  await using one = await startIssuer();
  await using two = await startIssuer();
  const env = { XDG_CONFIG_HOME: directory.path };
  for (const issuer of [one, two])
    assert.equal((await cli(['login', '--server', issuer.url], { env, openBrowser: browse })).code, 0);
  const files = await readdir(join(directory.path, 'onbehalf', 'logins'));
  assert.equal(files.length, 2);
  const stored = JSON.parse(await readFile(tokenFile({ env }, one.url), 'utf8'));
  assert.equal(stored.server, one.url);
  await cli(['whoami', '--server', two.url], { env });
  const asked = one.seen.filter(({ path }) => path === '/api/me');
  assert.equal(asked.length, 1, 'after its own login, one hears nothing of two');
});

test('Ctrl-C while nobody signs in exits with 130', async () => {
  await using issuer = await startIssuer();
  const controller = new AbortController();
  const running = cli(['login'], {
    env: { ONBEHALF_URL: issuer.url },
    signal: controller.signal,
    openBrowser: () => {
      controller.abort();
      return true;
    },
  });
  assert.equal((await running).code, 130);
});
