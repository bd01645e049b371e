import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TurnResult } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import {
  type AgentRef,
  createTokenExchange,
  privateKeyJwt,
  type SubjectSource,
  type Target,
  TokenExchangeError,
  type TokenServiceConfig,
} from '@onbehalf/token-exchange';
import {
  createRemoteJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  type JWTPayload,
  jwtVerify,
} from 'jose';
import { type KeycloakLogin, signInAtKeycloak } from '../../examples/keycloak/sign-in.ts';
import { hasKeycloak, type RunningKeycloak, setUpKeycloak, startKeycloak } from '../../tools/keycloak.ts';
import { realmOf, type SeenAtServers, startOurServer } from './keycloak-world.ts';
import { freePort, type World } from './world.ts';

const EXAMPLE = join(import.meta.dirname, '..', '..', 'examples', 'keycloak');
const ALICE = '11111111-1111-4111-8111-111111111111';
const BOB = '22222222-2222-4222-8222-222222222222';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const assistant: AgentRef = { uid: 'uid-a', name: 'default/assistant' };
const researcher: AgentRef = { uid: 'uid-r', name: 'default/researcher' };
const wanted = process.env.CI !== undefined || hasKeycloak();

describe('a real Keycloak', {
  skip: wanted ? false : 'Keycloak has not been set up on this machine; under CI it is',
}, () => {
  let dir: string;
  let keycloak: RunningKeycloak;
  let issuer: string;
  before(
    async () => {
      await setUpKeycloak();
      dir = await mkdtemp(join(tmpdir(), 'onbehalf-keycloak-'));
      keycloak = await startKeycloak({ port: await freePort(), realm: join(EXAMPLE, 'realm.json'), dir });
      issuer = `${keycloak.url}/realms/office`;
    },
    { timeout: 900_000 },
  );
  after(async () => {
    await keycloak?.stop();
    if (dir) await rm(dir, { recursive: true, force: true });
  });

  const signIn = (name: string): Promise<KeycloakLogin> => signInAtKeycloak(issuer, name, `${name}-password`);

  function subject(login: KeycloakLogin): SubjectSource {
    const token = SecretValue.of(login.accessToken);
    const { sub = '', sid, exp = 0 } = decodeJwt<{ sid: string }>(login.accessToken);
    return {
      principal: { issuer, subject: sub },
      refreshable: false,
      ...(sid !== undefined && { loginSession: sid }),
      current: async () => ({ token, tokenType: ACCESS_TOKEN, expiresAt: exp * 1000 }),
    };
  }

  const client = (id: string, secret = `${id}-secret`) =>
    ({ auth: 'SecretBasic', id, keyId: '1', secret: SecretValue.of(secret) }) as const;

  const service = (): TokenServiceConfig => ({
    name: 'keycloak',
    issuer,
    profile: 'keycloak',
    client: client('onbehalf'),
    clientPerAgent: [
      { agent: assistant.name, client: client('agent-assistant') },
      { agent: researcher.name, client: client('agent-researcher') },
    ],
  });
  const target = (audience: string): Target => ({ name: audience, audience: [audience], resource: [], scopes: [] });

  const refusedWith =
    (code: string, status: number, error: string) =>
    (thrown: unknown): boolean => {
      assert.ok(thrown instanceof TokenExchangeError, String(thrown));
      assert.deepEqual(
        [thrown.code, thrown.serviceError?.status, thrown.serviceError?.error],
        [code, status, error],
        `${thrown.message} ${thrown.serviceError?.description}`,
      );
      return true;
    };

  describe('the library alone', () => {
    let alice: KeycloakLogin;
    let bob: KeycloakLogin;
    before(async () => {
      alice = await signIn('alice');
      bob = await signIn('bob');
    });

    const verified = async (token: string, audience: string): Promise<JWTPayload> => {
      const keys = createRemoteJWKSet(new URL(`${issuer}/protocol/openid-connect/certs`));
      return (await jwtVerify(token, keys, { issuer, audience, algorithms: ['RS256'] })).payload;
    };

    test('two people, two audiences, two agents: each token is for one of each, and a tool server can verify it', async () => {
      const exchange = createTokenExchange({ tokenService: service() });
      assert.equal(exchange.delegation, 'azp');
      for (const [login, sub] of [
        [alice, ALICE],
        [bob, BOB],
      ] as const)
        for (const audience of ['orders', 'hr'])
          for (const agent of [assistant, researcher]) {
            const token = await exchange.token({ subject: subject(login), target: target(audience), agent });
            const claims = await verified(token.value.reveal(), audience);
            assert.deepEqual(
              [claims.sub, claims.aud, claims.azp],
              [sub, audience, `agent-${agent.name.split('/')[1]}`],
            );
            assert.equal(token.verification, 'signature');
          }
      const again = await exchange.token({ subject: subject(alice), target: target('orders'), agent: assistant });
      assert.equal(again.cached, true);
      assert.deepEqual([exchange.stats.exchanges, exchange.stats.requests], [8, 8]);
    });

    test('100 parallel first calls make one request', async () => {
      const exchange = createTokenExchange({ tokenService: service() });
      const tokens = await Promise.all(
        Array.from({ length: 100 }, () =>
          exchange.token({ subject: subject(alice), target: target('orders'), agent: assistant }),
        ),
      );
      assert.equal(new Set(tokens.map(({ hash }) => hash)).size, 1);
      assert.equal(exchange.stats.requests, 1);
    });

    test('an agent without a client of its own, and a target without audience, are refused before anything is sent', async () => {
      const exchange = createTokenExchange({ tokenService: service() });
      const code = { code: 'invalid_request_configuration' };
      const stranger = { uid: 'x', name: 'default/stranger' };
      await assert.rejects(
        exchange.token({ subject: subject(alice), target: target('orders'), agent: stranger }),
        code,
      );
      const resource: Target = { audience: [], resource: ['https://orders.example/mcp'], scopes: [] };
      await assert.rejects(exchange.token({ subject: subject(alice), target: resource, agent: assistant }), code);
      assert.equal(exchange.stats.requests, 0);
    });

    test('what Keycloak refuses has a code that says who must act', async () => {
      const exchange = createTokenExchange({ tokenService: service() });
      const ask = (audience: string, scopes: readonly string[] = []) =>
        exchange.token({ subject: subject(alice), target: { ...target(audience), scopes }, agent: assistant });
      await assert.rejects(ask('payroll'), refusedWith('invalid_target', 400, 'invalid_request'));
      await assert.rejects(ask('nobody'), refusedWith('invalid_target', 400, 'invalid_client'));
      await assert.rejects(ask('orders', ['no-such-scope']), refusedWith('invalid_scope', 400, 'invalid_scope'));
      const wrong = createTokenExchange({
        tokenService: { ...service(), clientPerAgent: [], client: client('onbehalf', 'wrong-canary') },
      });
      await assert.rejects(wrong.token({ subject: subject(alice), target: target('orders') }), (error) => {
        assert.ok(!JSON.stringify(error).includes('wrong-canary'));
        return refusedWith('invalid_client', 401, 'unauthorized_client')(error);
      });
      // A client that no mapper puts into the subject's `aud`.
      const { clientId, secret, remove } = await newRequester();
      const outsider = createTokenExchange({
        tokenService: { ...service(), clientPerAgent: [], client: client(clientId, secret) },
      });
      await assert.rejects(
        outsider.token({ subject: subject(alice), target: target('orders') }),
        refusedWith('unauthorized_client', 403, 'access_denied'),
      );
      await remove();
    });

    test('RFC 7009: what is forgotten is revoked there, by the client that obtained it; the other person keeps theirs', async () => {
      const exchange = createTokenExchange({ tokenService: service() });
      const ask = (login: KeycloakLogin, session: string) =>
        exchange.token({ subject: subject(login), target: target('orders'), agent: assistant, session });
      const mine = await ask(alice, 'one');
      const theirs = await ask(bob, 'two');
      const active = await asToolServer('orders');
      assert.deepEqual([await active(mine.value), await active(theirs.value)], [true, true]);
      assert.equal(exchange.forget({ session: 'one' }), 1);
      for (let waited = 0; exchange.stats.revoked === 0 && waited < 5_000; waited += 20)
        await new Promise((resolve) => setTimeout(resolve, 20));
      assert.deepEqual([exchange.stats.revoked, exchange.stats.revocationsFailed], [1, 0]);
      assert.deepEqual([await active(mine.value), await active(theirs.value)], [false, true]);
    });

    test('a client with a key of its own: the assertion is made anew for each request', async () => {
      const clientId = `agent-${crypto.randomUUID()}`;
      const { publicKey, privateKey } = await generateKeyPair('ES256');
      const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
      const remove = remover(
        await create('clients', {
          clientId,
          publicClient: false,
          clientAuthenticatorType: 'client-jwt',
          attributes: {
            'standard.token.exchange.enabled': 'true',
            'use.jwks.string': 'true',
            'jwks.string': JSON.stringify({ keys: [jwk] }),
            'token.endpoint.auth.signing.alg': 'ES256',
          },
          defaultClientScopes: ['basic', 'tool-servers'],
        }),
      );
      const unmap = await mapAudience('portal', clientId);
      const login = await signIn('bob');
      const own = privateKeyJwt({ id: clientId, key: privateKey, keyId: 'k1' });
      const exchange = createTokenExchange({ tokenService: { ...service(), clientPerAgent: [], client: own } });
      for (const audience of ['orders', 'hr']) {
        const token = await exchange.token({ subject: subject(login), target: target(audience) });
        assert.deepEqual([token.claims?.azp, token.claims?.sub], [clientId, BOB]);
      }
      const { privateKey: another } = await generateKeyPair('ES256');
      const wrong = privateKeyJwt({ id: clientId, key: another, keyId: 'k1' });
      const refused = createTokenExchange({ tokenService: { ...service(), clientPerAgent: [], client: wrong } });
      await assert.rejects(
        refused.token({ subject: subject(login), target: target('orders') }),
        refusedWith('invalid_client', 400, 'invalid_client'),
      );
      await unmap();
      await remove();
    });

    test('a login that ended is refused: the user must sign in again; others go on', async () => {
      const exchange = createTokenExchange({ tokenService: service() });
      const other = await signIn('alice');
      await other.logout();
      await assert.rejects(
        exchange.token({ subject: subject(other), target: target('orders'), agent: assistant }),
        (error) => {
          assert.equal((error as TokenExchangeError).actBy, 'user');
          return refusedWith('subject_rejected', 400, 'invalid_request')(error);
        },
      );
      const mine = await exchange.token({ subject: subject(alice), target: target('orders'), agent: assistant });
      assert.equal(mine.claims?.sub, ALICE);
    });

    test('a forged subject token is refused there', async () => {
      const [header, , signature] = alice.accessToken.split('.');
      const payload = Buffer.from(JSON.stringify({ ...decodeJwt(alice.accessToken), sub: BOB })).toString('base64url');
      const forged = { ...alice, accessToken: `${header}.${payload}.${signature}` };
      const exchange = createTokenExchange({ tokenService: service() });
      await assert.rejects(
        exchange.token({ subject: subject(forged), target: target('orders'), agent: assistant }),
        refusedWith('subject_rejected', 400, 'invalid_request'),
      );
    });

    test('a subject that is said to be somebody else is refused here: the answer names another person', async () => {
      const exchange = createTokenExchange({ tokenService: service() });
      const claimed = { ...subject(bob), principal: { issuer, subject: ALICE } };
      await assert.rejects(exchange.token({ subject: claimed, target: target('orders'), agent: assistant }), {
        code: 'untrusted_response',
        deviation: 'subject',
      });
    });

    test('keys are rotated during traffic: no call fails, and the new key signs', async () => {
      const exchange = createTokenExchange({ tokenService: service() });
      const kids = new Set<string>();
      const tokens: string[] = [];
      const ask = async () => {
        const token = await exchange.token({
          subject: subject(alice),
          target: target('hr'),
          agent: assistant,
          session: crypto.randomUUID(),
        });
        tokens.push(token.value.reveal());
        kids.add(String(decodeProtectedHeader(token.value.reveal()).kid));
      };
      for (let at = 0; at < 10; at += 1) await ask();
      const remove = await addKey();
      for (let at = 0; at < 10; at += 1) await ask();
      assert.equal(kids.size, 2);
      for (const token of tokens) assert.equal((await verified(token, 'hr')).sub, ALICE);
      await remove();
    });
  });

  /** As the administrator, at the realm's Admin REST API. Returns the address of what was created. */
  async function create(path: string, body: unknown): Promise<string> {
    const response = await fetch(`${keycloak.url}/admin/realms/office/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await keycloak.adminToken()}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 201, await response.text());
    return response.headers.get('location') ?? '';
  }

  const remover = (address: string) => async () => {
    const authorization = `Bearer ${await keycloak.adminToken()}`;
    const response = await fetch(address, { method: 'DELETE', headers: { authorization } });
    assert.equal(response.status, 204);
  };

  /** Puts a client into the `aud` of tokens that people sign in for. */
  async function mapAudience(clientId: string, audience: string) {
    const response = await fetch(`${keycloak.url}/admin/realms/office/clients?clientId=${clientId}`, {
      headers: { authorization: `Bearer ${await keycloak.adminToken()}` },
    });
    const [found] = (await response.json()) as { id: string }[];
    const address = await create(`clients/${found?.id}/protocol-mappers/models`, {
      name: audience,
      protocol: 'openid-connect',
      protocolMapper: 'oidc-audience-mapper',
      config: { 'included.client.audience': audience, 'access.token.claim': 'true' },
    });
    return remover(address);
  }

  /** A tool server that asks Keycloak (RFC 7662): only those in `aud` are told. */
  async function asToolServer(clientId: string) {
    const realm = realmOf(keycloak);
    const [known] = await realm<{ id: string }[]>('GET', `/clients?clientId=${clientId}`);
    const secret = crypto.randomUUID();
    await realm('PUT', `/clients/${known?.id}`, { ...known, bearerOnly: false, standardFlowEnabled: false, secret });
    return async (token: SecretValue): Promise<boolean> => {
      const answer = await fetch(`${issuer}/protocol/openid-connect/token/introspect`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`${clientId}:${secret}`)}` },
        body: new URLSearchParams({ token: token.reveal() }),
      });
      return ((await answer.json()) as { active: boolean }).active;
    };
  }

  async function addKey() {
    const address = await create('components', {
      name: `rotated-${crypto.randomUUID()}`,
      providerId: 'rsa-generated',
      providerType: 'org.keycloak.keys.KeyProvider',
      config: { priority: ['1000'], enabled: ['true'], active: ['true'], algorithm: ['RS256'] },
    });
    return remover(address);
  }

  async function newRequester() {
    const clientId = 'outsider';
    const secret = 'outsider-secret';
    const address = await create('clients', {
      clientId,
      secret,
      publicClient: false,
      attributes: { 'standard.token.exchange.enabled': 'true' },
      defaultClientScopes: ['basic', 'tool-servers'],
    });
    return { clientId, secret, remove: remover(address) };
  }

  describe('with our server in front', () => {
    let world: World;
    let ours: Awaited<ReturnType<typeof startOurServer>>;
    const seen: SeenAtServers = { orders: [], hr: [], payroll: [] };
    const logins = new Map<string, KeycloakLogin>();
    const tokenOf = (name: string) => logins.get(name)?.accessToken ?? '';

    before(async () => {
      ours = await startOurServer(keycloak.url, seen);
      world = ours.world;
      for (const name of ['alice', 'bob']) logins.set(name, await signIn(name));
    });
    after(() => ours?.close());

    async function say(agent: string, token: string, content: string, session?: string) {
      const opened =
        session === undefined
          ? await world.as<{ id: string }>(token, 'POST', `/agents/${agent}/sessions`, {})
          : { status: 200, body: { id: session } };
      if (opened.body.id === undefined) return { session: '', status: opened.status, body: opened.body as never };
      const path = `/agents/${agent}/sessions/${opened.body.id}/messages`;
      return { session: opened.body.id, ...(await world.as<TurnResult>(token, 'POST', path, { content })) };
    }

    test('sign-in at Keycloak, exchange at Keycloak: two people, two servers, and azp names the agent', async () => {
      const people = [
        ['alice', ALICE],
        ['bob', BOB],
      ] as const;
      await Promise.all(
        people.map(async ([name, sub]) => {
          const { body } = await say('assistant', tokenOf(name), 'list my orders and my vacation days balance');
          assert.equal(body.state, 'completed', JSON.stringify(body));
          assert.deepEqual(
            body.toolCalls.map(({ tool, isError }) => [tool, isError]).sort(),
            [
              ['get_balance', false],
              ['list_orders', false],
            ],
            JSON.stringify(body),
          );
          assert.ok(body.text.includes(`of ${sub}`), body.text);
          assert.ok(!body.text.includes(sub === ALICE ? BOB : ALICE));
        }),
      );
      for (const audience of ['orders', 'hr'] as const) {
        assert.deepEqual(new Set(seen[audience].map(({ sub }) => sub)), new Set([ALICE, BOB]));
        for (const { aud, azp } of seen[audience]) assert.deepEqual([aud, azp], [audience, 'agent-assistant']);
      }
    });

    test('an audience that is not permitted: the call fails with a code, and the tool server sees nothing', async () => {
      const { body } = await say('assistant', tokenOf('alice'), 'show my salary');
      const [call] = body.toolCalls;
      assert.deepEqual([call?.tool, call?.isError], ['get_salary', true], JSON.stringify(body));
      assert.match(JSON.stringify(body), /invalid_target/);
      assert.equal(seen.payroll.length, 0);
    });

    test('sign-in at Keycloak, exchange at the embedded token service: act names the agent, sub the person of Keycloak', async () => {
      for (const [name, sub, other] of [
        ['alice', ALICE, BOB],
        ['bob', BOB, ALICE],
      ] as const) {
        const { body } = await say('clerk', tokenOf(name), 'list my orders and my vacation days balance');
        assert.equal(body.state, 'completed', JSON.stringify(body));
        assert.ok(body.toolCalls.length === 2 && body.toolCalls.every(({ isError }) => !isError), JSON.stringify(body));
        assert.ok(body.text.includes(`Desk lamp for keycloak:${sub}`), body.text);
        assert.ok(!body.text.includes(other));
      }
      for (const entries of [world.seen.orders, world.seen.hr])
        assert.deepEqual(entries.map(({ sub, act }) => [sub, (act as { sub: string }).sub]).sort(), [
          [`keycloak:${ALICE}`, 'agent:default/clerk'],
          [`keycloak:${BOB}`, 'agent:default/clerk'],
        ]);
    });

    test("a token of Keycloak for a tool server, or somebody else's, opens no door of ours", async () => {
      const exchange = createTokenExchange({ tokenService: service() });
      const login = logins.get('alice');
      assert.ok(login);
      const { value } = await exchange.token({ subject: subject(login), target: target('orders'), agent: assistant });
      const replayed = await world.as(value.reveal(), 'GET', '/me');
      assert.equal(replayed.status, 401);
      const [header, payload] = login.accessToken.split('.');
      assert.equal((await world.as(`${header}.${payload}.AAAA`, 'GET', '/me')).status, 401);
      assert.equal((await world.as(login.accessToken, 'GET', '/me')).status, 200);
    });

    test('keys are rotated during traffic: turns go on without a gap, and a login with the new key is known within 31 s', async () => {
      const remove = await addKey();
      const later = await signIn('alice');
      const kid = (token: string) => decodeProtectedHeader(token).kid;
      assert.notEqual(kid(later.accessToken), kid(tokenOf('alice')), 'the new key signs');
      const before = seen.orders.length;
      const works = async (agent: string, token: string) => {
        const { body } = await say(agent, token, 'list my orders');
        assert.deepEqual([body.state, body.toolCalls?.[0]?.isError], ['completed', false], JSON.stringify(body));
      };
      // An unknown key is looked up at most once in 30 s at our doors, whoever shows it.
      const until = Date.now() + 31_000;
      while ((await world.as(later.accessToken, 'GET', '/me')).status !== 200) {
        assert.ok(Date.now() < until, 'the new key is not known');
        await works('assistant', tokenOf('alice'));
        await works('clerk', tokenOf('bob'));
        await new Promise((resolve) => setTimeout(resolve, 1_000));
      }
      await works('assistant', later.accessToken);
      await works('assistant', tokenOf('bob'));
      assert.ok(seen.orders.length > before + 2);
      await remove();
    });

    test('after a logout at Keycloak nothing new is exchanged there, and the call says that the user must act', async () => {
      const login = await signIn('bob');
      const first = await say('assistant', login.accessToken, 'list my orders');
      assert.equal(first.body.toolCalls[0]?.isError, false, JSON.stringify(first.body));
      const calls = seen.hr.length;
      await login.logout();
      const { body } = await say('assistant', login.accessToken, 'show my vacation days balance', first.session);
      assert.match(JSON.stringify(body), /subject_rejected|awaiting_auth/, JSON.stringify(body));
      assert.equal(seen.hr.length, calls);
    });
  });
});
