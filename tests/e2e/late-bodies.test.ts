import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startWorld, type World } from './world.ts';

describe('a body that comes long after its head', () => {
  let world: World;
  let root: string;
  before(async () => {
    world = await startWorld();
    root = await world.token('root');
  });
  after(() => world[Symbol.asyncDispose]());

  /** Sends a head and waits until its decision has been taken; what is returned sends the body and gives the status. */
  async function held(token: string, method: string, path: string, body: string) {
    const { host, port } = new URL(world.url);
    const socket = connect(Number(port), '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => {
      answer += String(data);
    });
    const lines = [
      `${method} /api${path} HTTP/1.1`,
      `Host: ${host}`,
      `Authorization: Bearer ${token}`,
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      // The server says `100 Continue` in the step before the request is dispatched.
      'Expect: 100-continue',
      'Connection: close',
    ];
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    while (!answer.includes('100 Continue')) await new Promise((resolve) => socket.once('data', resolve));
    await world.as(token, 'GET', '/me');
    return async () => {
      socket.write(body);
      await new Promise((resolve) => socket.once('close', resolve));
      return Number(/HTTP\/1\.1 ([2-5]\d\d)/.exec(answer.replace(/^HTTP\/1\.1 100[^\n]*\r\n\r\n/, ''))?.[1]);
    };
  }

  test('I7 an administrator who is demoted between the head and the body of a request does nothing by it', async () => {
    const issuer = world.url;
    const again = await held(root, 'PATCH', '/principals', JSON.stringify({ issuer, subject: 'root', role: 'ADMIN' }));
    const demoted = { issuer, subject: 'root', role: 'REGULAR' };
    assert.equal((await world.admin('PATCH', '/principals', demoted)).status, 204);
    assert.equal(await again(), 403);
    assert.equal((await world.as<{ role: string }>(root, 'GET', '/me')).body.role, 'REGULAR');
    assert.equal((await world.admin('PATCH', '/principals', { ...demoted, role: 'ADMIN' })).status, 204);
  });

  test('I7 whose Grant is taken away between the head and the body sets no field of the Secret', async () => {
    const grant = {
      ...{ apiVersion: 'onbehalf.dev/v1alpha1', kind: 'Grant', metadata: { name: 'keeper' } },
      spec: {
        to: { principal: { issuer: world.url, subject: 'alice' } },
        on: { kind: 'Secret', name: 'kept' },
        verbs: ['write'],
      },
    };
    const secret = { apiVersion: grant.apiVersion, kind: 'Secret', metadata: { name: 'kept' }, spec: {} };
    assert.equal((await world.admin('POST', '/apply', { documents: [secret, grant] })).status, 200);
    const alice = await world.token('alice');
    const set = await held(alice, 'PUT', '/secrets/kept/values', '{"data":{"key":"value"}}');
    assert.equal((await world.admin('DELETE', '/grants/keeper')).status, 204);
    assert.equal(await set(), 404);
    type Fields = { status: { fields?: object } };
    assert.deepEqual((await world.admin<Fields>('GET', '/secrets/kept')).body.status.fields ?? {}, {});
  });

  test('I7 somebody who is disabled between the head and the body of a request does nothing by it', async () => {
    const bob = await world.token('bob');
    const make = await held(bob, 'POST', '/agents/assistant/sessions', '{}');
    const off = { issuer: world.url, subject: 'bob', disabled: true };
    assert.equal((await world.admin('PATCH', '/principals', off)).status, 204);
    assert.ok([401, 403].includes(await make()));
  });

  test('a Grant that is confirmed is bound as it is by now: what somebody narrowed meanwhile stays narrow', async () => {
    const agent = {
      ...{ apiVersion: 'onbehalf.dev/v1alpha1', kind: 'Agent', metadata: { name: 'clerk' } },
      spec: { type: 'Declarative', declarative: { systemMessage: 'x', modelConfigRef: { name: 'default' } } },
    };
    const grant = (verbs: string[]) => ({
      ...{ apiVersion: agent.apiVersion, kind: 'Grant', metadata: { name: 'clerks' } },
      spec: { to: { role: 'REGULAR' }, on: { kind: 'Agent', name: 'clerk' }, verbs },
    });
    const apply = async (documents: object[]) =>
      assert.equal((await world.admin('POST', '/apply', { documents })).status, 200);
    await apply([agent, grant(['admin'])]);
    assert.equal((await world.admin('DELETE', '/agents/clerk')).status, 204);
    await apply([agent]);
    const confirm = await held(root, 'POST', '/grants/clerks/actions/confirm', '{}');
    await apply([grant(['run'])]);
    assert.equal(await confirm(), 200);
    type View = { spec: { verbs: string[] }; status: { targetUid: string } };
    const { body } = await world.admin<View>('GET', '/grants/clerks');
    assert.deepEqual(body.spec.verbs, ['run']);
    const { body: made } = await world.admin<{ metadata: { uid: string } }>('GET', '/agents/clerk');
    assert.equal(body.status.targetUid, made.metadata.uid);
  });

  test('an exchange that is tried by hand is tried whether a body comes along or not', async () => {
    const alice = await world.token('alice');
    for (const body of [undefined, {}]) {
      const tried = await world.as<{ ok: boolean }>(alice, 'POST', '/mcp-servers/orders/actions/test-exchange', body);
      assert.deepEqual([tried.status, tried.body.ok], [200, true]);
    }
  });
});
