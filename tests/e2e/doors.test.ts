import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { holdsToken } from '../holds-token.ts';
import { routeTable as table } from './route-table.ts';
import { upgrade } from './upgrade.ts';
import { startWorld, type World } from './world.ts';

/** Sends a request head and no body at all, and gives back the first line of the answer. */
function headOnly(url: string, head: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname === 'localhost' ? '127.0.0.1' : hostname, () => socket.write(head));
    let text = '';
    socket.setTimeout(5_000, () => {
      socket.destroy();
      resolve('no answer');
    });
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (text.includes('\r\n')) {
        socket.destroy();
        resolve(text.split('\r\n')[0] ?? '');
      }
    });
    socket.on('error', reject);
  });
}

describe('the doors', () => {
  let world: World;
  let alice: string;
  let forged: string[];
  before(async () => {
    world = await startWorld();
    alice = await world.token('alice');
    const foreign = await generateKeyPair('EdDSA', { extractable: true });
    const now = Math.floor(Date.now() / 1_000);
    const claims = {
      iss: world.url,
      aud: `${world.url}/api`,
      sub: 'alice',
      client_id: 'cli',
      jti: randomUUID(),
      iat: now,
      exp: now + 300,
      scope: 'openid',
    };
    const [header = '', payload = '', signature = ''] = alice.split('.');
    const flipped = `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
    const jwks = (await (await fetch(`${world.url}/jwks`)).json()) as { keys: { x?: string; kid?: string }[] };
    const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const hmacInput = `${encoded({ alg: 'HS256', typ: 'at+jwt', kid: jwks.keys[0]?.kid })}.${encoded(claims)}`;
    forged = [
      flipped,
      await new SignJWT(claims)
        .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: String(jwks.keys[0]?.kid) })
        .sign(foreign.privateKey),
      await new SignJWT(claims)
        .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', jwk: await exportJWK(foreign.publicKey) })
        .sign(foreign.privateKey),
      await new SignJWT({ ...claims, iss: 'https://elsewhere.example' })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt' })
        .sign(foreign.privateKey),
      `${encoded({ alg: 'none', typ: 'at+jwt' })}.${encoded(claims)}.`,
      `${hmacInput}.${createHmac('sha256', JSON.stringify(jwks.keys[0])).update(hmacInput).digest('base64url')}`,
      'opaque-token',
    ];
  });
  after(() => world[Symbol.asyncDispose]());

  test('J1 J2 J4 J8 no credential, or a forged, unsigned or foreign token: 401 on every route of the OpenAPI document', async () => {
    const document = (await world.as<{ paths: Record<string, Record<string, unknown>> }>(alice, 'GET', '/openapi.json'))
      .body;
    let routes = 0;
    for (const [path, methods] of Object.entries(document.paths))
      for (const method of Object.keys(methods)) {
        routes++;
        const address = path.replace(/^\/api/, '').replaceAll(/\{[a-z]+\}/g, 'assistant');
        for (const token of [undefined, forged[routes % forged.length]]) {
          const answer = await world.as(
            token,
            method.toUpperCase(),
            address,
            ['post', 'put', 'patch'].includes(method) ? '{"x": not json' : undefined,
          );
          assert.equal(answer.status, 401, `${method} ${path}`);
          assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer/);
        }
      }
    // The document is made from the table that the server routes by; the server does not start with a route without a policy.
    assert.equal(routes, table.filter((one) => !one.localOnly).length);
    assert.ok(routes > 50, `only ${routes} routes`);
    for (const token of forged) assert.equal((await world.as(token, 'GET', '/me')).status, 401);
  });

  test('the refusal comes before the body is read', async () => {
    const head = `POST /api/apply HTTP/1.1\r\nHost: ${new URL(world.url).host}\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n`;
    assert.equal(await headOnly(world.url, head), 'HTTP/1.1 401 Unauthorized');
    const chunked = `POST /api/agents/assistant/sessions HTTP/1.1\r\nHost: ${new URL(world.url).host}\r\nAuthorization: Bearer ${forged[0]}\r\nTransfer-Encoding: chunked\r\n\r\n`;
    assert.equal(await headOnly(world.url, chunked), 'HTTP/1.1 401 Unauthorized');
  });

  test('unknown routes, malformed paths and strange methods need a credential too', async () => {
    assert.equal((await world.as(undefined, 'GET', '/nothing')).status, 401);
    assert.equal((await world.as(alice, 'GET', '/nothing')).status, 404);
    const host = new URL(world.url).host;
    assert.match(await headOnly(world.url, `GET /api/x%zz HTTP/1.1\r\nHost: ${host}\r\n\r\n`), / 401 /);
    assert.match(await headOnly(world.url, `FOO /api/me HTTP/1.1\r\nHost: ${host}\r\n\r\n`), / 400 /);
    for (const path of ['/api/models', '/api/chat/completions'])
      assert.equal((await fetch(`${world.url}${path}`, { headers: { authorization: `Bearer ${alice}` } })).status, 404);
  });

  test('two credentials are none', async () => {
    const host = new URL(world.url).host;
    const twice = `GET /api/me HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${alice}\r\nAuthorization: Bearer ${alice}\r\n\r\n`;
    assert.match(await headOnly(world.url, twice), / 401 /);
    const query = await fetch(`${world.url}/api/me?access-token=${alice}`);
    assert.equal(query.status, 401, 'a token in the query of a plain request counts for nothing');
  });

  test('the healthcheck is open, and says what existing front ends expect', async () => {
    const { status, body } = await world.as(undefined, 'GET', '/healthcheck');
    assert.equal(status, 200);
    assert.equal(body.status, 'ok');
    assert.ok(!Number.isNaN(Date.parse(String(body.timestamp))));
  });

  test('G2 a foreign Host is 421 on every listener and address', async () => {
    for (const path of [
      '/api/healthcheck',
      '/api/me',
      '/ui/',
      '/jwks',
      '/.well-known/openid-configuration',
      '/sts/token',
      '/oidc/auth',
    ])
      assert.match(await headOnly(world.url, `GET ${path} HTTP/1.1\r\nHost: evil.example\r\n\r\n`), / 421 /, path);
    assert.equal(
      await upgrade(world.url, '/api/agents/assistant/react', {
        headers: { host: 'evil.example', authorization: `Bearer ${alice}` },
      }),
      421,
    );
  });

  test('C4 no inline script or style, no frame, no sniffing, no referrer, nothing of the API is kept', async () => {
    const page = await fetch(`${world.url}/ui/`);
    const api = await world.as(alice, 'GET', '/me');
    for (const headers of [page.headers, api.headers]) {
      const policy = headers.get('content-security-policy') ?? '';
      assert.match(policy, /default-src 'none'/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.ok(!policy.includes('unsafe'));
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
      assert.equal(headers.get('referrer-policy'), 'no-referrer');
    }
    assert.equal(api.headers.get('cache-control'), 'no-store');
  });

  test('W2 no or a bad credential: 401 to the upgrade itself, no socket', async () => {
    const path = '/api/agents/assistant/react';
    assert.equal(await upgrade(world.url, path), 401);
    for (const token of forged)
      assert.equal(await upgrade(world.url, `${path}?access-token=${encodeURIComponent(token)}`), 401);
    assert.equal(await upgrade(world.url, `${path}?access-token=${alice}`), 'open');
    assert.equal(await upgrade(world.url, path, { headers: { authorization: `Bearer ${alice}` } }), 'open');
    assert.equal(await upgrade(world.url, path, { protocols: ['bearer', alice] }), 'open');
    const carol = await world.token('carol');
    assert.equal(await upgrade(world.url, `${path}?access-token=${carol}`), 404);
    assert.equal(await upgrade(world.url, `/api/agents/nothing/react?access-token=${alice}`), 404);
    assert.equal(await upgrade(world.url, `/api/nothing?access-token=${alice}`), 404);
  });

  test('W1 no Origin with a bearer token is good, and so is any, for no cookie came along', async () => {
    const headers = { authorization: `Bearer ${alice}`, origin: 'https://evil.example' };
    assert.equal(await upgrade(world.url, '/api/agents/assistant/react', { headers }), 'open');
  });

  test('W3 a ticket is good once, and for one agent', async () => {
    await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: other}
spec: {type: Declarative, declarative: {modelConfigRef: {name: default}}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: alice-other}
spec: {to: {principal: {issuer: "${world.url}", subject: alice}}, on: {kind: Agent, name: other}, verbs: [run]}
`);
    const ticket = async () =>
      (await world.as<{ ticket: string; expiresInS: number }>(alice, 'POST', '/tickets', { agent: 'assistant' })).body
        .ticket;
    const first = await ticket();
    assert.equal(await upgrade(world.url, `/api/agents/assistant/react?ticket=${first}`), 'open');
    assert.equal(await upgrade(world.url, `/api/agents/assistant/react?ticket=${first}`), 401);
    assert.equal(await upgrade(world.url, `/api/agents/other/react?ticket=${await ticket()}`), 401);
    assert.equal((await world.as(alice, 'POST', '/tickets', { agent: 'nothing' })).status, 404);
  });

  test("W4 another person's session id is 404 on the upgrade", async () => {
    const { body } = await world.as<{ id: string }>(alice, 'POST', '/agents/assistant/sessions', {});
    const bob = await world.token('bob');
    assert.equal(await upgrade(world.url, `/api/agents/assistant/react?session=${body.id}&access-token=${bob}`), 404);
    assert.equal(
      await upgrade(world.url, `/api/agents/assistant/react?session=${body.id}&access-token=${alice}`),
      'open',
    );
    assert.equal(await upgrade(world.url, `/api/agents/assistant/react?session=nothing&access-token=${alice}`), 404);
  });

  test('INACTIVE people get no further than 403', async () => {
    const mallory = await world.token('mallory');
    for (const path of ['/me', '/agents', '/agents/assistant', '/nothing', '/sessions'])
      assert.equal((await world.as(mallory, 'GET', path)).status, 403, path);
    await world.admin('POST', '/principals', { subject: 'eve', role: 'REGULAR' });
    const eve = await world.token('eve');
    await world.admin('PATCH', '/principals', { issuer: world.url, subject: 'eve', role: 'INACTIVE' });
    assert.equal((await world.as(eve, 'GET', '/agents/assistant')).status, 403);
    assert.equal((await world.as(eve, 'GET', '/agents/nothing')).status, 403, 'before any look-up');
    assert.equal(await upgrade(world.url, `/api/agents/assistant/react?access-token=${eve}`), 403);
  });

  test('I10 error bodies are problem documents without stack, SQL, path or token', async () => {
    const answers = [
      await world.as(alice, 'POST', '/agents/assistant/sessions', '{"x": not json'),
      await world.as(alice, 'POST', '/agents/assistant/sessions', { title: 1 }),
      await world.as(alice, 'GET', '/agents/assistant/sessions/%27%20OR%201=1'),
      await world.as(alice, 'GET', '/mcp-servers/a.b.c'),
      await world.as(alice, 'GET', '/audit?limit=99999'),
    ];
    for (const { status, headers, body } of answers) {
      assert.ok(status >= 400 && status < 500, String(status));
      assert.equal(headers.get('content-type'), 'application/problem+json');
      assert.ok(typeof body.code === 'string' && body.status === status);
      assert.doesNotMatch(JSON.stringify(body), /at .*\.ts|SELECT|sqlite|\/packages\//i);
      assert.ok(!holdsToken(JSON.stringify(body)));
    }
  });
});
