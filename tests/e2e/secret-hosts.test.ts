import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startWorld, type World } from './world.ts';

/** A server that answers nothing useful, and says what it was asked. */
async function startListener() {
  const asked: { path: string; authorization: string | undefined }[] = [];
  const server = createServer((request, response) => {
    asked.push({ path: request.url ?? '', authorization: request.headers.authorization });
    request.resume();
    response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":"invalid_request"}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    asked,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

describe('where a client secret goes', () => {
  let world: World;
  let elsewhere: Awaited<ReturnType<typeof startListener>>;
  let issuer: string;
  const metadata = createServer((_request, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(
      JSON.stringify({
        issuer,
        token_endpoint: `${elsewhere.url}/token`,
        authorization_endpoint: `${issuer}/authorize`,
        jwks_uri: `${issuer}/jwks`,
      }),
    ),
  );
  before(async () => {
    elsewhere = await startListener();
    await new Promise<void>((resolve) => metadata.listen(0, '127.0.0.1', resolve));
    issuer = `http://127.0.0.1:${(metadata.address() as AddressInfo).port}`;
    world = await startWorld();
  });
  after(async () => {
    await world?.[Symbol.asyncDispose]();
    await new Promise((resolve) => metadata.close(resolve));
    await elsewhere?.close();
  });

  const yaml = (hosts: string[], allowOtherHost = true) => `
apiVersion: onbehalf.dev/v1alpha1
kind: Secret
metadata: {name: elsewhere}
spec: {data: {client: a client secret of this test}, usableBy: [TokenService, TrustedIssuer], hosts: ${JSON.stringify(hosts)}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: TokenService
metadata: {name: elsewhere}
spec:
  issuer: ${issuer}
  profile: rfc8693
  allowOtherHost: ${allowOtherHost}
  client: {id: onbehalf, auth: SecretBasic, secretRef: {name: elsewhere, namespace: default, key: client}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: TrustedIssuer
metadata: {name: elsewhere}
spec:
  issuer: ${issuer}
  audiences: {api: [our-api]}
  login: {client: {id: onbehalf, auth: SecretBasic, secretRef: {name: elsewhere, namespace: default, key: client}}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: orders}
spec: {url: "${world.orders.url}", auth: {mode: Exchange, tokenServiceRef: {name: elsewhere}, resourceFrom: ServerURL, scopes: [orders.read], allowOverride: {scopes: [orders.read, orders.refund]}}}
`;
  const exchange = async () => {
    const alice = await world.token('alice');
    return (
      await world.as<{ code?: string; message?: string; advice?: string }>(
        alice,
        'POST',
        '/mcp-servers/orders/actions/test-exchange?agent=assistant',
      )
    ).body;
  };
  /** Up to the redemption of a code, which the server makes up. */
  async function signIn(): Promise<string | null> {
    const begun = await fetch(`${world.url}/login?issuer=elsewhere`, { redirect: 'manual' });
    const asked = new URL(begun.headers.get('location') ?? '').searchParams;
    const query = new URLSearchParams({ code: 'code', state: asked.get('state') ?? '', iss: issuer });
    const done = await fetch(`${world.url}/login/callback/elsewhere?${query}`, {
      redirect: 'manual',
      headers: { cookie: begun.headers.getSetCookie()[0]?.split(';', 1)[0] ?? '' },
    });
    return done.headers.get('location');
  }

  test('D2 metadata that names an endpoint elsewhere does not get the secret, unless the Secret names that host too', async () => {
    await world.applied(yaml([issuer], false));
    assert.match(String((await exchange()).message), /not the issuer's host: set allowOtherHost/);
    assert.equal(elsewhere.asked.length, 0);
    await world.applied(yaml([issuer]));
    const refused = await exchange();
    assert.equal(refused.code, 'invalid_request_configuration');
    assert.match(String(refused.message), /cannot be used at .+host_not_allowed/);
    assert.match(String(refused.advice), /its `hosts`/);
    assert.equal(await signIn(), '/ui/?signin=unavailable');
    assert.equal(elsewhere.asked.length, 0);
    assert.equal((await world.apply(yaml([issuer, elsewhere.url]))).status, 200);
    assert.notEqual((await exchange()).code, 'invalid_request_configuration');
    assert.equal(await signIn(), '/ui/?signin=failed');
    assert.deepEqual(
      elsewhere.asked.map(({ path, authorization }) => [path, authorization?.split(' ')[0]]),
      [
        ['/token', 'Basic'],
        ['/token', 'Basic'],
      ],
    );
  });
});
