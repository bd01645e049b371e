import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import {
  type ClientConfig,
  createTokenExchange,
  type ExchangedToken,
  privateKeyJwt,
  type SubjectSource,
  type Target,
  type TokenExchange,
  TokenExchangeError,
  type TokenServiceConfig,
} from '@onbehalf/token-exchange';
import { tokenFile } from '@onbehalf/token-exchange/node';
import { type Keys, makeKeys } from '@onbehalf/token-exchange/testing';
import { createRemoteJWKSet, decodeJwt, jwtVerify, SignJWT } from 'jose';
import { signInAtKeycloak } from '../../examples/keycloak/sign-in.ts';
import { hasKeycloak, type RunningKeycloak, setUpKeycloak, startKeycloak } from '../../tools/keycloak.ts';
import { freePort } from './world.ts';

const REALM = join(import.meta.dirname, '..', '..', 'examples', 'keycloak', 'realm.json');
const PEOPLE = { alice: '11111111-1111-4111-8111-111111111111', bob: '22222222-2222-4222-8222-222222222222' };
const AUDIENCES = ['orders', 'hr'];
/** What must be form-encoded before it goes into the header (RFC 6749 section 2.3.1). */
const AWKWARD = 'c:o+l%on &ü=/?"é€';
const wanted = process.env.CI !== undefined || hasKeycloak();

describe('how a client proves who it is, at a real Keycloak', {
  skip: wanted ? false : 'Keycloak has not been set up on this machine; under CI it is',
}, () => {
  let dir: string;
  let keycloak: RunningKeycloak;
  let issuer: string;
  const subjects = new Map<string, SubjectSource>();
  const ids = { basic: 'agent:b+a%s ic', post: 'agent-post', key: 'agent-key', pod: 'agent-pod' };
  let keys: Record<'first' | 'second' | 'foreign', Keys>;
  let jwksClient: string;
  let cluster: Awaited<ReturnType<typeof startCluster>>;

  before(
    async () => {
      await setUpKeycloak();
      dir = await mkdtemp(join(tmpdir(), 'onbehalf-clients-'));
      keycloak = await startKeycloak({ port: await freePort(), realm: REALM, dir });
      issuer = `${keycloak.url}/realms/office`;
      cluster = await startCluster();
      keys = { first: await makeKeys('first'), second: await makeKeys('second'), foreign: await makeKeys('foreign') };
      await createClient(ids.basic, { secret: AWKWARD });
      await createClient(ids.post, { secret: AWKWARD });
      jwksClient = await createClient(ids.key, {
        clientAuthenticatorType: 'client-jwt',
        attributes: { 'use.jwks.string': 'true', 'jwks.string': jwks(keys.first) },
      });
      await realm('POST', 'identity-provider/instances', {
        alias: 'cluster',
        providerId: 'kubernetes',
        config: { issuer: cluster.issuer },
      });
      await createClient(ids.pod, {
        clientAuthenticatorType: 'federated-jwt',
        attributes: { 'jwt.credential.issuer': 'cluster', 'jwt.credential.sub': cluster.account },
      });
      for (const name of Object.keys(PEOPLE)) subjects.set(name, await signIn(name));
    },
    { timeout: 900_000 },
  );
  after(async () => {
    await cluster?.close();
    await keycloak?.stop();
    if (dir) await rm(dir, { recursive: true, force: true });
  });

  /** The Admin REST API of the realm. Returns the address of what was made. */
  async function realm(method: string, path: string, body: unknown): Promise<string> {
    const response = await fetch(`${keycloak.url}/admin/realms/office/${path}`, {
      method,
      headers: { authorization: `Bearer ${await keycloak.adminToken()}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.text()}`);
    return response.headers.get('location')?.split('/').at(-1) ?? '';
  }

  interface Settings {
    attributes?: Record<string, string>;
    [setting: string]: unknown;
  }

  /** A client that may exchange what people sign in with. */
  async function createClient(clientId: string, { attributes, ...settings }: Settings): Promise<string> {
    const id = await realm('POST', 'clients', {
      clientId,
      publicClient: false,
      standardFlowEnabled: false,
      fullScopeAllowed: false,
      attributes: { 'standard.token.exchange.enabled': 'true', ...attributes },
      defaultClientScopes: ['basic', 'tool-servers'],
      ...settings,
    });
    const [portal] = await found('clients?clientId=portal');
    await realm('POST', `clients/${portal?.id}/protocol-mappers/models`, {
      ...audienceMapper(clientId),
      config: { 'included.client.audience': clientId, 'access.token.claim': 'true' },
    });
    return id;
  }

  async function found(path: string): Promise<{ id: string }[]> {
    const authorization = `Bearer ${await keycloak.adminToken()}`;
    const response = await fetch(`${keycloak.url}/admin/realms/office/${path}`, { headers: { authorization } });
    return (await response.json()) as { id: string }[];
  }

  async function signIn(name: string): Promise<SubjectSource> {
    const { accessToken } = await signInAtKeycloak(issuer, name, `${name}-password`);
    const { sub = '', exp = 0 } = decodeJwt(accessToken);
    const token = SecretValue.of(accessToken);
    const tokenType = 'urn:ietf:params:oauth:token-type:access_token';
    return {
      principal: { issuer, subject: sub },
      refreshable: false,
      current: async () => ({ token, tokenType, expiresAt: exp * 1000 }),
    };
  }

  const service = (client: ClientConfig): TokenServiceConfig => ({ name: 'kc', issuer, profile: 'keycloak', client });
  const exchangeWith = (client: ClientConfig, fetch = globalThis.fetch) =>
    createTokenExchange({ tokenService: service(client), fetch });
  const target = (audience: string): Target => ({ audience: [audience], resource: [], scopes: [] });
  const person = (name: string) => subjects.get(name) ?? assert.fail(name);
  const ask = (exchange: TokenExchange, name = 'alice', audience = 'orders', session: string = crypto.randomUUID()) =>
    exchange.token({ subject: person(name), target: target(audience), session });

  /** As a tool server does. */
  async function verified(token: ExchangedToken, audience: string) {
    const published = createRemoteJWKSet(new URL(`${issuer}/protocol/openid-connect/certs`));
    return (await jwtVerify(token.value.reveal(), published, { issuer, audience, algorithms: ['RS256'] })).payload;
  }

  async function works(client: ClientConfig): Promise<void> {
    const exchange = exchangeWith(client);
    for (const [name, sub] of Object.entries(PEOPLE))
      for (const audience of AUDIENCES) {
        const claims = await verified(await ask(exchange, name, audience), audience);
        assert.deepEqual([claims.sub, claims.aud, claims.azp], [sub, audience, client.id]);
      }
    assert.equal(exchange.stats.requests, 4);
  }

  /** Refused by Keycloak with these words, as a matter for an administrator; nothing of the credential is in it. */
  async function refused(client: ClientConfig, status: number, error: string, secret: string): Promise<void> {
    await assert.rejects(ask(exchangeWith(client)), (thrown) => {
      assert.ok(thrown instanceof TokenExchangeError, String(thrown));
      const { code, actBy, serviceError } = thrown;
      const said = `${thrown.message} ${JSON.stringify(serviceError)}`;
      assert.deepEqual(
        [code, actBy, serviceError?.status, serviceError?.error],
        ['invalid_client', 'administrator', status, error],
        said,
      );
      assert.ok(!said.includes(secret));
      return true;
    });
  }

  for (const [auth, id] of [
    ['SecretBasic', ids.basic],
    ['SecretPost', ids.post],
  ] as const)
    test(`${auth}: a secret and an id with characters that must be encoded; a wrong secret`, async () => {
      const client = (secret: string): ClientConfig => ({ auth, id, keyId: '1', secret: SecretValue.of(secret) });
      await works(client(AWKWARD));
      await refused(client('wrong-canary'), 401, 'unauthorized_client', 'wrong-canary');
      await refused(client(AWKWARD.replaceAll('+', ' ')), 401, 'unauthorized_client', AWKWARD.replaceAll('+', ' '));
    });

  const signing = ({ privateKey, kid }: Keys) => privateKeyJwt({ id: ids.key, key: privateKey, keyId: kid });

  test('PrivateKeyJwt: an assertion made anew for each request; a foreign key, and one used twice, are refused', async () => {
    await works(signing(keys.first));
    await refused(signing({ ...keys.foreign, kid: keys.first.kid }), 400, 'invalid_client', 'eyJ');
    const once = await signing(keys.first).sign(issuer);
    const replaying = { ...signing(keys.first), sign: async () => once };
    assert.equal((await ask(exchangeWith(replaying))).claims?.azp, ids.key);
    await refused(replaying, 400, 'invalid_client', once.reveal());
  });

  test('PrivateKeyJwt: a key is rotated during traffic; before the new one is known, and after the old one is gone, it is refused', async () => {
    await refused(signing(keys.second), 400, 'invalid_client', 'eyJ');
    const publish = (...published: Keys[]) =>
      realm('PUT', `clients/${jwksClient}`, {
        clientId: ids.key,
        attributes: { 'jwks.string': jwks(...published) },
      });
    await publish(keys.first, keys.second);
    await works(signing(keys.first));
    await works(signing(keys.second));
    await publish(keys.second);
    await works(signing(keys.second));
    await refused(signing(keys.first), 400, 'invalid_client', 'eyJ');
  });

  const pod = (path: string): ClientConfig => ({
    auth: 'WorkloadToken',
    id: ids.pod,
    keyId: '1',
    assertion: tokenFile(path),
  });

  test('WorkloadToken: the token of a service account in a file is the credential', async () => {
    const path = join(dir, 'token');
    await writeFile(path, await cluster.token(issuer));
    await works(pod(path));
  });

  test('WorkloadToken: the file is replaced during traffic, and read again; the old token would have been refused', async () => {
    const path = join(dir, 'rotated');
    const [old, fresh] = [await cluster.token(issuer, { lifetime: 4 }), await cluster.token(issuer)];
    await writeFile(path, `${old}\n`);
    const sent: string[] = [];
    const exchange = exchangeWith(pod(path), async (input, init) => {
      const assertion = new URLSearchParams(String(init?.body)).get('client_assertion');
      if (assertion) sent.push(assertion);
      return fetch(input, init);
    });
    const traffic = async () => {
      for (const name of Object.keys(PEOPLE)) for (const audience of AUDIENCES) await ask(exchange, name, audience);
    };
    await traffic();
    assert.deepEqual(new Set(sent), new Set([old]));
    // As a kubelet does: another file takes its name, so that nobody reads half of one.
    await writeFile(`${path}.new`, `${fresh}\n`);
    await rename(`${path}.new`, path);
    await traffic();
    assert.deepEqual(sent, [...Array(4).fill(old), ...Array(4).fill(fresh)]);
    await new Promise((resolve) =>
      setTimeout(resolve, Math.max(0, (decodeJwt(old).exp ?? 0) * 1000 - Date.now() + 1_000)),
    );
    await traffic();
    await writeFile(join(dir, 'expired'), old);
    await refused(pod(join(dir, 'expired')), 400, 'invalid_client', old);
  });

  test('WorkloadToken: of another service account, for another audience, by another cluster, and no file at all', async () => {
    const path = join(dir, 'wrong');
    for (const wrong of [{ account: 'system:serviceaccount:agents:other' }, { by: keys.foreign }]) {
      const token = await cluster.token(issuer, wrong);
      await writeFile(path, token);
      await refused(pod(path), 401, 'invalid_client', token);
    }
    await writeFile(path, await cluster.token('https://kubernetes.default.svc'));
    await assert.rejects(ask(exchangeWith(pod(path))), {
      code: 'invalid_client',
      actBy: 'administrator',
      serviceError: { status: 400, error: 'invalid_client', description: 'Invalid token audience' },
    });
    await assert.rejects(ask(exchangeWith(pod(join(dir, 'missing')))), {
      code: 'invalid_request_configuration',
      actBy: 'administrator',
    });
  });

  test('a token that stands for no person: client credentials, for two agents and two audiences', async () => {
    for (const audience of AUDIENCES)
      await realm('POST', 'client-scopes', {
        name: `only-${audience}`,
        protocol: 'openid-connect',
        protocolMappers: [audienceMapper(audience)],
      });
    const agents = ['assistant', 'researcher'];
    const configured = (name: string): ClientConfig => ({
      ...{ auth: 'SecretBasic', id: `service-${name}`, keyId: '1', secret: SecretValue.of(`${name}-secret`) },
    });
    for (const name of agents)
      await createClient(`service-${name}`, {
        secret: `${name}-secret`,
        serviceAccountsEnabled: true,
        defaultClientScopes: ['basic'],
        optionalClientScopes: AUDIENCES.map((audience) => `only-${audience}`),
      });
    const exchange = createTokenExchange({
      tokenService: {
        ...service(configured('assistant')),
        clientPerAgent: agents.map((name) => ({ agent: `default/${name}`, client: configured(name) })),
      },
    });
    const subjectsSeen = new Set<unknown>();
    for (const name of agents)
      for (const audience of AUDIENCES) {
        const agent = { uid: name, name: `default/${name}` };
        const scopes = [`only-${audience}`];
        const token = await exchange.workloadToken({ agent, target: { ...target(audience), scopes } });
        const claims = await verified(token, audience);
        assert.deepEqual([claims.aud, claims.azp], [audience, `service-${name}`]);
        assert.ok(!Object.values(PEOPLE).includes(String(claims.sub)));
        subjectsSeen.add(claims.sub);
      }
    assert.equal(subjectsSeen.size, 2);
    assert.deepEqual([exchange.stats.workloads, exchange.stats.exchanges], [4, 0]);
    // Keycloak does not narrow client credentials by audience, so a token that is good elsewhere too is refused here.
    const both = { ...target('orders'), scopes: AUDIENCES.map((audience) => `only-${audience}`) };
    await assert.rejects(exchange.workloadToken({ agent: 'platform', target: both }), {
      code: 'untrusted_response',
      deviation: 'audience',
    });
  });
});

const jwks = (...published: Keys[]) => JSON.stringify({ keys: published.map(({ publicJwk }) => publicJwk) });

const audienceMapper = (audience: string) => ({
  name: `audience ${audience}`,
  protocol: 'openid-connect',
  protocolMapper: 'oidc-audience-mapper',
  config: { 'included.client.audience': audience, 'access.token.claim': 'true' },
});

/** The issuer of a Kubernetes cluster as others see it: metadata, public keys, and tokens of a service account. */
async function startCluster() {
  const own = await makeKeys('cluster-1', 'RS256');
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    const metadata = { issuer, jwks_uri: `${issuer}/openid/v1/jwks`, id_token_signing_alg_values_supported: ['RS256'] };
    response.end(request.url === '/.well-known/openid-configuration' ? JSON.stringify(metadata) : jwks(own));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const account = 'system:serviceaccount:agents:assistant';
  return {
    issuer,
    account,
    token: (audience: string, o: { account?: string; lifetime?: number; by?: Keys } = {}) =>
      new SignJWT({ 'kubernetes.io': { namespace: 'agents', serviceaccount: { name: 'assistant' } } })
        .setProtectedHeader({ alg: (o.by ?? own).alg, kid: own.kid })
        .setIssuer(issuer)
        .setSubject(o.account ?? account)
        .setAudience([audience])
        .setIssuedAt()
        .setJti(crypto.randomUUID())
        .setExpirationTime(`${o.lifetime ?? 600}s`)
        .sign((o.by ?? own).privateKey),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
