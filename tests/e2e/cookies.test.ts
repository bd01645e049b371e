import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { signIn } from '../../examples/demo/sign-in.ts';
import { holdsToken } from '../holds-token.ts';
import { startWorld, type World } from './world.ts';

const FOREIGN = 'http://127.0.0.1:9201';

/** One browser: its cookies, and what a page of a given origin makes it send. */
class Browser {
  readonly url: string;
  readonly cookies = new Map<string, string>();

  constructor(url: string) {
    this.url = url;
  }

  get cookie(): string {
    return [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  async fetch(path: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
    const response = await fetch(new URL(path, this.url), {
      ...init,
      redirect: 'manual',
      headers: { cookie: this.cookie, ...init.headers },
    });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      const [name = '', value = ''] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
      if (value === '') this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return response;
  }

  /** With a login link, then the console's own sign-in. */
  async signIn(link: string): Promise<string[]> {
    const used = await this.fetch('/oidc/link', {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: this.url },
      body: JSON.stringify({ token: new URL(link).hash.slice(1) }),
    });
    assert.equal(used.status, 200);
    const visited: string[] = [];
    let address = '/login?returnTo=/ui/';
    for (let hop = 0; hop < 10; hop++) {
      const response = await this.fetch(address);
      const location = response.headers.get('location');
      if (location === null || new URL(location, this.url).pathname === '/ui/') return visited;
      visited.push(location);
      address = location;
    }
    throw new Error('the sign-in went in circles');
  }

  async csrf(): Promise<string> {
    const response = await this.fetch('/api/me');
    assert.equal(response.status, 200);
    return ((await response.json()) as { csrf: string }).csrf;
  }
}

type Opened = { status: number } | { socket: WebSocket; closed: Promise<number> };

function open(url: string, path: string, headers: Record<string, string>): Promise<Opened> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, { headers });
    const closed = new Promise<number>((done) => socket.once('close', done));
    socket.on('open', () => resolve({ socket, closed }));
    socket.on('unexpected-response', (_request, response) => {
      response.resume();
      resolve({ status: response.statusCode ?? 0 });
    });
    socket.on('error', (error) => (error.message.includes('Unexpected server response') ? undefined : reject(error)));
  });
}

const REACT = '/api/agents/assistant/react';
const within = <T>(work: Promise<T>, ms: number): Promise<T | 'too late'> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'too late'>((resolve) => {
    timer = setTimeout(() => resolve('too late'), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};

describe('browsers, their cookies, and the end of a login', () => {
  let world: World;
  const browserOf = async (user: string) => {
    const { body } = await world.admin<{ url: string }>('POST', '/login-links', { user });
    const browser = new Browser(world.url);
    await browser.signIn(body.url);
    return browser;
  };
  before(async () => {
    world = await startWorld();
  });
  after(() => world[Symbol.asyncDispose]());

  test('G1 what another page makes the browser send is 403, whatever it looks like', async () => {
    const browser = await browserOf('alice');
    const csrf = await browser.csrf();
    const good = { origin: world.url, 'content-type': 'application/json', 'x-onbehalf-csrf': csrf };
    const post = async (headers: Record<string, string | undefined>, body = '{}') => {
      const sent = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined);
      const response = await browser.fetch('/api/agents/assistant/sessions', {
        method: 'POST',
        headers: Object.fromEntries(sent),
        body,
      });
      return response.status;
    };
    const count = async () =>
      ((await (await browser.fetch('/api/sessions')).json()) as { items: unknown[] }).items.length;
    assert.equal(await post(good), 201);
    assert.equal(await post({ ...good, origin: undefined, 'sec-fetch-site': 'same-origin' }), 201);
    const before = await count();
    const cases: [string, Record<string, string | undefined>, string?][] = [
      ['another port of this machine', { ...good, origin: FOREIGN, 'sec-fetch-site': 'same-site' }],
      ['localhost by its number', { ...good, origin: world.url.replace('localhost', '127.0.0.1') }],
      ['a longer origin', { ...good, origin: `${world.url}.evil.example` }],
      ['a path', { ...good, origin: `${world.url}/` }],
      ['upper case', { ...good, origin: world.url.toUpperCase() }],
      ['a sandboxed frame', { ...good, origin: 'null' }],
      ['https', { ...good, origin: world.url.replace('http', 'https') }],
      ['foreign although same-origin is said', { ...good, origin: FOREIGN, 'sec-fetch-site': 'same-origin' }],
      ['same-site', { ...good, origin: undefined, 'sec-fetch-site': 'same-site' }],
      ['neither', { ...good, origin: undefined }],
      ['no csrf header', { ...good, 'x-onbehalf-csrf': undefined }],
      ['an empty one', { ...good, 'x-onbehalf-csrf': '' }],
      ['a wrong one', { ...good, 'x-onbehalf-csrf': `${csrf.slice(1)}A` }],
      ['text/plain', { ...good, 'content-type': 'text/plain' }],
      ['a form', { ...good, 'content-type': 'application/x-www-form-urlencoded' }, 'title=x'],
      ['a multipart form', { ...good, 'content-type': 'multipart/form-data; boundary=x' }, '--x--'],
      ['JSON in name only', { ...good, 'content-type': 'application/jsonp' }],
      ['two types', { ...good, 'content-type': 'text/plain, application/json' }],
    ];
    for (const [name, headers, body] of cases) assert.equal(await post(headers, body), 403, name);
    assert.equal(await count(), before);
    const stranger = await browserOf('bob');
    assert.equal(await post({ ...good, 'x-onbehalf-csrf': await stranger.csrf() }), 403, "somebody else's csrf");
    for (const method of ['PUT', 'PATCH', 'DELETE'])
      assert.equal(
        (await browser.fetch('/api/agents/assistant', { method, headers: { origin: FOREIGN } })).status,
        403,
        method,
      );
    const script = await browser.fetch('/api/me', { headers: { origin: FOREIGN, 'sec-fetch-site': 'cross-site' } });
    assert.equal(script.headers.get('access-control-allow-origin'), null, 'nobody else reads an answer');
    const preflight = await browser.fetch('/api/me', {
      method: 'OPTIONS',
      headers: { origin: FOREIGN, 'access-control-request-method': 'POST' },
    });
    assert.equal(preflight.headers.get('access-control-allow-origin'), null);
  });

  test('W1 an upgrade with a cookie needs our own Origin: 403 before the upgrade', async () => {
    const browser = await browserOf('alice');
    for (const origin of [FOREIGN, 'null', 'https://evil.example', `${world.url}/`, undefined]) {
      const answer = await open(world.url, REACT, { cookie: browser.cookie, ...(origin !== undefined && { origin }) });
      assert.deepEqual(answer, { status: 403 }, String(origin));
    }
    const own = await open(world.url, REACT, { cookie: browser.cookie, origin: world.url });
    assert.ok('socket' in own);
    own.socket.close();
    const both = await open(world.url, `${REACT}?access-token=${await world.token('bob')}`, {
      cookie: browser.cookie,
      origin: world.url,
    });
    assert.deepEqual(both, { status: 401 }, 'two credentials');
  });

  test('G3 C6 a new id at each login; no token in an address, a cookie or a page', async () => {
    const { body } = await world.admin<{ url: string }>('POST', '/login-links', { user: 'alice' });
    const browser = new Browser(world.url);
    await browser.fetch('/login');
    const isOurs = (name: string) => /^onbehalf_[^_.]+$/.test(name);
    const planted = 'planted-by-somebody';
    const visited = await browser.signIn(body.url);
    for (const address of visited) assert.ok(!holdsToken(address) && !/access_token|id_token/.test(address), address);
    const [cookieName = ''] = [...browser.cookies.keys()].filter(isOurs);
    assert.notEqual(cookieName, '', [...browser.cookies.keys()].join());
    const first = browser.cookies.get(cookieName) ?? '';
    assert.ok(first.length >= 40 && !first.includes('.'));
    assert.ok(![...browser.cookies.values()].some(holdsToken), 'a cookie that holds a token');
    browser.cookies.set(cookieName, planted);
    assert.equal((await browser.fetch('/api/me')).status, 401);
    await browser.signIn((await world.admin<{ url: string }>('POST', '/login-links', { user: 'alice' })).body.url);
    const second = browser.cookies.get(cookieName);
    assert.ok(second !== planted && second !== first);
    const again = await fetch(`${world.url}/api/me`, { headers: { cookie: `${cookieName}=${planted}` } });
    assert.equal(again.status, 401);
    const twice = await fetch(`${world.url}/api/me`, {
      headers: { cookie: `${cookieName}=${second}; ${cookieName}=x` },
    });
    assert.equal(twice.status, 401, 'two cookies are two credentials');
  });

  test('X13 logout ends the cookie, its tickets, sockets and streams, and only these', async () => {
    const [browser, other] = await Promise.all([browserOf('alice'), browserOf('alice')]);
    const bearer = await world.token('alice');
    const csrf = await browser.csrf();
    const headers = { origin: world.url, 'content-type': 'application/json', 'x-onbehalf-csrf': csrf };
    const session = (await (
      await browser.fetch('/api/agents/assistant/sessions', { method: 'POST', headers, body: '{}' })
    ).json()) as { id: string };
    const ticket = (await (
      await browser.fetch('/api/tickets', { method: 'POST', headers, body: '{"agent":"assistant"}' })
    ).json()) as { ticket: string };
    const mine = await open(world.url, `${REACT}?session=${session.id}`, { cookie: browser.cookie, origin: world.url });
    const theirs = await open(world.url, REACT, { cookie: other.cookie, origin: world.url });
    const tokens = await open(world.url, REACT, { authorization: `Bearer ${bearer}` });
    assert.ok('socket' in mine && 'socket' in theirs && 'socket' in tokens);
    const stream = await browser.fetch(`/api/agents/assistant/sessions/${session.id}/events`, {
      headers: { accept: 'text/event-stream' },
    });
    assert.equal(stream.status, 200);
    const cookie = browser.cookie;
    const out = await browser.fetch('/api/logout', { method: 'POST', headers });
    assert.equal(out.status, 204);
    assert.equal(await within(mine.closed, 1_000), 4403);
    assert.notEqual(await within(stream.text(), 1_000), 'too late', 'the stream goes on after the logout');
    assert.equal((await fetch(`${world.url}/api/me`, { headers: { cookie } })).status, 401);
    assert.deepEqual(await open(world.url, `${REACT}?ticket=${ticket.ticket}`, {}), { status: 401 });
    assert.equal((await other.fetch('/api/me')).status, 200);
    assert.equal((await world.as(bearer, 'GET', '/me')).status, 200);
    assert.equal(theirs.socket.readyState, WebSocket.OPEN);
    assert.equal(tokens.socket.readyState, WebSocket.OPEN);
    theirs.socket.close();
    tokens.socket.close();
  });

  test('X13 W9 a person who is disabled: sockets, streams and tickets within a second', async () => {
    await world.admin('POST', '/principals', { subject: 'dan', role: 'REGULAR' });
    await world.applied(
      `apiVersion: onbehalf.dev/v1alpha1\nkind: Grant\nmetadata: {name: dan}\nspec: {to: {principal: {issuer: "${world.url}", subject: dan}}, on: {kind: Agent, name: assistant}, verbs: [run]}\n`,
    );
    const token = await world.token('dan');
    const { body: session } = await world.as<{ id: string }>(token, 'POST', '/agents/assistant/sessions', {});
    const { body } = await world.as<{ ticket: string }>(token, 'POST', '/tickets', { agent: 'assistant' });
    const socket = await open(world.url, REACT, { authorization: `Bearer ${token}` });
    assert.ok('socket' in socket);
    const stream = await fetch(`${world.url}/api/agents/assistant/sessions/${session.id}/events`, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${token}` },
    });
    await world.admin('PATCH', '/principals', { issuer: world.url, subject: 'dan', disabled: true });
    assert.equal(await within(socket.closed, 1_000), 4403);
    assert.notEqual(await within(stream.text(), 1_000), 'too late');
    assert.deepEqual(await open(world.url, `${REACT}?ticket=${body.ticket}`, {}), { status: 401 });
  });

  test('I7 an administrator who is demoted is none within a second: requests, tickets, open sockets', async () => {
    await world.admin('POST', '/principals', { subject: 'ada', role: 'ADMIN' });
    const token = await world.token('ada');
    assert.equal((await world.as(token, 'GET', '/principals')).status, 200);
    const { body } = await world.as<{ ticket: string }>(token, 'POST', '/tickets', { agent: 'assistant' });
    const socket = await open(world.url, REACT, { authorization: `Bearer ${token}` });
    assert.ok('socket' in socket);
    await world.admin('PATCH', '/principals', { issuer: world.url, subject: 'ada', role: 'REGULAR' });
    assert.equal((await world.as(token, 'GET', '/principals')).status, 403);
    assert.equal((await world.as(token, 'GET', '/agents/assistant')).status, 404);
    assert.equal(await within(socket.closed, 1_000), 4403, 'the socket of an administrator who is none any more');
    const late = await open(world.url, `${REACT}?ticket=${body.ticket}`, {});
    assert.deepEqual(late, { status: 404 }, 'a ticket of the time before');
  });

  test('D6 a token for one door is 401 at the API, on every way in', async () => {
    for (const door of ['mcp', 'a2a', 'v1']) {
      const { body } = await world.admin<{ url: string }>('POST', '/login-links', { user: 'alice' });
      const token = await signIn(world.url, body.url, `${world.url}/${door}`);
      for (const path of ['/me', '/agents', '/agents/assistant'])
        assert.equal((await world.as(token, 'GET', path)).status, 401, `${door} ${path}`);
      assert.deepEqual(await open(world.url, `${REACT}?access-token=${token}`, {}), { status: 401 }, door);
      assert.deepEqual(await open(world.url, REACT, { authorization: `Bearer ${token}` }), { status: 401 }, door);
      const alice = await world.token('alice');
      const socket = await open(world.url, `${REACT}?access-token=${alice}&protocol=2`, {});
      assert.ok('socket' in socket);
      const answer = new Promise<string>((resolve) =>
        socket.socket.on('message', (data) => String(data).includes('rror') && resolve(String(data))),
      );
      socket.socket.send(JSON.stringify({ type: 'auth', token }));
      assert.match(String(await within(answer, 1_000)), /another audience|unauthenticated/);
      socket.socket.close();
    }
  });

  test("the in-band token of somebody else closes the socket; a shared one's turn goes on as before", async () => {
    const [alice, bob] = await Promise.all([world.token('alice'), world.token('bob')]);
    const socket = await open(world.url, `${REACT}?access-token=${alice}&protocol=2`, {});
    assert.ok('socket' in socket);
    socket.socket.send(JSON.stringify({ type: 'auth', token: bob }));
    assert.equal(await within(socket.closed, 1_000), 4403);
  });
});
