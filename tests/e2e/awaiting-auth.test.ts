import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import type { SessionView, TurnResult } from '@onbehalf/resources';
import WebSocket from 'ws';
import { type OtherIssuer, startOtherIssuer } from '../../packages/platform/test/login/other-issuer.ts';
import { startWorld, type World } from './world.ts';

const SESSIONS = '/agents/assistant/sessions';

describe('a person whose token runs out while a turn needs it', () => {
  let world: World;
  let office: OtherIssuer;
  before(async () => {
    office = await startOtherIssuer('office');
    world = await startWorld();
    const { status, body } = await world.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: Secret
metadata: {name: office}
spec: {data: {console: a secret of the console}, usableBy: [TrustedIssuer]}
---
apiVersion: onbehalf.dev/v1alpha1
kind: TrustedIssuer
metadata: {name: office}
spec:
  issuer: ${office.url}
  algorithms: [ES256]
  audiences: {api: [our-api]}
  login: {client: {id: onbehalf-console, auth: SecretBasic, secretRef: {name: office, namespace: default, key: console}}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: office-runs-assistant}
spec: {to: {everyone: {issuer: "${office.url}"}}, on: {kind: Agent, name: assistant}, verbs: [run]}
`);
    assert.equal(status, 200, JSON.stringify(body));
  });
  after(async () => {
    await world?.[Symbol.asyncDispose]();
    await office?.[Symbol.asyncDispose]();
  });

  const seconds = () => Math.floor(Date.now() / 1_000);
  /** Within the leeway of our door, and no subject of an exchange any more. */
  const old = (sub: string) => office.accessToken(sub, `old-${sub}`, { iat: seconds() - 200, exp: seconds() - 5 });
  const fresh = (sub: string) => office.accessToken(sub, crypto.randomUUID());

  /** A turn that waits, in a session of this person. */
  async function waiting(sub: string) {
    const token = await old(sub);
    const opened = await world.as<SessionView>(token, 'POST', SESSIONS, {});
    const path = `${SESSIONS}/${opened.body.id}`;
    const before = world.seen.orders.length;
    const { status, body } = await world.as<TurnResult>(token, 'POST', `${path}/messages`, {
      content: 'list my orders',
    });
    assert.deepEqual([status, body.state], [200, 'awaiting_auth'], JSON.stringify(body));
    assert.equal(world.seen.orders.length, before, 'nothing was sent');
    return { path, turn: body.turn, session: opened.body.id };
  }
  async function ended(sub: string, path: string): Promise<void> {
    const until = Date.now() + 5_000;
    const look = async () => (await world.as<SessionView>(await fresh(sub), 'GET', path)).body.turn;
    while ((await look()) !== undefined) assert.ok(Date.now() < until, 'the turn does not go on');
  }
  const last = () => world.seen.orders.at(-1)?.sub;

  test('X14 the token route: another token of the same person resumes the turn, nobody else’s does', async () => {
    const { path, turn } = await waiting('alice');
    const give = (as: string, token: string) => world.as(as, 'POST', `${path}/turns/${turn}/token`, { token });
    const alice = await fresh('alice');
    const bob = await fresh('bob');
    assert.equal((await give(bob, bob)).status, 404);
    assert.equal((await give(alice, bob)).status, 403);
    assert.equal((await give(alice, 'not a token')).status, 401);
    assert.equal((await world.as(alice, 'POST', `${path}/turns/another/token`, { token: alice })).status, 409);
    assert.equal((await world.as<SessionView>(alice, 'GET', path)).body.turn?.state, 'awaiting_auth');
    assert.equal((await give(alice, alice)).status, 204);
    await ended('alice', path);
    assert.equal(last(), 'office:alice');
    assert.equal((await give(alice, alice)).status, 409);
  });

  test('W5 the in-band auth frame resumes it, and the socket shows how it goes on', async () => {
    const { session, path } = await waiting('bob');
    const token = await fresh('bob');
    const address = `${world.url.replace('http', 'ws')}/api/agents/assistant/react?protocol=2`;
    const socket = new WebSocket(`${address}&session=${session}&after=0&access-token=${token}`);
    const types: string[] = [];
    const over = new Promise<void>((resolve) =>
      socket.on('message', (data) => {
        const { type } = JSON.parse(String(data)) as { type: string };
        types.push(type);
        if (type === 'auth.required') socket.send(JSON.stringify({ type: 'auth', token }));
        if (type === 'turn.ended') resolve();
      }),
    );
    await over;
    socket.close();
    assert.ok(types.indexOf('auth.required') < types.indexOf('tool.result'), types.join());
    assert.equal(types.filter((type) => type === 'tool.call').length, 1);
    assert.equal(last(), 'office:bob');
    await ended('bob', path);
  });

  test('the next sign-in to the console resumes what waits for that person, and only theirs', async () => {
    const alice = await waiting('alice');
    const bob = await waiting('bob');
    const begun = await fetch(`${world.url}/login?issuer=office&returnTo=/ui/chat`, { redirect: 'manual' });
    const kept = begun.headers.getSetCookie().map((line) => line.split(';', 1)[0]);
    const done = await fetch(world.url + office.consent(begun.headers.get('location') ?? '', 'alice'), {
      redirect: 'manual',
      headers: { cookie: kept.join('; ') },
    });
    assert.equal(done.headers.get('location'), '/ui/chat');
    const cookie = done.headers.getSetCookie().map((line) => line.split(';', 1)[0]);
    const me = await fetch(`${world.url}/api/me`, { headers: { cookie: cookie[0] ?? '' } });
    assert.equal(((await me.json()) as { subject: string }).subject, 'alice');
    await ended('alice', alice.path);
    assert.equal(last(), 'office:alice');
    const state = (await world.as<SessionView>(await fresh('bob'), 'GET', bob.path)).body.turn?.state;
    assert.equal(state, 'awaiting_auth');
    assert.equal((await world.as(await fresh('bob'), 'POST', `${bob.path}/stop`)).status, 200);
    await ended('bob', bob.path);
  });

  test('a person who is disabled while a turn waits: it ends, and another token does not bring it back', async () => {
    const { path, turn } = await waiting('carol');
    const carol = await fresh('carol');
    await world.admin('PATCH', '/principals', { issuer: office.url, subject: 'carol', disabled: true });
    const { body } = await world.admin<{ items: { turn?: string; type: string }[] }>('GET', `/audit?turn=${turn}`);
    assert.ok(body.items.length > 0);
    assert.equal((await world.as(carol, 'POST', `${path}/turns/${turn}/token`, { token: carol })).status, 403);
    await world.admin('PATCH', '/principals', { issuer: office.url, subject: 'carol', disabled: false });
    const later = await office.accessToken('carol', 'later', { iat: seconds() + 2 });
    const found = await world.as<SessionView>(later, 'GET', path);
    assert.deepEqual([found.status, found.body.turn], [200, undefined]);
  });

  test('a TrustedIssuer that is deleted ends the turns of its people, whatever waits', async () => {
    const { path, turn } = await waiting('dora');
    await world.admin('DELETE', '/trusted-issuers/office');
    const until = Date.now() + 2_000;
    const database = new DatabaseSync(join(world.dataDir, 'onbehalf.db'), { readOnly: true });
    const state = () => {
      const row = database.prepare('select state, code from turns where id = ?').get(turn);
      return [row?.state, row?.code];
    };
    while (state()[0] === 'awaiting_auth') {
      assert.ok(Date.now() < until, 'it still waits');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(state(), ['failed', 'principal_revoked']);
    database.close();
    assert.equal((await world.as(await fresh('dora'), 'GET', path)).status, 401);
  });
});
