import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Doors, PUBLIC_URL, startDoors } from './doors.ts';

const SESSIONS = '/api/agents/assistant/sessions';
const JSON_TYPE = { 'content-type': 'application/json' };
const SAME = { origin: PUBLIC_URL };

const open = (d: Doors, headers: Record<string, string>) => d.ask('POST', SESSIONS, { ...JSON_TYPE, ...headers }, '{}');

test('J5 a cookie opens nothing that its own page did not ask for: exact origin, the header of that login, JSON', async () => {
  await using d = await startDoors();
  const alice = await d.login('alice');
  const bob = await d.login('bob');
  const cookie = alice.cookie;
  const csrf = { 'x-onbehalf-csrf': alice.csrf };
  for (const [headers, status] of [
    [{ cookie, ...SAME, ...csrf }, 201],
    [{ cookie, 'sec-fetch-site': 'same-origin', ...csrf }, 201],
    [{ cookie, ...csrf }, 403],
    [{ cookie, 'sec-fetch-site': 'same-site', ...csrf }, 403],
    [{ cookie, 'sec-fetch-site': 'none', ...csrf }, 403],
    [{ cookie, origin: 'https://evil.example', 'sec-fetch-site': 'same-origin', ...csrf }, 403],
    [{ cookie, origin: 'null', ...csrf }, 403],
    [{ cookie, origin: `${PUBLIC_URL}/`, ...csrf }, 403],
    [{ cookie, origin: 'http://localhost:9999', ...csrf }, 403],
    [{ cookie, ...SAME }, 403],
    [{ cookie, ...SAME, 'x-onbehalf-csrf': bob.csrf }, 403],
    [{ cookie, ...SAME, ...csrf, 'content-type': 'text/plain' }, 403],
    [{ cookie, ...SAME, ...csrf, 'content-type': 'application/jsonp' }, 403],
    [{ cookie, ...SAME, ...csrf, 'content-type': 'application/json; charset=utf-8' }, 201],
  ] as const)
    assert.equal((await open(d, headers)).status, status, JSON.stringify(headers));
  // What changes nothing needs none of it, and shows each their own.
  const list = async (who: string) => ((await d.ask('GET', SESSIONS, { cookie: who })).body.items as unknown[]).length;
  assert.deepEqual([await list(alice.cookie), await list(bob.cookie)], [3, 0]);
  alice.end();
  const ended = await d.ask('GET', SESSIONS, { cookie });
  assert.deepEqual([ended.status, ended.body.detail], [401, 'your sign-in has ended: sign in again']);
  assert.equal(await list(bob.cookie), 0);
});

test('two credentials are none, also of one person; a token in a query is none outside of an upgrade', async () => {
  await using d = await startDoors();
  const bearer = await d.bearer('alice');
  const { cookie } = await d.login('alice');
  const other = await d.bearer('bob');
  assert.equal((await d.ask('GET', SESSIONS, { ...bearer, cookie })).status, 401);
  assert.equal(
    (await d.ask('GET', SESSIONS, { authorization: [bearer.authorization, other.authorization] })).status,
    401,
  );
  const token = bearer.authorization.slice('Bearer '.length);
  assert.equal((await d.ask('GET', `${SESSIONS}?access-token=${token}`)).status, 401);
  assert.equal((await d.ask('GET', SESSIONS, { 'sec-websocket-protocol': `bearer, ${token}` })).status, 401);
  assert.equal((await d.ask('GET', SESSIONS, bearer)).status, 200);
});

test('another person’s session is not there, in the words for what is not there', async () => {
  await using d = await startDoors();
  const { body } = await open(d, await d.bearer('alice'));
  const bob = await d.bearer('bob');
  const nowhere = crypto.randomUUID();
  const theirs = await d.ask('GET', `${SESSIONS}/${body.id}`, bob);
  const none = await d.ask('GET', `${SESSIONS}/${nowhere}`, bob);
  assert.deepEqual([theirs.status, theirs.text.replace(String(body.id), nowhere)], [404, none.text]);
  assert.equal((await d.ask('GET', `${SESSIONS}/${body.id}`, await d.bearer('alice'))).status, 200);
  // ADMIN reads it with a reason, and speaks in it with none.
  const root = await d.bearer('root', 'ADMIN');
  assert.equal((await d.ask('GET', `${SESSIONS}/${body.id}`, root)).status, 403);
  assert.equal((await d.ask('GET', `${SESSIONS}/${body.id}?reason=an+incident`, root)).status, 200);
  const said = await d.ask(
    'POST',
    `${SESSIONS}/${body.id}/messages`,
    { ...root, ...JSON_TYPE },
    '{"content": "hello"}',
  );
  assert.equal(said.status, 404);
});

test('a ticket opens one socket of one agent, once, in time, for the person it was made for as they are then', async () => {
  await using d = await startDoors();
  const login = await d.login('alice');
  const bearer = await d.bearer('alice');
  const verified = await d.app.authenticator.bearer(await d.token('alice'));
  const make = (agent = d.uid, more: Parameters<Doors['tickets']['create']>[2] = { subject: verified.subject }) =>
    d.tickets.create(verified.principal, agent, more);
  const by = async (ticket: Awaited<ReturnType<typeof make>>) => {
    const socket = await d.socket({}, `protocol=2&ticket=${ticket.reveal()}`);
    if (socket.refused === undefined) await socket.frame('session');
    socket.close();
    return socket.refused;
  };
  const ticket = await make();
  assert.deepEqual([await by(ticket), await by(ticket)], [undefined, 401]);
  assert.equal(await by(await make(crypto.randomUUID())), 401);
  const late = await make();
  d.clock.ahead = 31_000;
  assert.equal(await by(late), 401);
  const ofLogin = await make(d.uid, { loginSession: login.idHash });
  login.end();
  assert.equal(await by(ofLogin), 401);
  assert.equal((await d.ask('GET', `${SESSIONS}?ticket=${(await make()).reveal()}`)).status, 401);
  await d.users.disable(d.issuer, 'alice', true);
  assert.notEqual(await by(await make()), undefined);
  assert.equal((await d.ask('GET', SESSIONS, bearer)).status, 403);
});

test('whoever comes from another issuer is kept in the list of people, with their groups until the token ends', async () => {
  await using d = await startDoors();
  await d.ask('GET', SESSIONS, await d.bearer('alice', 'ADMIN'));
  const known = (await d.users.list()).map(({ issuer, subject }) => [issuer, subject]);
  assert.deepEqual(known, [[d.issuer, 'alice']]);
  assert.equal(d.policy.principalOf({ issuer: d.issuer, subject: 'alice' }).role, 'ADMIN');
  assert.equal(d.policy.principalOf({ issuer: d.issuer, subject: 'bob' }).role, 'REGULAR');
});
