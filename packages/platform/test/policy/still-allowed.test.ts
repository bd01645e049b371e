import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { LOCAL_ADMIN } from '../../src/people/index.ts';
import {
  type Admitted,
  createPolicy,
  type Presence,
  presentCaller,
  stillAllowed,
  watchAccess,
} from '../../src/policy/index.ts';
import { until } from '../control/fixture.ts';
import { bearerSubject } from '../issuer/exchange-fixture.ts';
import { type IdentityFixture, identityFixture } from '../issuer/fixture.ts';
import { consoleLogin } from '../login/console-login.ts';
import { signInByLink } from '../people/people.ts';

/** alice and bob may run the assistant, alice alone the researcher; each is signed in. */
async function withPeople() {
  const f = await identityFixture();
  const { identity, registry, now } = f;
  const give = (name: string, subject: string, target: string) =>
    f.apply('Grant', name, {
      to: { principal: { issuer: f.publicUrl, subject } },
      on: { kind: 'Agent', name: target },
      verbs: ['run'],
    });
  await f.apply('TrustedIssuer', 'onbehalf', { issuer: f.publicUrl, maxRole: 'ADMIN' }, false);
  await give('a', 'alice', 'assistant');
  await give('b', 'bob', 'assistant');
  for (const grant of registry.list('Grant'))
    await registry.updateStatus(grant.metadata.uid, (status) => ({ ...status, targetUid: f.uids.assistant }));
  const policy = createPolicy({ registry, principals: identity.principals, issuer: f.publicUrl, now });
  const presence: Presence = {
    session: async (hash) => identity.sessions.byHash(hash),
    verifier: identity.verifier,
    principals: identity.principals,
    now,
  };
  const run = { kind: 'Agent', uid: f.uids.assistant };
  return {
    ...{ f, policy, presence },
    allowed: (admitted: Admitted) => stillAllowed(presence, policy, admitted, 'run', run),
    reads: (admitted: Admitted, owner: string, reason?: string) =>
      stillAllowed(
        presence,
        policy,
        admitted,
        'session.read',
        { kind: 'Session', owner: { issuer: f.publicUrl, subject: owner } },
        reason === undefined ? {} : { reason },
      ),
    async [Symbol.asyncDispose]() {
      policy.close();
      await f[Symbol.asyncDispose]();
    },
  };
}

async function byToken(f: IdentityFixture, subject: string): Promise<Admitted> {
  const { access_token: token = '' } = await signInByLink(f, subject);
  const principal = await f.identity.verifier.verify(SecretValue.of(token), 'api');
  return { principal, subject: bearerSubject(f, token) };
}

async function byCookie(f: IdentityFixture, subject: string): Promise<Admitted & { cookie: SecretValue }> {
  const { cookie } = await consoleLogin(f, subject);
  const session = await f.identity.sessions.authenticate(cookie);
  if (session === undefined) throw new Error('not signed in');
  return { principal: session.principal, subject: session.subject, loginSession: session.idHash, cookie };
}

test('whoever was admitted is asked for as their token or login says it now, and nobody else for them', async () => {
  await using w = await withPeople();
  const alice = await byToken(w.f, 'alice');
  const console_ = await byCookie(w.f, 'alice');
  const bob = await byCookie(w.f, 'bob');
  for (const admitted of [alice, console_, bob]) assert.equal(await w.allowed(admitted), true);
  assert.deepEqual([await w.reads(alice, 'alice'), await w.reads(bob, 'bob')], [true, true]);
  assert.deepEqual([await w.reads(alice, 'bob'), await w.reads(bob, 'alice')], [false, false]);
  const present = await presentCaller(w.presence, console_);
  assert.deepEqual([present?.principal.subject, present?.loginSession], ['alice', console_.loginSession]);

  // A role that is taken here counts for whoever is in already.
  await w.f.identity.users.setRole(w.f.publicUrl, 'alice', 'RESTRICTED');
  assert.deepEqual([await w.allowed(alice), await w.allowed(console_), await w.allowed(bob)], [false, false, true]);
  await w.f.identity.users.setRole(w.f.publicUrl, 'alice', 'REGULAR');
  assert.equal(await w.allowed(alice), true);
  await w.f.identity.users.disable(w.f.publicUrl, 'alice', true);
  assert.deepEqual([await w.allowed(alice), await w.allowed(console_), await w.allowed(bob)], [false, false, true]);
  assert.equal(await presentCaller(w.presence, console_), undefined);
});

test('an ADMIN reads somebody’s conversation by a reason, and not any more once they are none', async () => {
  await using w = await withPeople();
  await w.f.identity.users.setRole(w.f.publicUrl, 'bob', 'ADMIN');
  const bob = await byCookie(w.f, 'bob');
  assert.deepEqual([await w.reads(bob, 'alice'), await w.reads(bob, 'alice', 'an incident')], [false, true]);
  await w.f.identity.users.setRole(w.f.publicUrl, 'bob', 'REGULAR');
  assert.equal(await w.reads(bob, 'alice', 'an incident'), false);
  assert.equal(await w.reads(bob, 'bob'), true);
});

test('a sign-out ends what was admitted by that login, and nothing of another login of the same person', async () => {
  await using w = await withPeople();
  const one = await byCookie(w.f, 'alice');
  const two = await byCookie(w.f, 'alice');
  await w.f.identity.sessions.logout(one.cookie);
  assert.deepEqual([await w.allowed(one), await w.allowed(two)], [false, true]);
});

test('a revoked token is looked for in the deny list also where its holder is asked about without it', async () => {
  await using w = await withPeople();
  const { principal } = await byToken(w.f, 'alice');
  const without = { principal, subject: undefined };
  assert.equal(await w.allowed(without), true);
  await w.f.identity.users.disable(w.f.publicUrl, 'alice', true);
  assert.equal(await w.allowed(without), false);
  assert.equal(await w.allowed({ principal: LOCAL_ADMIN, subject: undefined }), true);
});

test('an error while asking is no yes: whoever cannot be asked about is let go', async () => {
  await using w = await withPeople();
  const bob = await byCookie(w.f, 'bob');
  const broken: Presence = { ...w.presence, session: () => Promise.reject(new Error('the store is gone')) };
  let lost = 0;
  const asks = () => stillAllowed(broken, w.policy, bob, 'run', { kind: 'Agent', uid: w.f.uids.assistant });
  await assert.rejects(asks, /the store is gone/);
  const stop = watchAccess(w.policy, asks, () => lost++);
  w.policy.refresh();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(lost, 1);
  stop();
  w.policy.refresh();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(lost, 1);
});

test('a watch asks again after each change, and lets go when the answer is no', async () => {
  await using w = await withPeople();
  const alice = await byToken(w.f, 'alice');
  const bob = await byToken(w.f, 'bob');
  const lost: string[] = [];
  const watch = (name: string, admitted: Admitted) =>
    watchAccess(
      w.policy,
      () => w.allowed(admitted),
      () => lost.push(name),
    );
  const stops = [watch('alice', alice), watch('bob', bob)];
  await w.f.switchOff('researcher');
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual([...lost], []);
  await w.f.identity.users.disable(w.f.publicUrl, 'alice', true);
  await until(() => lost.length > 0);
  assert.deepEqual([...new Set(lost)], ['alice']);
  await w.f.switchOff('assistant');
  await until(() => lost.includes('bob'));
  for (const stop of stops) stop();
});
