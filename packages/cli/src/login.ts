import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { signInCode } from '@onbehalf/resources';
import { CliError } from './error.ts';
import type { Io } from './io.ts';
import { CLIENT_ID, postForm, requestTokens } from './token.ts';
import { readLogin, removeLogin, tokenFile, withLock, writeLogin } from './token-file.ts';

const WAIT_MS = 300_000;
const SCOPE = 'openid offline_access';
/** Name of the server's own issuer. */
const OWN = 'onbehalf';
const DNS_LABEL = /^[a-z0-9-]{1,63}$/;

interface Discovery {
  issuer: string;
  authorization_endpoint: string;
  token_endpoint: string;
  revocation_endpoint?: string;
}

/** What the server says without a credential. A redirect is none of its answers. */
const ask = (io: Io, url: string) =>
  io.fetch(url, {
    method: 'GET',
    headers: { accept: 'application/json' },
    redirect: 'error',
    credentials: 'omit',
    signal: AbortSignal.any([io.signal, AbortSignal.timeout(20_000)]),
  });

/** OpenID Connect Discovery 1.0 section 4. The issuer must be the server itself, and its endpoints must be there too. */
export async function discover(io: Io, server: string): Promise<Discovery> {
  const response = await ask(io, `${server}/.well-known/openid-configuration`).catch(() => {
    throw new CliError('unreachable', `${server} cannot be reached`, 'onbehalf up, or --server URL');
  });
  const found = (response.ok ? await response.json().catch(() => ({})) : {}) as Partial<Discovery>;
  const { issuer, authorization_endpoint: authorize, token_endpoint: token, revocation_endpoint: revoke } = found;
  if (typeof issuer !== 'string' || typeof authorize !== 'string' || typeof token !== 'string')
    throw new CliError('unreachable', `${server} is no Onbehalf server`, '--server URL');
  if (issuer.replace(/\/$/, '') !== server)
    throw new CliError('failure', `${server} says that it is ${issuer}`, `onbehalf login --server ${issuer}`);
  for (const endpoint of [authorize, token, ...(revoke === undefined ? [] : [revoke])])
    if (new URL(endpoint).origin !== new URL(server).origin)
      throw new CliError('failure', `the issuer of ${server} sends to ${new URL(endpoint).origin}`);
  return found as Discovery;
}

/** Where people of this server have their accounts. A server that does not say has its own only. */
async function issuersOf(io: Io, server: string): Promise<string[]> {
  const response = await ask(io, `${server}/login/issuers`).catch(() => undefined);
  const body = (response?.ok ? await response.json().catch(() => ({})) : {}) as { items?: { name?: unknown }[] };
  const names = (body.items ?? []).flatMap(({ name }) =>
    typeof name === 'string' && DNS_LABEL.test(name) ? name : [],
  );
  return names.length > 0 ? names : [OWN];
}

/** The one that was asked for, else the server itself, else the only other one. */
async function chooseIssuer(io: Io, server: string, wanted: string | undefined): Promise<string> {
  const names = await issuersOf(io, server);
  const other = (name: string) => `onbehalf login --issuer ${name}`;
  if (wanted !== undefined && !names.includes(wanted))
    throw new CliError('not_found', `nobody signs in at an issuer ${wanted} here`, names.map(other).join(', or '));
  if (wanted !== undefined) return wanted;
  const [first = OWN, ...more] = names;
  if (first !== OWN && more.length > 0)
    throw new CliError('usage', `say where your account is: ${names.join(', ')}`, names.map(other).join(', or '));
  return first;
}

/** The server's own issuer, or what stands at the server for another one, whose client secret it keeps. */
function endpointsFor(found: Discovery, server: string, issuer: string): Discovery {
  if (issuer === OWN) return found;
  const at = (path: string) => `${server}/login/cli${path}`;
  return {
    issuer: found.issuer,
    authorization_endpoint: at(`?${new URLSearchParams({ issuer })}`),
    token_endpoint: at('/token'),
    revocation_endpoint: at('/revoke'),
  };
}

/**
 * Signs in by authorization code with PKCE over a loopback redirect (RFC 8252 section 7.3), as the client `cli`.
 * `show` gets the address to open and the six characters that the page there must show. `issuer`: the name of a TrustedIssuer with a sign-in, or `onbehalf` for the server itself.
 */
export async function login(
  io: Io,
  server: string,
  show: (address: string, code: string) => void,
  issuer?: string,
): Promise<void> {
  const own = await discover(io, server);
  const found = endpointsFor(own, server, await chooseIssuer(io, server, issuer));
  const verifier = randomBytes(32).toString('base64url');
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const state = randomBytes(16).toString('base64url');
  const resource = `${found.issuer.replace(/\/$/, '')}/api`;
  const receiver = await receiveCode(io, state, found.issuer);
  try {
    const address = new URL(found.authorization_endpoint);
    const parameters = {
      client_id: CLIENT_ID,
      response_type: 'code',
      redirect_uri: receiver.redirectUri,
      scope: SCOPE,
      resource,
      state,
      code_challenge: challenge,
      code_challenge_method: 'S256',
    };
    for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value);
    show(address.href, signInCode(challenge));
    const code = await receiver.code;
    const base = {
      server,
      tokenEndpoint: found.token_endpoint,
      ...(found.revocation_endpoint !== undefined && { revocationEndpoint: found.revocation_endpoint }),
      resource,
    };
    const grant = {
      grant_type: 'authorization_code',
      code,
      redirect_uri: receiver.redirectUri,
      code_verifier: verifier,
    };
    const tokens = await requestTokens(io, base, { ...grant, resource });
    const path = tokenFile(io, server);
    await withLock(path, () => writeLogin(path, tokens));
  } finally {
    receiver.close();
  }
}

/** RFC 7009, and the file is gone whatever the server says. False: there was no login. */
export async function logout(io: Io, server: string): Promise<boolean> {
  const path = tokenFile(io, server);
  return withLock(path, async () => {
    const known = await readLogin(path).catch(() => undefined);
    await removeLogin(path);
    if (known?.revocationEndpoint !== undefined && known.refreshToken !== undefined)
      await postForm(io, known.revocationEndpoint, {
        token: known.refreshToken,
        token_type_hint: 'refresh_token',
      }).catch(() => undefined);
    return known !== undefined;
  });
}

async function receiveCode(io: Io, state: string, issuer: string) {
  let settle: { resolve(code: string): void; reject(error: Error): void } | undefined;
  const code = new Promise<string>((resolve, reject) => {
    settle = { resolve, reject };
  });
  code.catch(() => undefined);
  const server = createServer((request, response) => {
    // Any page, and any program of this machine, can ask this port for anything.
    const url = URL.parse(request.url ?? '/', 'http://127.0.0.1');
    const query = url?.searchParams ?? new URLSearchParams();
    if (request.method !== 'GET' || url?.pathname !== '/callback' || !same(query.get('state') ?? '', state))
      return page(response, 404, 'This is not the sign-in that the command line waits for.');
    // RFC 9207 section 2.4: the answer of another issuer is none.
    if (query.has('iss') && query.get('iss') !== issuer) {
      settle?.reject(new CliError('unauthenticated', `${query.get('iss')} answered instead of ${issuer}`));
      return page(response, 400, 'Another issuer answered. Nothing was signed in.');
    }
    const error = query.get('error');
    const answer = query.get('code');
    if (error !== null || answer === null) {
      const why = query.get('error_description') ?? error ?? 'no code';
      settle?.reject(new CliError('unauthenticated', `the sign-in was refused: ${why}`, 'onbehalf login'));
      return page(response, 200, 'The sign-in was refused. You can close this page.');
    }
    settle?.resolve(answer);
    page(response, 200, 'You are signed in. You can close this page and go back to the terminal.');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const late = () => settle?.reject(new CliError('timeout', 'nobody signed in within 5 minutes', 'onbehalf login'));
  const stopped = () => settle?.reject(new CliError('interrupted', 'interrupted'));
  const timer = setTimeout(late, WAIT_MS);
  io.signal.addEventListener('abort', stopped, { once: true });
  return {
    code,
    redirectUri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`,
    close() {
      clearTimeout(timer);
      io.signal.removeEventListener('abort', stopped);
      server.close();
      server.closeIdleConnections();
    },
  };
}

function same(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}

function page(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    connection: 'close',
  });
  response.end(`${text}\n`);
}
