import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { createIdentityFetch } from '@onbehalf/token-exchange';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import { signInByLink } from '../people/people.ts';
import { postForm } from './browser.ts';
import {
  agentNamed,
  bearerSubject,
  exchange,
  exchangeForm,
  platformAuth,
  platformExchange,
  targetOf,
} from './exchange-fixture.ts';
import { HR, type IdentityFixture, identityFixture, ORDERS } from './fixture.ts';

/** A tool server that knows the issuer's address and its own name, and nothing of our code. */
async function toolServer(f: IdentityFixture) {
  const jwks = createRemoteJWKSet(new URL(`${f.publicUrl}/jwks`));
  const server = createServer(async (request, response) => {
    const own = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
    try {
      const token = (request.headers.authorization ?? '').replace(/^Bearer /, '');
      const checks = { issuer: f.publicUrl, audience: own, typ: 'at+jwt', algorithms: ['ES256'] };
      const { payload } = await jwtVerify(token, jwks, checks);
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(payload));
    } catch {
      response.writeHead(401).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
    },
  };
}

test('two people through one agent at two tool servers: each sees its own caller, verified with jose', async () => {
  await using f = await identityFixture();
  await using first = await toolServer(f);
  await using second = await toolServer(f);
  await f.apply('RemoteMCPServer', 'first', f.exchangeServer(first.url, ['orders.read']));
  await f.apply('RemoteMCPServer', 'second', f.exchangeServer(second.url, ['hr.read']));
  const client = platformExchange(f);
  const agent = agentNamed(f, 'assistant');
  for (const person of ['alice', 'bob'])
    for (const [server, scope] of [
      [first, 'orders.read'],
      [second, 'hr.read'],
    ] as const) {
      const call = createIdentityFetch({
        exchange: client,
        target: { ...targetOf(server.url, [scope]), url: server.url },
        subject: bearerSubject(f, (await signInByLink(f, person)).access_token),
        session: `session of ${person}`,
        agent: { uid: agent.uid, name: 'default/assistant' },
        actor: f.identity.platform.actorFor(agent),
      })(fetch);
      const answer = await call(server.url, { method: 'POST', body: '{}' });
      assert.equal(answer.status, 200);
      const seen = (await answer.json()) as Record<string, unknown>;
      const { iss, sub, aud, act, scope: granted, exp, iat, client_id: clientId } = seen;
      assert.deepEqual([iss, sub, aud, granted, clientId], [f.publicUrl, person, server.url, scope, 'platform']);
      assert.deepEqual(act, { sub: 'agent:default/assistant', iss: f.publicUrl, agent_uid: f.uids.assistant });
      assert.ok(Number(exp) - Number(iat) <= 300);
    }
  assert.equal(client.stats.exchanges, 4);
  assert.deepEqual(f.identity.counts(), { exchanges: 4, delegations: 0, workloads: 0, refused: 0 });
  assert.deepEqual(f.errors, []);
});

test('an issue is audited with the target and who registered it, and nothing of a token', async () => {
  await using f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  const { status, body, headers } = await exchange(f, subject, ORDERS, 'orders.read orders.refund admin');
  assert.equal(status, 200);
  assert.equal(headers.get('cache-control'), 'no-store');
  const { access_token: token, ...rest } = body;
  assert.deepEqual(rest, {
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: 300,
    scope: 'orders.read orders.refund',
  });
  const claims = decodeJwt(String(token));
  const lines = await f.audit.query({ type: 'issue' });
  assert.equal(lines.length, 1);
  const { principal, agent, chain, target, data, token: issued } = lines[0]?.entry ?? {};
  assert.deepEqual([principal?.subject, principal?.as, principal?.sid], ['alice', 'alice', decodeJwt(subject).sid]);
  assert.deepEqual([agent?.uid, agent?.name], [f.uids.assistant, 'assistant']);
  assert.deepEqual(chain, [{ agent: 'agent:default/assistant', uid: f.uids.assistant }]);
  assert.deepEqual(
    [target?.server, target?.uid, target?.resource, target?.registeredBy],
    ['default/orders', f.uids.orders, ORDERS, { issuer: 'local', subject: 'local-admin' }],
  );
  assert.deepEqual([issued?.jti, data?.client], [claims.jti, 'platform']);
  assert.deepEqual(f.asked.at(-1), {
    subject: { issuer: f.publicUrl, subject: 'alice' },
    agent: agentNamed(f, 'assistant'),
    server: { uid: f.uids.orders, namespace: 'default', name: 'orders' },
    chain: [],
  });
  const everything = (await f.audit.query({ limit: 1000 })).map((line) => line.body).join('\n');
  for (const part of [subject, String(token)].map((jwt) => jwt.split('.')[2] ?? ''))
    assert.equal(everything.includes(part), false);
  assert.equal((await f.audit.verify()).ok, true);
});

test('the result never outlives the subject token', async () => {
  await using f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  f.clock.ahead = 8 * 60_000;
  const { body } = await exchange(f, subject, ORDERS);
  const claims = decodeJwt(String(body.access_token));
  assert.equal(claims.exp, decodeJwt(subject).exp);
  assert.ok(Number(body.expires_in) <= 120);
});

test('a delegation goes to the child that it names, whose token names both agents', async () => {
  await using f = await identityFixture();
  const client = platformExchange(f);
  const subject = bearerSubject(f, (await signInByLink(f, 'alice')).access_token);
  const [parent, child] = [agentNamed(f, 'assistant'), agentNamed(f, 'researcher')];
  const delegation = await client.delegationToken({
    subject,
    actor: f.identity.platform.actorFor(parent),
    delegate: 'agent:default/researcher',
    scopes: ['orders.read'],
  });
  const claims = decodeJwt(delegation.value.reveal());
  assert.deepEqual([claims.aud, claims.may_act], [f.publicUrl, { sub: 'agent:default/researcher' }]);
  assert.deepEqual(f.asked.at(-1), {
    subject: { issuer: f.publicUrl, subject: 'alice' },
    agent: child,
    server: undefined,
    chain: [parent],
  });
  const token = await client.token({
    subject: {
      ...{ principal: subject.principal, refreshable: false },
      current: async () => ({
        ...{ token: delegation.value, expiresAt: delegation.expiresAt },
        tokenType: 'urn:onbehalf:token-type:delegation',
      }),
    },
    target: targetOf(ORDERS, ['orders.read', 'orders.refund']),
    actor: f.identity.platform.actorFor(child),
  });
  const act = decodeJwt(token.value.reveal()).act;
  assert.deepEqual(act, {
    ...{ sub: 'agent:default/researcher', iss: f.publicUrl, agent_uid: f.uids.researcher },
    act: { sub: 'agent:default/assistant', iss: f.publicUrl, agent_uid: f.uids.assistant },
  });
  // What was delegated is all that the child may ask for.
  assert.equal(token.scope, 'orders.read');
  assert.deepEqual(f.asked.at(-1)?.chain, [parent]);
  assert.deepEqual(f.identity.counts(), { exchanges: 1, delegations: 1, workloads: 0, refused: 0 });
});

test('an agent and the platform get tokens of their own, for no person', async () => {
  await using f = await identityFixture();
  const JOBS = 'https://jobs.internal/mcp';
  await f.apply('RemoteMCPServer', 'jobs', {
    url: JOBS,
    auth: { mode: 'Workload', tokenServiceRef: { name: 'onbehalf' }, resource: [JOBS], scopes: ['jobs.run'] },
  });
  const client = platformExchange(f);
  const agent = { uid: f.uids.assistant, name: 'default/assistant' };
  const own = await client.workloadToken({ agent, target: targetOf(JOBS, ['jobs.run']) });
  const claims = decodeJwt(own.value.reveal());
  assert.deepEqual(
    [claims.sub, claims.aud, claims.act, claims.scope],
    ['agent:default/assistant', JOBS, undefined, 'jobs.run'],
  );
  assert.deepEqual(f.asked.at(-1)?.subject, undefined);
  const discovery = await client.workloadToken({ agent: 'platform', target: targetOf(ORDERS, ['orders.read']) });
  assert.equal(decodeJwt(discovery.value.reveal()).sub, 'client:platform');
  // An Exchange server is for people: an agent alone gets nothing there.
  await assert.rejects(client.workloadToken({ agent, target: targetOf(ORDERS, ['orders.read']) }), {
    code: 'invalid_target',
  });
  assert.deepEqual(f.identity.counts(), { exchanges: 0, delegations: 0, workloads: 3, refused: 1 });
});

test('in process and over a socket: the same bytes, checks and counts', async () => {
  await using f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  const send = async (via: typeof fetch) => {
    const form = await exchangeForm(f, subject, HR, 'hr.read');
    const answer = await via(`${f.publicUrl}/sts/token`, { method: 'POST', body: new URLSearchParams(form) });
    const { access_token: token, ...body } = (await answer.json()) as Record<string, unknown>;
    const { jti, iat, exp, ...claims } = decodeJwt(String(token));
    const kept = ['content-type', 'cache-control', 'content-length', 'x-content-type-options'];
    return { status: answer.status, body, claims, headers: kept.slice(0, 2).map((name) => answer.headers.get(name)) };
  };
  assert.deepEqual(await send(f.identity.fetch), await send(fetch));
  const bytes = async (via: typeof fetch, path: string) => (await via(f.publicUrl + path)).text();
  for (const path of ['/jwks', '/.well-known/openid-configuration'])
    assert.equal(await bytes(f.identity.fetch, path), await bytes(fetch, path));
  const bad = async (via: typeof fetch) => {
    const answer = await via(`${f.publicUrl}/sts/token?x=1`, { method: 'POST', body: new URLSearchParams({ a: '1' }) });
    return [answer.status, await answer.text()];
  };
  assert.deepEqual(await bad(f.identity.fetch), await bad(fetch));
  assert.deepEqual(f.identity.counts(), { exchanges: 2, delegations: 0, workloads: 0, refused: 2 });
  await assert.rejects(f.identity.fetch('https://orders.internal/mcp'), { code: 'not_ours' });
  await assert.rejects(f.identity.fetch(`${f.publicUrl}/api/me`), { code: 'not_ours' });
});

test('introspection shows act to clients, and only what is live', async () => {
  await using f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  const { body } = await exchange(f, subject, ORDERS);
  const token = String(body.access_token);
  const ask = async (value: string) =>
    (await postForm(f.publicUrl, { ...(await platformAuth(f)), token: value }, '/sts/introspect')).body;
  const live = await ask(token);
  assert.deepEqual(
    [live.active, live.sub, (live.act as { sub: string }).sub],
    [true, 'alice', 'agent:default/assistant'],
  );
  assert.deepEqual(await ask('garbage'), { active: false });
  const anonymous = await postForm(f.publicUrl, { token }, '/sts/introspect');
  assert.deepEqual([anonymous.status, anonymous.body.error], [401, 'invalid_client']);
  const revoked = await postForm(f.publicUrl, { ...(await platformAuth(f)), token }, '/sts/revoke');
  assert.equal(revoked.status, 200);
  assert.deepEqual(await ask(token), { active: false });
  const other = await exchange(f, subject, HR, 'hr.read');
  assert.equal((await ask(String(other.body.access_token))).active, true);
  await f.identity.users.disable(f.publicUrl, 'alice', true);
  assert.deepEqual(await ask(String(other.body.access_token)), { active: false });
});

test('revoking its refresh token ends a login, and another client cannot', async () => {
  await using f = await identityFixture();
  const tokens = await signInByLink(f, 'alice');
  const revoke = (client: string) =>
    postForm(f.publicUrl, { client_id: client, token: tokens.refresh_token }, '/sts/revoke');
  assert.equal((await revoke('console')).status, 200);
  assert.equal((await exchange(f, tokens.access_token, ORDERS)).status, 200);
  assert.equal((await revoke('cli')).status, 200);
  const after = await exchange(f, tokens.access_token, ORDERS);
  assert.deepEqual([after.status, after.body.error], [400, 'invalid_request']);
});
