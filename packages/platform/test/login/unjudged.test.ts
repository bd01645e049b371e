import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt } from 'jose';
import { identityFixture } from '../issuer/fixture.ts';
import { startOtherIssuer } from './other-issuer.ts';
import { signIn } from './steps.ts';

/** Two people who are signed in at an issuer whose keys are fetched. */
async function start() {
  const office = await startOtherIssuer('office');
  const config = { ...office.config, keys: { kind: 'jwks' as const, uri: `${office.url}/jwks` } };
  const f = await identityFixture({ trusted: () => [config], logins: () => [office.login] });
  const [alice, bob] = [await signIn(f, office, 'alice'), await signIn(f, office, 'bob')];
  const who = async (cookie: SecretValue) => (await f.identity.sessions.authenticate(cookie))?.principal.subject;
  const tokenOf = async (cookie: SecretValue) =>
    (await (await f.identity.sessions.authenticate(cookie))?.subject.current())?.token.reveal() ?? '';
  return {
    ...{ f, office, alice, bob, who, tokenOf },
    /** The issuer was told that something is over. */
    told: () => office.requests('/revoke').length + office.requests('/end').length,
    refreshes: () => office.requests('/token').filter(({ form }) => form.get('grant_type') === 'refresh_token').length,
    /** Both clocks, as far as tokens say. */
    pass(ms: number) {
      f.clock.ahead += ms;
      office.change.ahead += ms / 1000;
    },
    async [Symbol.asyncDispose]() {
      await f[Symbol.asyncDispose]();
      await office[Symbol.asyncDispose]();
    },
  };
}

test('J6 a renewal under a new key finds it at once, although a stranger’s junk kid has just had the keys looked at', async () => {
  await using w = await start();
  const { f, office, alice, bob } = w;
  w.pass(250_000);
  const junk = await office.sign(
    { iss: office.url, sub: 'x', aud: 'our-api', exp: 9_999_999_999, iat: 1, jti: 'j' },
    'at+jwt',
  );
  const [, payload, signature] = junk.split('.');
  const stranger = async () => {
    const kid = Math.random().toString(36);
    const header = Buffer.from(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid })).toString('base64url');
    await assert.rejects(f.identity.verifier.verify(SecretValue.of(`${header}.${payload}.${signature}`), 'api'), {
      code: 'key_unknown',
    });
  };
  await stranger();
  const looked = office.requests('/jwks').length;
  await office.rotate('k2');
  await stranger();
  assert.equal(office.requests('/jwks').length, looked, 'strangers cause one look in 30 s');
  const before = await w.tokenOf(alice);
  assert.deepEqual([await w.who(alice), await w.who(bob)], ['alice', 'bob']);
  assert.equal(decodeJwt(before).sub, 'alice');
  assert.equal(w.refreshes(), 2);
  assert.equal(office.requests('/jwks').length, looked + 1, 'the renewal looked once more');
  assert.equal(w.told(), 0);
});

test('a key set that cannot be had ends no login: what the issuer answered is kept, and judged when it can be', async () => {
  await using w = await start();
  const { office, alice, bob } = w;
  w.pass(250_000);
  await office.rotate('k2');
  office.change.jwksStatus = 503;
  const [a, b] = [await w.tokenOf(alice), await w.tokenOf(bob)];
  assert.deepEqual([decodeJwt(a).sub, decodeJwt(b).sub], ['alice', 'bob'], 'the tokens that are there are used');
  assert.equal(w.refreshes(), 2);
  await w.tokenOf(alice);
  assert.equal(w.refreshes(), 2, 'the answer is not asked for again');
  // The tokens from before have ended by now: nobody is signed in, and nothing is lost.
  w.pass(60_000);
  assert.deepEqual([await w.who(alice), await w.who(bob)], [undefined, undefined]);
  office.change.jwksStatus = 200;
  w.pass(6_000);
  assert.deepEqual([await w.who(alice), await w.who(bob)], ['alice', 'bob']);
  assert.equal(w.refreshes(), 2, 'the same answer was judged again');
  // Its refresh token was kept too.
  w.pass(200_000);
  assert.deepEqual([await w.who(alice), await w.who(bob)], ['alice', 'bob']);
  assert.equal(w.refreshes(), 4);
  assert.equal(w.told(), 0);
});

test('an issuer whose clock is 40 s ahead ends no login, at us or at itself', async () => {
  await using w = await start();
  const { f, office, alice, bob } = w;
  w.pass(250_000);
  office.change.ahead += 40;
  assert.deepEqual([await w.who(alice), await w.who(bob)], ['alice', 'bob']);
  const old = await w.tokenOf(alice);
  f.clock.ahead += 15_000;
  const next = await w.tokenOf(alice);
  assert.notEqual(next, old, 'its answer counts as soon as it may');
  assert.deepEqual([await w.who(alice), await w.who(bob)], ['alice', 'bob']);
  assert.deepEqual([w.refreshes(), w.told()], [2, 0]);
});

test('answers that cannot be judged until they have ended are asked for again, with the refresh token that came last', async () => {
  await using w = await start();
  const { office, alice } = w;
  office.change.access = { aud: 'other-api' };
  w.pass(250_000);
  await w.who(alice);
  w.pass(301_000);
  assert.equal(await w.who(alice), undefined);
  assert.equal(w.refreshes(), 2);
  office.change.access = {};
  w.pass(301_000);
  assert.equal(await w.who(alice), 'alice');
  assert.deepEqual([w.refreshes(), w.told()], [3, 0]);
});

test('P6 a definite no of the issuer ends the login here and nothing there; two people in one answer end it at both', async () => {
  await using w = await start();
  const { f, office, alice, bob } = w;
  w.pass(250_000);
  for (const [status, error] of [
    [400, 'invalid_client'],
    [401, 'invalid_client'],
    [400, 'slow_down'],
    [500, 'invalid'],
  ] as const) {
    Object.assign(office.change, { status, error });
    assert.equal(await w.who(alice), 'alice', `${status} ${error} is no end`);
  }
  Object.assign(office.change, { status: 400, error: 'invalid_grant' });
  assert.equal(await w.who(alice), undefined);
  office.change.status = undefined;
  assert.equal(await w.who(alice), undefined, 'and stays ended');
  assert.equal(w.told(), 0);
  office.change.id = { sub: 'mallory' };
  assert.equal(await w.who(bob), undefined);
  office.change.id = {};
  assert.equal(await w.who(bob), undefined);
  assert.equal(office.requests('/revoke').length, 1);
  const lines = await f.audit.query({ type: 'login' });
  assert.deepEqual(
    lines.filter(({ entry }) => entry.outcome === 'signed out').map(({ entry }) => entry.reason),
    ['refused by the issuer', 'two people in one answer'],
  );
});
