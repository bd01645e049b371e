import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTokenExchange, TokenExchangeError, type TokenServiceConfig } from '@onbehalf/token-exchange';
import { issuersOf, wellKnownUris } from '../src/metadata.ts';
import { client, orders, refusedAs, setup } from './setup.ts';

test('the well-known segment goes between host and path, then the OpenID Connect forms', () => {
  assert.deepEqual(wellKnownUris('https://h/realms/one'), [
    'https://h/.well-known/oauth-authorization-server/realms/one',
    'https://h/.well-known/openid-configuration/realms/one',
    'https://h/realms/one/.well-known/openid-configuration',
  ]);
  assert.deepEqual(wellKnownUris('https://h/'), [
    'https://h/.well-known/oauth-authorization-server',
    'https://h/.well-known/openid-configuration',
  ]);
  assert.deepEqual(issuersOf('https://h/.well-known/oauth-authorization-server/a'), ['https://h/a']);
  assert.deepEqual(issuersOf('https://h/a/.well-known/openid-configuration'), ['https://h/a']);
  assert.deepEqual(issuersOf('https://h/.well-known/openid-configuration'), ['https://h', 'https://h/']);
});

for (const openidOnly of [false, true]) {
  test(`an issuer with a path is found, ${openidOnly ? 'by OpenID Connect Discovery' : 'by RFC 8414'}`, async () => {
    await using s = await setup({ path: '/realms/one', openidOnly });
    const subject = await s.service.user('alice');
    const exchange = s.exchange();
    await exchange.token({ subject, target: orders });
    await exchange.token({ subject, session: 'b', target: orders });
    assert.equal(s.service.counts.metadata, 1);
  });
}

test('a form of the address that is answered with a page, {}, a redirect or an error leads on to the next; without one the first is told', async () => {
  await using s = await setup({ path: '/realms/one', openidOnly: true });
  const subject = await s.service.user('alice');
  const odd: [answer: () => Response, deviation: string | undefined][] = [
    [() => new Response('<html>', { headers: { 'content-type': 'text/html' } }), 'metadata'],
    [() => Response.json({}), 'metadata'],
    [() => new Response(null, { status: 302, headers: { location: '/login' } }), 'redirect'],
    [() => new Response('', { status: 503 }), undefined],
  ];
  for (const [answer, deviation] of odd) {
    const asked: string[] = [];
    const at =
      (all: boolean): typeof fetch =>
      async (input, init) => {
        const { pathname } = new URL(String(input));
        asked.push(pathname);
        const front = pathname.startsWith('/.well-known/');
        return front || (all && pathname.includes('well-known')) ? answer() : fetch(input, init);
      };
    await s.exchange({}, { fetch: at(false) }).token({ subject, target: orders });
    assert.equal(new Set(asked.filter((path) => path.includes('well-known'))).size, 3);
    const failed = s.exchange({}, { fetch: at(true) }).token({ subject, target: orders });
    await assert.rejects(
      failed,
      refusedAs(deviation === undefined ? 'sts_unavailable' : 'untrusted_response', deviation),
    );
  }
});

test('the address of the metadata alone is enough', async () => {
  await using s = await setup({ path: '/realms/one' });
  const exchange = createTokenExchange({
    tokenService: {
      name: 'sts',
      wellKnownUri: s.service.wellKnownUri,
      profile: 'onbehalf',
      client,
      delegation: 'none',
    },
  });
  await exchange.token({ subject: await s.service.user('alice'), target: orders });
});

test('the issuer in the metadata must be the one that was asked for, letter for letter', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  const { origin, port } = new URL(s.service.issuer);
  for (const config of [
    { issuer: `${origin}/` },
    { issuer: `http://localhost:${port}` },
    { issuer: 'https://other.example', wellKnownUri: s.service.wellKnownUri },
  ]) {
    const token = s.exchange(config).token({ subject, target: orders });
    await assert.rejects(token, refusedAs('untrusted_response', 'issuer'));
  }
  assert.equal(s.service.counts.token, 0);
});

for (const name of ['token_endpoint', 'jwks_uri', 'introspection_endpoint', 'revocation_endpoint']) {
  test(`X16 a ${name} on another host than the issuer's is not believed unless allowOtherHost says so`, async () => {
    await using s = await setup();
    const { port } = new URL(s.service.issuer);
    for (const host of [`localhost:${port}`, `127.0.0.2:${port}`, '127.0.0.1:1', `127.0.0.1.nip.example:${port}`]) {
      const scheme = host.includes('nip') ? 'https' : 'http';
      await using elsewhere = await setup({ metadata: { [name]: `${scheme}://${host}/x` } });
      const subject = await elsewhere.service.user('alice');
      await assert.rejects(elsewhere.exchange().token({ subject, target: orders }), (error) => {
        assert.ok(error instanceof TokenExchangeError);
        assert.equal(error.code, 'invalid_request_configuration');
        assert.match(error.message, new RegExp(`${name}.*allowOtherHost`));
        return true;
      });
      assert.equal(elsewhere.service.counts.token, 0);
    }
    assert.equal(s.service.counts.elsewhere, 0);
  });
}

test('with allowOtherHost, metadata may name the same service by another host; what is configured needs no such word', async () => {
  await using s = await setup();
  const { port } = new URL(s.service.issuer);
  const metadata = { token_endpoint: `http://localhost:${port}/token`, jwks_uri: `http://localhost:${port}/jwks` };
  const { issuer } = s.service;
  const at: typeof fetch = (url, init) => fetch(String(url).replace('//localhost:', '//127.0.0.1:'), init);
  const canned: typeof fetch = (url, init) =>
    String(url).includes('.well-known') ? Promise.resolve(Response.json({ issuer, ...metadata })) : at(url, init);
  const subject = await s.service.user('alice');
  for (const config of [{ allowOtherHost: true }, { endpoint: metadata.token_endpoint, jwksUri: metadata.jwks_uri }]) {
    const token = await s.exchange(config, { fetch: canned }).token({ subject, target: orders });
    assert.equal(token.claims?.sub, 'alice');
  }
  await assert.rejects(
    s.exchange({ endpoint: metadata.token_endpoint }, { fetch: canned }).token({ subject, target: orders }),
    refusedAs('invalid_request_configuration'),
  );
});

test('metadata that names a member twice is no metadata', async () => {
  await using s = await setup();
  const { issuer, endpoint, jwksUri } = s.service;
  const text = `{"issuer":"${issuer}","token_endpoint":"${endpoint}","token_endpoint":"${endpoint}","jwks_uri":"${jwksUri}"}`;
  const canned: typeof fetch = async (url, init) =>
    String(url).includes('.well-known')
      ? new Response(text, { headers: { 'content-type': 'application/json' } })
      : fetch(url, init);
  const asked = s.exchange({}, { fetch: canned }).token({ subject: await s.service.user('alice'), target: orders });
  await assert.rejects(asked, refusedAs('untrusted_response', 'metadata'));
});

test('a configured endpoint and key set are used as they are', async () => {
  await using s = await setup();
  const { endpoint, jwksUri } = s.service;
  await s.exchange({ endpoint, jwksUri }).token({ subject: await s.service.user('alice'), target: orders });
  assert.equal(s.service.counts.metadata, 0);
});

test('https or loopback, and nothing else', () => {
  const configs: Partial<TokenServiceConfig>[] = [
    {},
    { issuer: 'http://sts.example' },
    { issuer: 'https://user:pw@sts.example' },
    { issuer: 'sts.example' },
    { issuer: 'https://sts.example', endpoint: 'http://sts.example/token' },
    { wellKnownUri: 'http://127.0.0.1.evil.example/.well-known/openid-configuration' },
    { issuer: 'file:///etc/passwd' },
  ];
  for (const config of configs) {
    const tokenService = { name: 'sts', profile: 'onbehalf' as const, client, ...config };
    assert.throws(
      () => createTokenExchange({ tokenService }),
      refusedAs('invalid_request_configuration'),
      JSON.stringify(config),
    );
  }
  for (const issuer of ['https://sts.example', 'http://localhost:1', 'http://127.9.9.9', 'http://[::1]:8080/x']) {
    createTokenExchange({ tokenService: { name: 'sts', profile: 'onbehalf', client, issuer } });
  }
});

test('an endpoint in the metadata that is neither https nor on loopback is not used', async () => {
  const answer = { issuer: 'https://sts.example', token_endpoint: 'http://sts.example/token' };
  await using s = await setup();
  const exchange = createTokenExchange({
    tokenService: { name: 'sts', profile: 'onbehalf', client, issuer: 'https://sts.example', delegation: 'none' },
    fetch: async () => Response.json(answer),
  });
  const token = exchange.token({ subject: await s.service.user('alice'), target: orders });
  await assert.rejects(token, refusedAs('invalid_request_configuration'));
});

test('an unknown profile, and a delegation that a profile cannot do, are refused', () => {
  const tokenService = { name: 'sts', client, issuer: 'https://sts.example' };
  for (const config of [
    { profile: 'toString' as 'onbehalf' },
    { profile: 'onbehalf' as const, delegation: 'azp' as const },
  ]) {
    assert.throws(
      () => createTokenExchange({ tokenService: { ...tokenService, ...config } }),
      refusedAs('invalid_request_configuration'),
    );
  }
});
