import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Condition } from '@onbehalf/resources';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';
import WebSocket from 'ws';
import { say, startWorld, type World } from './world.ts';

const seconds = () => Math.floor(Date.now() / 1_000);

async function eventually<T>(read: () => Promise<T>, holds: (value: T) => boolean, ms = 3_000): Promise<T> {
  const deadline = performance.now() + ms;
  for (;;) {
    const value = await read();
    if (holds(value) || performance.now() > deadline) return value;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

interface Partner {
  issuer: string;
  fetches(): number;
  token(subject: string, more?: JWTPayload, header?: Record<string, unknown>): Promise<string>;
  /** Takes the key out of the document. */
  withdraw(): void;
  close(): Promise<void>;
}

/** An identity provider of somebody else's: a key, a JWKS, and the claims it likes to make. */
async function startPartner(world: World): Promise<Partner> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  let keys: JWK[] = [{ ...(await exportJWK(publicKey)), kid: 'one', use: 'sig' }];
  let fetches = 0;
  const server: Server = createServer((_request, response) => {
    fetches++;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    fetches: () => fetches,
    token: (subject, more = {}, header = {}) =>
      new SignJWT({
        iss: issuer,
        aud: [`${world.url}/api`, world.url],
        sub: subject,
        scope: 'openid',
        jti: randomUUID(),
        iat: seconds(),
        exp: seconds() + 300,
        ...more,
      })
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'one', ...header })
        .sign(privateKey as CryptoKey),
    withdraw: () => {
      keys = [];
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

const issuerYaml = (name: string, partner: { issuer: string }, world: World, more = '') => `
apiVersion: onbehalf.dev/v1alpha1
kind: TrustedIssuer
metadata: {name: ${name}}
spec:
  issuer: ${partner.issuer}
  jwksUri: ${partner.issuer.startsWith('http') ? partner.issuer : 'https://other.example'}/jwks
  algorithms: [ES256]
  audiences: {api: ["${world.url}/api"]}
  claims: {groups: groups, roles: roles}
  roleMap: {admin: ADMIN, "*": REGULAR}
${more}`;

const grant = (name: string, to: string, more = 'verbs: [run]', on = '{kind: Agent, name: assistant}') => `
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: ${name}}
spec: {to: ${to}, on: ${on}, ${more}}
`;

describe('people of another issuer', () => {
  let world: World;
  let partner: Partner;
  before(async () => {
    world = await startWorld();
    partner = await startPartner(world);
    await world.applied(issuerYaml('partner', partner, world));
    const token = await partner.token('probe');
    assert.equal(
      (
        await eventually(
          () => world.as(token, 'GET', '/me'),
          ({ status }) => status === 200,
        )
      ).status,
      200,
    );
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
    await partner.close();
  });

  test('P2 their alice and our alice are two people: here, and at the tool server', async () => {
    const theirs = await partner.token('alice');
    const { body } = await world.as(theirs, 'GET', '/me');
    assert.deepEqual([body.issuer, body.subject, body.role], [partner.issuer, 'alice', 'REGULAR']);
    assert.equal((await world.as(theirs, 'GET', '/agents/assistant')).status, 404, "our alice's grant is not theirs");
    await world.applied(grant('their-alice', `{principal: {issuer: "${partner.issuer}", subject: alice}}`));
    const ours = await world.token('alice');
    const before = world.seen.orders.length;
    const [a, b] = await Promise.all([say(world, ours, 'list my orders'), say(world, theirs, 'list my orders')]);
    assert.equal(a.body.toolCalls[0]?.isError, false, JSON.stringify(a.body));
    assert.equal(b.body.toolCalls[0]?.isError, false, JSON.stringify(b.body));
    const subjects = world.seen.orders.slice(before).map(({ sub }) => sub);
    assert.deepEqual([...new Set(subjects)].sort(), ['alice', 'partner:alice']);
    const { body: exchanges } = await world.as<{ items: { claims: Record<string, unknown>; principal: object }[] }>(
      theirs,
      'GET',
      '/exchanges',
    );
    assert.ok(exchanges.items.length > 0);
    for (const { claims, principal } of exchanges.items) {
      assert.deepEqual(principal, { issuer: partner.issuer, subject: 'alice' });
      if (claims?.sub_id) assert.deepEqual(claims.sub_id, { format: 'iss_sub', iss: partner.issuer, sub: 'alice' });
    }
    const list = await world.as<{ items: { id: string }[] }>(theirs, 'GET', '/sessions');
    const own = await world.as<{ items: { id: string }[] }>(ours, 'GET', '/sessions');
    const ids = new Set(own.body.items.map(({ id }) => id));
    assert.ok(list.body.items.length > 0 && list.body.items.every(({ id }) => !ids.has(id)));
  });

  test('J10 a token of more than a day, or one that does not say when it was issued, is refused unless maxLifetime says more', async () => {
    const hours = (count: number, more: { iat?: number | undefined } = {}) =>
      partner.token('lena', { exp: seconds() + Math.floor(count * 3_600), ...more } as JWTPayload);
    const status = async (token: string) => (await world.as(token, 'GET', '/me')).status;
    assert.equal(await status(await hours(23.9)), 200);
    for (const token of [await hours(24.1), await hours(1, { iat: undefined }), await hours(1, { iat: 0 })])
      assert.equal(await status(token), 401);
    const two = await hours(47);
    assert.equal(await status(two), 401);
    await world.applied(issuerYaml('partner', partner, world, '  maxLifetime: 48h'));
    const longer = await eventually(
      () => status(two),
      (code) => code === 200,
    );
    assert.equal(longer, 200);
    assert.equal(await status(await hours(49)), 401);
    await world.applied(issuerYaml('partner', partner, world));
    const again = await eventually(
      () => status(two),
      (code) => code === 401,
    );
    assert.equal(again, 401);
    const known = await eventually(
      async () => status(await hours(1)),
      (code) => code === 200,
    );
    assert.equal(known, 200);
  });

  test('P3 groups belong to their issuer, and work in a turn, the exchange included; an ADMIN claim is capped', async () => {
    await world.applied(
      `${grant('our-finance', `{group: {issuer: "${world.url}", name: finance}}`)}---${grant('their-finance', `{group: {issuer: "${partner.issuer}", name: treasury}}`)}`,
    );
    const finance = await partner.token('fred', { groups: ['finance'], roles: ['admin'] });
    assert.equal((await world.as(finance, 'GET', '/agents/assistant')).status, 404);
    assert.equal((await world.as(finance, 'GET', '/me')).body.role, 'REGULAR');
    assert.equal((await world.as(finance, 'GET', '/principals')).status, 403);
    const before = world.seen.orders.length;
    const { body } = await say(world, await partner.token('tess', { groups: ['treasury'] }), 'list my orders');
    assert.equal(body.toolCalls[0]?.isError, false, JSON.stringify(body));
    assert.deepEqual(
      world.seen.orders.slice(before).map(({ sub }) => sub),
      ['partner:tess'],
    );
    assert.equal(
      (await world.as(await partner.token('tess'), 'GET', '/agents/assistant')).status,
      404,
      'the next token says less',
    );
  });

  test('W5 in-band auth with a token that says less closes the socket with 4403, and nothing more is told', async () => {
    await world.applied(grant('their-readers', `{group: {issuer: "${partner.issuer}", name: readers}}`));
    const first = await partner.token('rhea', { groups: ['readers'] });
    const address = `${world.url.replace('http', 'ws')}/api/agents/assistant/react?protocol=2`;
    const socket = new WebSocket(address, { headers: { authorization: `Bearer ${first}` } });
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    await new Promise((resolve) => socket.once('message', resolve));
    const next = (groups: string[]) => partner.token('rhea', { groups });
    socket.send(JSON.stringify({ type: 'auth', token: await next(['readers', 'staff']) }));
    socket.send(JSON.stringify({ type: 'resume', after: 1_000 }));
    const [answer] = await new Promise<[Buffer]>((resolve) =>
      socket.once('message', (data) => resolve([data as Buffer])),
    );
    assert.equal((JSON.parse(String(answer)) as { code: string }).code, 'after_beyond_end', 'it is still open');
    socket.send(JSON.stringify({ type: 'auth', token: await next(['staff']) }));
    assert.equal(await closed, 4403);
  });

  test('P4 a groups claim that is missing or overflowed: no allow rule matches, every deny rule does', async () => {
    await world.applied(
      `${grant('ursula', `{principal: {issuer: "${partner.issuer}", subject: ursula}}`)}---${grant('no-contractors', `{group: {issuer: "${partner.issuer}", name: contractors}}`, 'verbs: [read], tools: {deny: ["orders/*"]}')}`,
    );
    const turn = async (groups: JWTPayload) => {
      const { body } = await say(world, await partner.token('ursula', groups), 'list my orders');
      return body.toolCalls[0];
    };
    assert.equal((await turn({ groups: ['staff'] }))?.isError, false);
    const before = world.seen.orders.length;
    for (const groups of [
      {},
      { groups: ['contractors'] },
      { groups: ['staff'], hasgroups: true },
      { _claim_names: { groups: 'src1' } },
      { groups: 7 },
    ])
      assert.notEqual((await turn(groups as JWTPayload))?.isError, false, JSON.stringify(groups));
    assert.equal(world.seen.orders.length, before);
    const overflowed = await partner.token('olaf', { groups: ['treasury'], hasgroups: true });
    assert.equal((await world.as(overflowed, 'GET', '/agents/assistant')).status, 404);
  });

  test('P4 an entry of a groups claim that is no text is left out alone: the others count, and the issuer says so', async () => {
    const accepted = async () => {
      const { body } = await world.admin<{ status: { conditions?: Condition[] } }>('GET', '/trusted-issuers/partner');
      return body.status.conditions?.find(({ type }) => type === 'Accepted');
    };
    assert.equal((await accepted())?.reason, 'Valid');
    const orders = async (groups: unknown[]) => {
      const { body } = await say(world, await partner.token('ursula', { groups }), 'list my orders');
      return body.toolCalls[0]?.isError;
    };
    assert.equal(await orders(['staff', 7, null]), false);
    assert.equal(await orders(['contractors', 7]), true);
    const said = await eventually(accepted, (condition) => condition?.reason === 'ClaimsLeftOut');
    assert.deepEqual(
      [said?.status, said?.reason, said?.message],
      ['True', 'ClaimsLeftOut', 'entries that are no text were left out of groups'],
    );
  });

  test('J3 J8 J9 J11 D4 look-alikes, other audiences, other kinds of token, and one with act', async () => {
    const me = async (more: JWTPayload, header = {}) =>
      (await world.as(await partner.token('alice', more, header), 'GET', '/me')).status;
    assert.equal(await me({}), 200);
    assert.equal(await me({ iss: `${partner.issuer}/` }), 401);
    assert.equal(await me({ iss: partner.issuer.replace('http', 'https') }), 401);
    assert.equal(await me({ iss: `${partner.issuer}.evil.example` }), 401);
    assert.equal(await me({ iss: world.url }), 401, 'our issuer, their key');
    assert.equal(await me({ aud: world.url }), 401);
    assert.equal(await me({ aud: `${world.url}/api/x` }), 401);
    assert.equal(await me({ aud: `${world.url}/mcp` }), 401);
    assert.equal(await me({}, { typ: 'JWT' }), 401);
    assert.equal(await me({}, { typ: 'id_token' }), 401);
    assert.equal(await me({}, { kid: 'two' }), 401);
    assert.equal(await me({ cnf: { jkt: 'x' } }), 401);
    const delegated = await partner.token('alice', { act: { sub: 'agent:elsewhere/bot' } });
    assert.equal((await world.as(delegated, 'GET', '/agents/assistant')).status, 200, 'may read and run');
    const { body: session } = await world.as<{ id: string }>(delegated, 'POST', '/agents/assistant/sessions', {});
    for (const [method, path, body] of [
      ['POST', '/tickets', { agent: 'assistant' }],
      ['POST', '/apply', { documents: '' }],
      ['GET', '/secrets', undefined],
      ['POST', '/secrets', {}],
      ['POST', '/grants', {}],
      ['GET', '/grants', undefined],
      ['GET', '/audit', undefined],
      ['GET', '/me', undefined],
      ['GET', '/exchanges', undefined],
      ['DELETE', `/agents/assistant/sessions/${session.id}`, undefined],
    ] as const)
      assert.equal((await world.as(delegated, method, path, body)).status, 403, `${method} ${path}`);
  });

  test('J6 500 tokens with random kids fetch the keys at most once; valid ones are not disturbed', async () => {
    const valid = await partner.token('alice');
    const before = partner.fetches();
    const forged = await Promise.all(
      Array.from({ length: 500 }, () => partner.token('alice', {}, { kid: randomUUID() })),
    );
    const answers = await Promise.all([
      ...forged.map((token) => world.as(token, 'GET', '/me')),
      ...Array.from({ length: 20 }, () => world.as(valid, 'GET', '/me')),
    ]);
    assert.ok(answers.slice(0, 500).every(({ status }) => status === 401));
    assert.ok(answers.slice(500).every(({ status }) => status === 200));
    assert.ok(partner.fetches() - before <= 1, `${partner.fetches() - before} fetches`);
  });

  test('their person who is disabled here is out at once; an issuer that is taken away, with everybody', async () => {
    const token = await partner.token('dora');
    assert.equal((await world.as(token, 'GET', '/me')).status, 200);
    await world.admin('PATCH', '/principals', { issuer: partner.issuer, subject: 'dora', disabled: true });
    assert.equal((await world.as(token, 'GET', '/me')).status, 403);
    assert.equal((await world.as(await partner.token('alice'), 'GET', '/me')).status, 200);
    const role = await world.admin('PATCH', '/principals', { issuer: partner.issuer, subject: 'alice', role: 'ADMIN' });
    assert.equal(role.status, 400, 'their roles come with their tokens');
  });

  test('J8 an issuer that differs by a slash at its end, or whose metadata cannot be read, is not Accepted, and says why', async () => {
    let named: string | undefined;
    const provider = createServer((_request, response) => {
      const status = named === undefined ? 503 : 200;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ issuer: named, jwks_uri: `${own}/jwks` }));
    });
    await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
    const own = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`;
    const accepted = async () => {
      const { body } = await world.admin<{ status: { conditions?: Condition[] } }>('GET', '/trusted-issuers/slash');
      return body.status.conditions?.find(({ type }) => type === 'Accepted');
    };
    const says = async (issuer: string, reason: string) => {
      await world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: TrustedIssuer
metadata: {name: slash}
spec: {issuer: "${issuer}", algorithms: [ES256], audiences: {api: [other-api]}}
`);
      const found = await eventually(accepted, (condition) => condition?.reason === reason);
      assert.equal(found?.reason, reason, JSON.stringify(found));
      return { status: found.status, message: found.message };
    };
    const unread = await says(`${own}/`, 'NotReadable');
    assert.equal(unread.status, 'False');
    assert.match(unread.message, /answered 503/);
    await world.admin('DELETE', '/trusted-issuers/slash');
    named = own;
    const slash = await says(`${own}/`, 'NotReadable');
    assert.equal(slash.status, 'False');
    assert.ok(
      slash.message.includes(`names another issuer: ${own}. Write spec.issuer like that, without the slash`),
      slash.message,
    );
    assert.equal((await says(own, 'Valid')).status, 'True');
    await world.admin('DELETE', '/trusted-issuers/slash');
    await new Promise((resolve) => {
      provider.close(resolve);
      provider.closeAllConnections();
    });
  });

  test('P2 an issuer whose people could be taken for others is refused', async () => {
    const other: Partner = { ...partner, issuer: 'https://other.example' };
    const yaml = (name: string, more = '') => issuerYaml(name, other, world, more);
    for (const [document, path] of [
      [yaml('other', '  subjectPrefix: partner'), 'spec.subjectPrefix'],
      [yaml('other', '  subjectPrefix: "partner:x"'), 'spec.subjectPrefix'],
      [yaml('other', '  subjectPrefix: agent'), 'spec.subjectPrefix'],
      [yaml('legacy'), 'metadata.name'],
      [issuerYaml('other', partner, world), 'spec.issuer'],
      [issuerYaml('other', { ...other, issuer: 'local' }, world), 'spec.issuer'],
      [issuerYaml('other', { ...other, issuer: 'legacy:env' }, world), 'spec.issuer'],
    ] as const) {
      const { status, body } = await world.apply(document);
      assert.equal(status, 422, document);
      assert.ok(
        (body as { errors: { path: string }[] }).errors.some((one) => one.path === path),
        JSON.stringify(body),
      );
    }
  });

  test('P2 an issuer without a prefix: whoever shares a name with one of ours, or with an agent, gets no token', async () => {
    const plain = await startPartner(world);
    try {
      await world.applied(
        `${issuerYaml('plain', plain, world, '  subjectPrefix: ""\n')}---${grant('plain-people', `{everyone: {issuer: "${plain.issuer}"}}`)}`,
      );
      const hugo = await plain.token('hugo');
      await eventually(
        () => world.as(hugo, 'GET', '/me'),
        ({ status }) => status === 200,
      );
      assert.equal((await say(world, hugo, 'list my orders')).body.toolCalls[0]?.isError, false);
      const before = world.seen.orders.length;
      for (const subject of ['alice', 'agent:default/assistant', 'partner:tess', 'legacy:env:7', 'client:platform']) {
        const { body } = await say(world, await plain.token(subject), 'list my orders');
        // The token service takes no such subject, and no other sign-in would help: the prefix is an administrator's.
        const { isError, code } = body.toolCalls[0] ?? {};
        assert.deepEqual([body.state, isError, code], ['completed', true, 'invalid_request_configuration'], subject);
      }
      assert.equal(world.seen.orders.length, before);
    } finally {
      await plain.close();
    }
  });

  test('J17 a key that is withdrawn is refused at once after the issuer is read again', async () => {
    const token = await partner.token('alice');
    assert.equal((await world.as(token, 'GET', '/me')).status, 200);
    partner.withdraw();
    await world.applied(issuerYaml('partner', partner, world, '  leeway: 29s'));
    const { status } = await eventually(
      () => world.as(token, 'GET', '/me'),
      (answer) => answer.status === 401,
    );
    assert.equal(status, 401);
    await world.admin('DELETE', '/trusted-issuers/partner');
    assert.equal((await world.as(await partner.token('alice'), 'GET', '/me')).status, 401);
  });
});
