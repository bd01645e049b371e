import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { SubjectSource } from '@onbehalf/token-exchange';
import { followRevocations } from '../../src/policy/revocations.ts';
import { createTokenServices, type ExchangeSettings } from '../../src/tools/token-services.ts';
import { postForm } from '../issuer/browser.ts';
import { agentNamed, bearerSubject, platformAuth } from '../issuer/exchange-fixture.ts';
import { type IdentityFixture, identityFixture, ORDERS } from '../issuer/fixture.ts';
import { signInByLink } from '../people/people.ts';
import { type Chain, startChain } from '../runtime/chain.ts';

const until = async (done: () => boolean | Promise<boolean>) => {
  for (let wait = 0; wait < 200; wait++) {
    if (await done()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail('not within a second');
};

describe('X13 what is dropped is revoked at the token service', () => {
  let chain: Chain;
  before(async () => {
    chain = await startChain();
    await chain.ready();
  });
  after(() => chain.close());

  /** One call of the tool server, so that one token is cached; its `jti`. */
  async function warm(user: string, session: string, subject?: SubjectSource): Promise<string> {
    const asked = subject ?? (await chain.sts.user(user));
    const before = chain.seen.orders.length;
    const result = await chain.say(user, 'list my orders', { session, subject: asked });
    assert.equal(result.toolCalls[0]?.isError, false);
    const { jti } = chain.seen.orders[before] ?? {};
    return String(jti);
  }
  const jtis = () =>
    chain.sts.revocations.map(({ form }) => {
      const payload = (form.get('token') ?? '').split('.')[1] ?? '';
      return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { jti: string }).jti;
    });

  test('the end of a session: its tokens, as our client; not those of the other person', async () => {
    const [mine, other] = [await chain.session('alice'), await chain.session('bob')];
    const alice = await warm('alice', mine.id);
    const bob = await warm('bob', other.id);
    chain.tools.forget({ session: mine.id });
    await until(() => chain.tools.counts().revoked === 1);
    assert.deepEqual(jtis(), [alice]);
    assert.ok(!jtis().includes(bob));
    const [request] = chain.sts.revocations;
    assert.deepEqual(request?.client, { id: 'platform', method: 'basic' });
    assert.equal(request?.form.get('token_type_hint'), 'access_token');
    assert.equal(chain.tools.counts().revocationsFailed, 0);
  });

  test('a person, an agent, a server and a login lose theirs; a changed Grant revokes nothing', async () => {
    const count = () => chain.sts.counts.revocation;
    const server = chain.registry.get('RemoteMCPServer', 'default', 'orders');
    const filters = [
      { subject: { issuer: chain.sts.issuer, subject: 'carol' } },
      { agent: chain.agent().metadata.uid },
      { server: server?.metadata.uid ?? '', target: { name: 'default/orders', audience: [], resource: [] } },
      { loginSession: 'login-1' },
    ];
    for (const filter of filters) {
      chain.tools.forget({ all: true }, { revoke: false });
      const { id } = await chain.session('carol');
      await warm('carol', id, await chain.sts.user('carol', { sid: 'login-1' }));
      const before = count();
      chain.tools.forget(filter);
      await until(() => count() === before + 1);
    }
    const { id } = await chain.session('carol');
    await warm('carol', id);
    const before = count();
    chain.tools.forget({ all: true }, { revoke: false });
    chain.tools.forget({});
    chain.tools.forget({ server: 'another' });
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(count(), before);
  });

  test('the change log: who or what ends loses its tokens there; what is merely seen or changed does not', async () => {
    type Listener = (ended: readonly { issuer: string; subject: string }[]) => void;
    const listeners = new Set<Listener>();
    let refreshes = 0;
    const policy = { onChange: () => () => undefined, refresh: () => void refreshes++ };
    const principals = {
      onChange: (listener: Listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    };
    const { store, registry, tools } = chain;
    const runtime = { reconsider: () => undefined };
    const stop = followRevocations({ store, registry, policy, principals, tools, runtime });
    const { issuer } = chain.sts;
    const count = () => chain.sts.counts.revocation;
    const exchanges = () => chain.sts.counts.token;
    const change = (...changes: Parameters<typeof chain.store.commit>[0]['changes'] & object) =>
      chain.store.commit({ statements: [], changes });
    const erin = await chain.sts.user('erin', { sid: 'login-erin' });
    const fresh = async () => {
      const { id } = await chain.session('erin');
      await warm('erin', id, erin);
      return id;
    };
    const revokes = async (act: (session: string) => unknown) => {
      const session = await fresh();
      const before = count();
      await act(session);
      await until(() => count() === before + 1);
    };
    try {
      await revokes((key) => change({ kind: 'Session', key, op: 'delete' }));
      await revokes(() => change({ kind: 'LoginSession', key: 'login-erin', op: 'delete' }));
      await revokes(() => change({ kind: 'Deny', key: `${issuer} sid login-erin`, op: 'put' }));
      await revokes(() => change({ kind: 'Deny', key: `${issuer} sub erin`, op: 'put' }));
      await revokes(() => {
        for (const listener of listeners) listener([{ issuer, subject: 'erin' }]);
      });

      const session = await fresh();
      const [before, asked] = [count(), exchanges()];
      refreshes = 0;
      await change(
        { kind: 'Principal', key: `${issuer} erin`, op: 'put' },
        { kind: 'LoginSession', key: 'login-erin', op: 'put' },
        { kind: 'Deny', key: `${issuer} sid login-erin`, op: 'delete' },
        ...Array.from({ length: 20 }, (_, at) => ({ kind: 'Deny', key: `${issuer} jti ${at}`, op: 'put' as const })),
      );
      for (const listener of listeners) listener([]);
      await new Promise((resolve) => setTimeout(resolve, 30));
      await warm('erin', session, erin);
      assert.deepEqual([count(), exchanges()], [before, asked]);
      assert.equal(refreshes, 1, 'one look at the policy for one batch of changes');

      refreshes = 0;
      for (let at = 0; at < 100; at++) await change({ kind: 'Deny', key: `${issuer} sid storm ${at}`, op: 'put' });
      await until(() => refreshes > 0);
      await new Promise((resolve) => setTimeout(resolve, 30));
      assert.ok(refreshes < 50, `${refreshes} looks for a storm of 100`);
      refreshes = 0;
      await change(
        { kind: 'LoginSession', key: 'login-erin', op: 'put' },
        { kind: 'Deny', key: `${issuer} sid storm 1`, op: 'delete' },
      );
      await new Promise((resolve) => setTimeout(resolve, 30));
      assert.equal(refreshes, 0, 'nothing has ended');
    } finally {
      stop();
    }
  });

  test('a service whose endpoint fails holds nothing up; it is counted', async () => {
    const { id } = await chain.session('dave');
    await warm('dave', id);
    chain.sts.failRevocations('status_500');
    const { revocationsFailed } = chain.tools.counts();
    chain.tools.forget({ session: id });
    await until(() => chain.tools.counts().revocationsFailed === revocationsFailed + 1);
    chain.sts.failRevocations(undefined);
    await warm('dave', (await chain.session('dave')).id);
  });
});

/** The embedded token service, asked as the tools room asks it. */
async function embedded(f: IdentityFixture, settings?: ExchangeSettings) {
  const services = createTokenServices({
    registry: f.registry,
    audit: f.audit,
    egress: f.egress,
    credentials: f.vault.credentials,
    platform: f.identity.platform,
    installation: 'test',
    onView: () => undefined,
    ...(settings && { settings }),
  });
  const { exchange } = services.get('onbehalf');
  const agent = agentNamed(f, 'assistant');
  return {
    services,
    exchange,
    agent,
    async ask(user: string, session: string) {
      const subject = bearerSubject(f, (await signInByLink(f, user)).access_token);
      return exchange.token({
        subject,
        session,
        target: { audience: [], resource: [ORDERS], scopes: ['orders.read'] },
        agent: { uid: agent.uid, name: 'default/assistant' },
        actor: f.identity.platform.actorFor(agent),
      });
    },
  };
}

test('the embedded service: one login or session is inactive at once; thousands of one agent cause no storm', async () => {
  await using f = await identityFixture();
  const { services, exchange, agent, ask } = await embedded(f);
  const active = async (token: { value: { reveal(): string } }) => {
    const fields = { ...(await platformAuth(f)), token: token.value.reveal() };
    return (await postForm(f.publicUrl, fields, '/sts/introspect')).body.active;
  };
  const [alice, bob] = [await ask('alice', 'a'), await ask('bob', 'b')];
  assert.deepEqual([await active(alice), await active(bob)], [true, true]);
  services.forget({ session: 'a' }, {});
  await until(async () => (await active(alice)) === false);
  assert.equal(await active(bob), true);
  assert.equal(exchange.stats.revoked, 1);

  await ask('alice', 'c');
  const revision = f.store.revision();
  services.forget({ agent: agent.uid }, {});
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(exchange.stats.cached, 0);
  assert.equal(exchange.stats.revoked, 1);
  assert.equal(f.store.revision(), revision);
  services.close();
});

test('the section tokenExchange of the configuration reaches the exchange client', async () => {
  await using f = await identityFixture();
  const settings = { cacheEntries: 1, tryTimeout: 5_000, timeout: 10_000, safetyMargin: 0, revoke: false };
  const { services, exchange, ask } = await embedded(f, settings);
  await ask('alice', 'a');
  await ask('alice', 'b');
  assert.equal(exchange.stats.cached, 1);
  services.forget({ session: 'b' }, {});
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual([exchange.stats.cached, exchange.stats.revoked, exchange.stats.revocationsFailed], [0, 0, 0]);
  services.close();

  const narrow = await embedded(f, { ...settings, cacheEntries: 10, safetyMargin: 290_000 });
  await narrow.ask('alice', 'a');
  assert.equal(narrow.exchange.stats.cached, 1);
  narrow.services.close();
  const never = await embedded(f, { ...settings, cacheEntries: 10, safetyMargin: 301_000 });
  await never.ask('alice', 'a');
  assert.equal(never.exchange.stats.cached, 0);
  never.services.close();
});
