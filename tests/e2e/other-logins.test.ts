import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { type OtherIssuer, startOtherIssuer } from '../../packages/platform/test/login/other-issuer.ts';
import { startWorld, type World } from './world.ts';

const REACT = '/api/agents/assistant/react';

interface Socket {
  closed: Promise<number>;
  /** The next frame of this type. */
  frame(type: string): Promise<Record<string, unknown>>;
  send(frame: unknown): void;
  end(): void;
}

function open(url: string, query = '', headers: Record<string, string> = {}): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${REACT}?protocol=2${query}`, { headers });
    const closed = new Promise<number>((done) => socket.once('close', done));
    const opened: Socket = {
      closed,
      send: (frame) => socket.send(JSON.stringify(frame)),
      end: () => socket.close(),
      frame: (type) =>
        new Promise((done) =>
          socket.on('message', (data) => {
            const frame = JSON.parse(String(data)) as Record<string, unknown>;
            if (frame.type === type) done(frame);
          }),
        ),
    };
    socket.on('open', () => resolve(opened));
    socket.on('unexpected-response', (_request, response) => reject(new Error(`status ${response.statusCode}`)));
    socket.on('error', (error) => (error.message.includes('Unexpected server response') ? undefined : reject(error)));
  });
}

const within = <T>(work: Promise<T>, ms: number): Promise<T | 'too late'> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'too late'>((resolve) => {
    timer = setTimeout(() => resolve('too late'), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};

describe('people who are signed in at another issuer, and what ends it', () => {
  let world: World;
  let office: OtherIssuer;
  const ok = async (yaml: string) => {
    let { status, body } = await world.apply(yaml);
    // What the server writes into the status of a resource may be in between.
    for (let tries = 0; status === 409 && tries < 5; tries++) ({ status, body } = await world.apply(yaml));
    assert.equal(status, 200, JSON.stringify(body));
  };
  const trust = (more = '  maxRole: REGULAR') =>
    ok(`
apiVersion: onbehalf.dev/v1alpha1
kind: TrustedIssuer
metadata: {name: office}
spec:
  issuer: ${office.url}
  jwksUri: ${office.url}/jwks
  algorithms: [ES256]
  audiences: {api: [our-api]}
  claims: {roles: roles, groups: groups}
  roleMap: {guest: RESTRICTED, "*": REGULAR}
${more}
  login:
    client: {id: onbehalf-console, auth: SecretBasic, secretRef: {name: office, key: secret, namespace: default}}
`);
  const runs = (subject: string) =>
    ok(`
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: office-${subject}}
spec: {to: {principal: {issuer: "${office.url}", subject: ${subject}}}, on: {kind: Agent, name: assistant}, verbs: [run]}
`);

  /** Through the front door: `/login`, the provider, the callback. Returns the cookie. */
  async function signIn(sub: string, sid?: string): Promise<string> {
    const get = (path: string, cookie = '') =>
      fetch(world.url + path, { redirect: 'manual', headers: cookie === '' ? {} : { cookie } });
    const pairs = (response: Response) => response.headers.getSetCookie().map((line) => line.split(';', 1)[0] ?? '');
    const begun = await get('/login?issuer=office');
    const back = office.consent(begun.headers.get('location') ?? '', sub, sid);
    const done = await get(back, pairs(begun).join('; '));
    assert.equal(done.headers.get('location'), '/ui/');
    return pairs(done).find((pair) => !pair.includes('_begin')) ?? '';
  }

  async function asCookie(cookie: string, method: string, path: string, body?: unknown) {
    const me = await fetch(`${world.url}/api/me`, { headers: { cookie } });
    const { csrf } = (await me.json()) as { csrf: string };
    return fetch(`${world.url}/api${path}`, {
      method,
      headers: { cookie, origin: world.url, 'x-onbehalf-csrf': csrf, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  /** One socket for each way in: the cookie, a ticket of its login, and a token with the `sid` of the same. */
  async function sockets(sub: string, sid: string) {
    const cookie = await signIn(sub, sid);
    const issued = await asCookie(cookie, 'POST', '/tickets', { agent: 'assistant' });
    assert.equal(issued.status, 201);
    const { ticket } = (await issued.json()) as { ticket: string };
    return {
      cookie,
      byCookie: await open(world.url, '', { cookie, origin: world.url }),
      byTicket: await open(world.url, `&ticket=${ticket}`),
      byToken: await open(world.url, '', { authorization: `Bearer ${await office.accessToken(sub, sid)}` }),
    };
  }

  const logout = async (claims: Record<string, unknown>) => {
    const answer = await fetch(`${world.url}/oidc/backchannel-logout/office`, {
      method: 'POST',
      body: new URLSearchParams({ logout_token: await office.logoutToken(claims) }),
    });
    assert.equal(answer.status, 200);
  };
  const closes = (socket: Socket) => within(socket.closed, 1_000);
  const staysOpen = async (...all: Socket[]) => {
    for (const socket of all) {
      const answered = socket.frame('error');
      socket.send({ type: 'dance' });
      assert.equal((await within(answered, 1_000)) === 'too late', false);
    }
  };

  before(async () => {
    world = await startWorld();
    office = await startOtherIssuer('office');
    const stored = await world.admin('POST', '/secrets', {
      apiVersion: 'onbehalf.dev/v1alpha1',
      kind: 'Secret',
      metadata: { name: 'office' },
      spec: { data: { secret: 'a secret of 32 characters, or more' } },
    });
    assert.equal(stored.status, 201, JSON.stringify(stored.body));
    await trust();
    for (const sub of ['alice', 'bob']) await runs(sub);
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
    await office[Symbol.asyncDispose]();
  });

  test('W9 X13 signing out of the console closes the sockets of that login within a second, those of a ticket too', async () => {
    const alice = await sockets('alice', 'sid-a1');
    const phone = await sockets('alice', 'sid-a2');
    const done = await asCookie(alice.cookie, 'POST', '/logout');
    assert.equal(done.status, 204);
    assert.deepEqual(await Promise.all([closes(alice.byCookie), closes(alice.byTicket)]), [4403, 4403]);
    await staysOpen(phone.byCookie, phone.byTicket, phone.byToken);
    for (const socket of [alice.byToken, phone.byCookie, phone.byTicket, phone.byToken]) socket.end();
  });

  test('W9 X13 a back-channel logout closes every socket: of the sid, or of the person when it names no sid', async () => {
    const bob = await sockets('bob', 'sid-b1');
    const one = await sockets('alice', 'sid with spaces');
    const two = await sockets('alice', 'sid-a4');
    await logout({ sub: 'alice', sid: 'sid with spaces' });
    assert.deepEqual(await Promise.all([one.byCookie, one.byTicket, one.byToken].map(closes)), [4403, 4403, 4403]);
    await staysOpen(two.byCookie, two.byTicket, two.byToken);
    await logout({ sub: 'alice' });
    assert.deepEqual(await Promise.all([two.byCookie, two.byTicket, two.byToken].map(closes)), [4403, 4403, 4403]);
    await staysOpen(bob.byCookie, bob.byTicket, bob.byToken);
    for (const socket of [bob.byCookie, bob.byTicket, bob.byToken]) socket.end();
  });

  test('X13 X14 signed out at the provider in a turn: no call of theirs is sent, the turn waits, the next sign-in goes on', async () => {
    const path = '/agents/assistant/sessions';
    const speak = async (cookie: string) => {
      const { id } = (await (await asCookie(cookie, 'POST', path, {})).json()) as { id: string };
      void asCookie(cookie, 'POST', `${path}/${id}/messages`, { content: 'list my orders !slow' });
      return id;
    };
    // A token counts from the second after the one in which its person was signed out everywhere.
    const nextSecond = () => new Promise((resolve) => setTimeout(resolve, 1_001));
    await nextSecond();
    const [alice, bob] = [await signIn('alice', 'sid-t1'), await signIn('bob', 'sid-t2')];
    const before = world.seen.orders.length;
    const callers = () => [...new Set(world.seen.orders.slice(before).map(({ sub }) => sub))];
    const called = async (sub: string) => {
      for (let tries = 0; tries < 100 && !callers().includes(sub); tries++)
        await new Promise((resolve) => setTimeout(resolve, 50));
    };
    const [hers] = [await speak(alice), await speak(bob)];
    await new Promise((resolve) => setTimeout(resolve, 150));
    await logout({ sid: 'sid-t1' });
    assert.equal((await fetch(`${world.url}/api/me`, { headers: { cookie: alice } })).status, 401);
    await called('office:bob');
    await nextSecond();
    assert.deepEqual(callers(), ['office:bob']);
    const token = await office.accessToken('alice', 'sid-t3');
    const { body } = await world.as<{ turn?: { state: string } }>(token, 'GET', `${path}/${hers}`);
    assert.equal(body.turn?.state, 'awaiting_auth');
    const again = await signIn('alice', 'sid-t4');
    assert.equal((await fetch(`${world.url}/api/me`, { headers: { cookie: again } })).status, 200);
    await called('office:alice');
    assert.deepEqual(callers(), ['office:bob', 'office:alice']);
  });

  test('I7 a role that the provider lowered counts on an open socket with the next token', async () => {
    office.change.lifetime = 3;
    const { byCookie, byTicket, byToken } = await sockets('bob', 'sid-b2');
    byToken.end();
    office.change.access = { roles: ['guest'] };
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    for (const socket of [byCookie, byTicket]) {
      const answer = socket.frame('error');
      socket.send({ type: 'message', content: 'hello' });
      const said = await within(answer, 1_000);
      assert.notEqual(said, 'too late');
    }
    office.change.access = {};
    office.change.lifetime = 300;
    byCookie.end();
    byTicket.end();
  });

  test('W9 a TrustedIssuer that loses its sign-in, is changed or deleted: sockets and cookies end within a second', async () => {
    const first = await sockets('bob', 'sid-b3');
    await trust('  maxRole: RESTRICTED');
    assert.deepEqual(
      await Promise.all([first.byCookie, first.byTicket, first.byToken].map(closes)),
      [4403, 4403, 4403],
    );
    await trust();
    const second = await sockets('bob', 'sid-b4');
    assert.equal((await world.admin('DELETE', '/trusted-issuers/office')).status, 204);
    assert.deepEqual(
      await Promise.all([second.byCookie, second.byTicket, second.byToken].map(closes)),
      [4403, 4403, 4403],
    );
    assert.equal((await fetch(`${world.url}/api/me`, { headers: { cookie: second.cookie } })).status, 401);
    await trust();
  });
});
