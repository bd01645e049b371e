import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { SignJWT } from 'jose';
import { upgrade } from './upgrade.ts';
import { say, startWorld, type World } from './world.ts';

const seconds = () => Math.floor(Date.now() / 1_000);

describe('P1 AUTH_JWT_SECRET: front ends that already issue HS256 tokens', () => {
  const secret = randomBytes(32).toString('hex');
  const previous = randomBytes(32).toString('hex');
  let world: World;
  const mint = (claims: Record<string, unknown>, key = secret) =>
    new SignJWT({ sub: 'Ann', userId: 7, email: 'ann@example.com', role: 'REGULAR', exp: seconds() + 300, ...claims })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .sign(Buffer.from(key));
  const me = async (claims: Record<string, unknown>, key?: string) =>
    world.as<{ issuer: string; subject: string; name: string; role: string }>(await mint(claims, key), 'GET', '/me');

  before(async () => {
    world = await startWorld({ env: { AUTH_JWT_SECRET: secret, AUTH_JWT_SECRET_PREVIOUS: previous } });
    const { status } = await world.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: ann}
spec: {to: {principal: {issuer: "legacy:env", subject: "7"}}, on: {kind: Agent, name: assistant}, verbs: [run]}
`);
    assert.equal(status, 200);
  });
  after(() => world[Symbol.asyncDispose]());

  test('two people of one display name are two; the number and its string are one', async () => {
    const first = await me({});
    assert.deepEqual(
      [first.body.issuer, first.body.subject, first.body.name, first.body.role],
      ['legacy:env', '7', 'Ann', 'REGULAR'],
    );
    assert.equal((await me({ userId: '7' })).body.subject, '7');
    assert.equal((await me({ userId: 8 })).body.subject, '8');
    const session = (await world.as<{ id: string }>(await mint({}), 'POST', '/agents/assistant/sessions', {})).body.id;
    assert.equal(
      (await world.as(await mint({ userId: '7' }), 'GET', `/agents/assistant/sessions/${session}`)).status,
      200,
    );
    assert.equal(
      (await world.as(await mint({ userId: 8 }), 'GET', `/agents/assistant/sessions/${session}`)).status,
      404,
    );
    assert.equal((await world.as(await mint({ userId: 8 }), 'GET', '/agents/assistant')).status, 404);
  });

  test('REST and the WebSocket with access-token work; the other secret of a rotation too', async () => {
    assert.equal((await me({}, previous)).status, 200);
    assert.equal(await upgrade(world.url, `/api/agents/assistant/react?access-token=${await mint({})}`), 'open');
    assert.equal((await say(world, await mint({}), 'hello')).body.state, 'completed');
    assert.equal(
      await upgrade(world.url, `/api/agents/assistant/react?access-token=${await mint({ role: 'INACTIVE' })}`),
      403,
    );
  });

  test('there is no token to exchange: the tool says so, and the shared-secret token goes nowhere', async () => {
    const before = world.seen.orders.length;
    const { body } = await say(world, await mint({}), 'list my orders');
    assert.equal(body.toolCalls[0]?.isError, true, JSON.stringify(body));
    assert.match(JSON.stringify(body.toolCalls[0]), /user_token_required/);
    assert.equal(world.seen.orders.length, before);
  });

  test('iss, aud, another algorithm, another secret, no exp, a lower-cased secret: 401', async () => {
    for (const claims of [
      { iss: 'x' },
      { iss: world.url },
      { aud: `${world.url}/api` },
      { aud: [] },
      { act: { sub: 'x' } },
    ])
      assert.equal((await me(claims)).status, 401, JSON.stringify(claims));
    assert.equal((await me({ exp: undefined })).status, 401);
    assert.equal((await me({ exp: '9999999999' })).status, 401);
    assert.equal((await me({ exp: seconds() - 31 })).status, 401);
    assert.equal((await me({ exp: seconds() - 20 })).status, 200);
    assert.equal((await me({ nbf: seconds() + 120 })).status, 401);
    assert.equal((await me({}, randomBytes(32).toString('hex'))).status, 401);
    assert.equal((await me({}, secret.toUpperCase())).status, 401);
    const hs512 = await new SignJWT({ sub: 'Ann', userId: 7, role: 'REGULAR', exp: seconds() + 60 })
      .setProtectedHeader({ alg: 'HS512' })
      .sign(Buffer.from(`${secret}${secret}`));
    assert.equal((await world.as(hs512, 'GET', '/me')).status, 401);
  });

  test('userId is a positive integer or its one spelling; everything else is nobody', async () => {
    for (const userId of [
      '',
      true,
      null,
      'abc',
      '07',
      ' 7',
      '7 ',
      '+7',
      '7.0',
      7.5,
      0,
      -7,
      2 ** 53,
      [7],
      { id: 7 },
      '1e3',
      undefined,
    ])
      assert.equal((await me({ userId })).status, 401, JSON.stringify(userId));
  });

  test('no role is no access, INACTIVE 403 everywhere, RESTRICTED does not run, ADMIN is capped', async () => {
    for (const role of [undefined, '', 'root', 7, ['ADMIN'], 'INACTIVE']) {
      for (const path of ['/me', '/agents/assistant', '/agents/nothing', '/nothing'])
        assert.equal((await world.as(await mint({ role }), 'GET', path)).status, 403, `${role} ${path}`);
    }
    const restricted = await mint({ role: 'RESTRICTED' });
    assert.equal((await world.as(restricted, 'GET', '/me')).status, 200);
    assert.equal((await world.as(restricted, 'POST', '/agents/assistant/sessions', {})).status, 403);
    assert.equal((await me({ role: 'ADMIN' })).body.role, 'REGULAR');
    assert.equal((await world.as(await mint({ role: 'ADMIN' }), 'GET', '/principals')).status, 403);
  });

  test('a disabled userId is refused with the token in hand, the namesake is not', async () => {
    const token = await mint({ userId: 70 });
    assert.equal((await world.as(token, 'GET', '/me')).status, 200);
    await world.admin('PATCH', '/principals', { issuer: 'legacy:env', subject: '70', disabled: true });
    assert.equal((await world.as(token, 'GET', '/me')).status, 403);
    assert.equal((await me({ userId: 71 })).status, 200);
  });
});

test('P1 a short or well-known AUTH_JWT_SECRET trusts nobody', async () => {
  for (const secret of ['secret', 'changeme'.repeat(5), 'a'.repeat(40)]) {
    await using world = await startWorld({ bare: true, env: { AUTH_JWT_SECRET: secret } });
    const token = await new SignJWT({ sub: 'Ann', userId: 7, role: 'REGULAR', exp: seconds() + 300 })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(secret));
    assert.equal((await world.as(token, 'GET', '/me')).status, 401, secret);
  }
});
