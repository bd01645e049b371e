import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { createIdentityFetch, type Target, type TokenExchange, TokenExchangeError } from '@onbehalf/token-exchange';
import { assistant, refusedAs, type Setup, setup } from './setup.ts';
import { startToolServer, type ToolServer, unauthorized } from './tool-server.ts';

const rpc = (method: string, more: object = {}): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, ...more }),
});

function targetOf({ url }: ToolServer, more: Partial<Target> = {}): Target {
  return { name: 'tools', audience: [], resource: [url], scopes: [], url, ...more };
}

async function identityFetch(s: Setup, exchange: TokenExchange, target: Target, user = 'alice', session = 's') {
  const subject = await s.service.user(user);
  return createIdentityFetch({ exchange, target, subject, session, agent: assistant })(fetch);
}

test('nothing is exchanged before the first tools/call, and then once', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service, { open: ['initialize', 'tools/list'] });
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools));
  await fetcher(tools.url, rpc('initialize'));
  await fetcher(tools.url, rpc('tools/list', { params: { note: 'tools/call' } }));
  assert.equal(s.service.counts.token, 0);
  const answer = await fetcher(tools.url, rpc('tools/call'));
  await fetcher(tools.url, rpc('tools/call'));
  assert.deepEqual(((await answer.json()) as { result: unknown }).result, {
    sub: 'alice',
    act: { sub: 'agent:default/assistant', iss: 'https://platform.example', agent_uid: 'uid-assistant' },
  });
  assert.equal(s.service.counts.token, 1);
  assert.deepEqual(
    tools.seen.map(({ claims }) => claims?.sub),
    [undefined, undefined, 'alice', 'alice'],
  );
});

test('the Mcp-Method header, a batch and a Request are understood as well', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const exchange = s.exchange();
  const post = { method: 'POST', headers: { 'mcp-method': 'tools/call' } };
  const batch = { method: 'POST', body: JSON.stringify([{ method: 'x' }, { method: 'tools/call' }]) };
  for (const [session, input, init] of [
    ['a', tools.url, { ...post, body: '{}' }],
    ['b', new URL(tools.url), batch],
    ['c', new Request(tools.url, rpc('tools/call')), undefined],
    ['d', tools.url, { ...rpc('tools/call'), body: new TextEncoder().encode('{"method":"tools/call"}') }],
  ] as const) {
    const fetcher = await identityFetch(s, exchange, targetOf(tools), 'alice', session);
    await fetcher(input, init);
  }
  assert.deepEqual(
    tools.seen.map(({ claims }) => claims?.sub),
    ['alice', 'alice', 'alice', 'alice'],
  );
});

test('the first 401 leads to an exchange, and the connection keeps its token', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools));
  assert.equal((await fetcher(tools.url, rpc('initialize'))).status, 200);
  assert.equal((await fetcher(tools.url, { method: 'GET' })).status, 200);
  assert.deepEqual(
    tools.seen.map(({ claims }) => claims?.sub),
    [undefined, 'alice', 'alice'],
  );
  assert.equal(s.service.counts.token, 1);
});

test('two users over one server: neither carries the other', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const exchange = s.exchange();
  const fetchers = await Promise.all(
    ['alice', 'bob'].map(async (user) => [user, await identityFetch(s, exchange, targetOf(tools), user)] as const),
  );
  await Promise.all(
    Array.from({ length: 100 }, async (_, at) => {
      const [user, fetcher] = fetchers[at % 2] ?? assert.fail();
      const response = await fetcher(tools.url, rpc('tools/call'));
      const { result } = (await response.json()) as { result: { sub: string } };
      assert.equal(result.sub, user);
    }),
  );
  assert.equal(s.service.counts.token, 2);
});

test('X9 a 401 to a token: one exchange more, one retry', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools));
  let refusals = 1;
  tools.intercept = (_seen, response) => {
    if (refusals > 0) unauthorized(response);
    refusals -= 1;
  };
  assert.equal((await fetcher(tools.url, rpc('tools/call'))).status, 200);
  assert.equal(s.service.counts.token, 2);
  assert.equal(tools.seen.length, 2);
  assert.notEqual(tools.seen[0]?.authorization, tools.seen[1]?.authorization);
});

test('X9 a second 401 is an error of the tool server', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools));
  tools.intercept = (_seen, response) => unauthorized(response);
  await assert.rejects(fetcher(tools.url, rpc('tools/call')), refusedAs('target_unauthorized'));
  assert.equal(s.service.counts.token, 2);
  assert.equal(tools.seen.length, 2);
});

test('T3 1,000 times 401: at most one exchange more per entry and minute', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  let time = 0;
  const fetcher = await identityFetch(s, s.exchange({}, { monotonic: () => time }), targetOf(tools));
  tools.intercept = (_seen, response) => unauthorized(response);
  for (let at = 0; at < 100; at += 1) {
    const ten = Array.from({ length: 10 }, () => fetcher(tools.url, rpc('tools/call')));
    for (const one of await Promise.allSettled(ten)) {
      assert.equal(one.status === 'rejected' && one.reason.code, 'target_unauthorized');
    }
  }
  assert.equal(s.service.counts.token, 2);
  assert.ok(tools.seen.length <= 1010, 'a token that was refused is not sent twice for one call');
  time = 61_000;
  await assert.rejects(fetcher(tools.url, rpc('tools/call')), refusedAs('target_unauthorized'));
  assert.equal(s.service.counts.token, 3);
});

test('X10 no token service: the call fails and the tool server hears nothing of the user', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service, { open: ['initialize'] });
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools));
  await fetcher(tools.url, rpc('initialize'));
  await s.service.close();
  await assert.rejects(fetcher(tools.url, rpc('tools/call')), refusedAs('sts_unavailable'));
  assert.deepEqual(
    tools.seen.map(({ authorization }) => authorization),
    [undefined],
  );
});

test('X16 an authorization server that the tool server advertises gets nothing', async () => {
  await using s = await setup();
  await using evil = await setup();
  await using tools = await startToolServer(s.service);
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools));
  const { issuer } = evil.service;
  tools.intercept = (seen, response) => {
    if (seen.url.includes('well-known')) response.end(JSON.stringify({ authorization_servers: [issuer] }));
    else
      unauthorized(
        response,
        `Bearer resource_metadata="${issuer}/meta", authorization_uri="${issuer}/token", realm="x"`,
      );
  };
  await assert.rejects(fetcher(tools.url, rpc('tools/call')), refusedAs('target_unauthorized'));
  const { counts } = evil.service;
  assert.ok(Object.values(counts).every((count) => count === 0));
  assert.ok(tools.seen.every(({ url }) => url === '/mcp'));
});

test('a redirect to another origin is not followed: neither the token nor the body arrives there', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  await using other = await startToolServer(s.service);
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools));
  for (const status of [301, 302, 303, 307, 308]) {
    tools.intercept = (_seen, response) => response.writeHead(status, { location: other.url }).end();
    assert.equal((await fetcher(tools.url, rpc('tools/call'))).status, status);
  }
  assert.equal(other.seen.length, 0);
});

test('a redirect within the registered URL is followed with body and token, but not out of it and not for ever', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools));
  tools.intercept = ({ url }, response) => url === '/mcp' && response.writeHead(307, { location: '/mcp/' }).end();
  assert.equal((await fetcher(tools.url, rpc('tools/call'))).status, 200);
  assert.deepEqual(
    tools.seen.map(({ url, body, claims }) => [url, body.length > 0, claims?.sub]),
    [
      ['/mcp', true, 'alice'],
      ['/mcp/', true, 'alice'],
    ],
  );
  tools.intercept = (_seen, response) => response.writeHead(308, { location: '/admin' }).end();
  assert.equal((await fetcher(tools.url, rpc('tools/call'))).status, 308);
  assert.equal(tools.seen.at(-1)?.url, '/mcp');
  tools.intercept = (_seen, response) => response.writeHead(308, { location: '/mcp' }).end();
  const before = tools.seen.length;
  assert.equal((await fetcher(tools.url, rpc('tools/call'))).status, 308);
  assert.equal(tools.seen.length - before, 4);
});

test('the token goes to the registered URL and below it only', async () => {
  await using s = await setup();
  const sent: [string, string | null][] = [];
  const recorder: typeof fetch = async (input, init) => {
    sent.push([String(input), new Headers(init?.headers).get('authorization')]);
    return new Response('{}');
  };
  const subject = await s.service.user('alice');
  const target = { audience: ['tools'], resource: [], scopes: [], url: 'https://tools.example/team/mcp' };
  const fetcher = createIdentityFetch({ exchange: s.exchange(), target, subject })(recorder);
  const inside = ['', '/', '?x=1', '/messages?id=1', '#f'];
  for (const suffix of inside) await fetcher(`https://tools.example/team/mcp${suffix}`, rpc('tools/call'));
  assert.ok(sent.every(([, authorization]) => authorization?.startsWith('Bearer ')));
  sent.length = 0;
  for (const url of [
    'https://tools.example/team/mcpx',
    'https://tools.example/team',
    'https://tools.example/team/mcp/../admin',
    'https://tools.example/team/mcp/%2e%2e/admin',
    'https://tools.example/team/mcp/..%2fadmin',
    'https://tools.example/team/mcp/..%5cadmin',
    'https://tools.example/team/mcp/..;/admin',
    'https://tools.example/TEAM/mcp',
    'https://tools.example:8443/team/mcp',
    'http://tools.example/team/mcp',
    'https://tools.example.evil.example/team/mcp',
    'https://tools.example@evil.example/team/mcp',
    'https://user:pw@tools.example/team/mcp',
    'https://evil.example/https://tools.example/team/mcp',
  ]) {
    await fetcher(url, rpc('tools/call'));
  }
  assert.equal(sent.length, 14);
  assert.deepEqual(
    sent.filter(([, authorization]) => authorization !== null),
    [],
  );
});

test('T3 insufficient_scope: one step up, within what is declared', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const exchange = s.exchange();
  const target = targetOf(tools, { scopes: ['read'], stepUpScopes: ['refund', 'close'] });
  const fetcher = await identityFetch(s, exchange, target);
  tools.intercept = ({ claims }, response) => {
    if (String(claims?.scope).includes('refund')) return;
    response.writeHead(403, { 'www-authenticate': 'Bearer error="insufficient_scope", scope="read refund"' }).end();
  };
  for (let at = 0; at < 2; at += 1) assert.equal((await fetcher(tools.url, rpc('tools/call'))).status, 200);
  assert.deepEqual(
    tools.seen.map(({ claims }) => claims?.scope),
    ['read', 'read refund', 'read', 'read refund'],
  );
  assert.equal(s.service.counts.token, 2);
});

test('T3 a challenge for orders.admin: no step-up beyond what is declared', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools, { scopes: ['read'], stepUpScopes: ['refund'] }));
  for (const scope of ['orders.admin', 'refund orders.admin', 'read']) {
    tools.intercept = (_seen, response) => {
      response.writeHead(403, { 'www-authenticate': `Bearer error="insufficient_scope", scope="${scope}"` }).end();
    };
    await assert.rejects(fetcher(tools.url, rpc('tools/call')), refusedAs('insufficient_scope'));
  }
  assert.equal(s.service.counts.token, 1);
  tools.intercept = (_seen, response) => {
    response.writeHead(403, { 'www-authenticate': 'Bearer error="insufficient_scope", scope="refund"' }).end();
  };
  await assert.rejects(fetcher(tools.url, rpc('tools/call')), refusedAs('insufficient_scope'));
  assert.equal(s.service.counts.token, 2);
});

test('T3 a server that does not say which scope it misses gets what is declared, once', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const target = targetOf(tools, { scopes: ['read'], stepUpScopes: ['read', 'refund'] });
  const fetcher = await identityFetch(s, s.exchange(), target);
  const challenge = { 'www-authenticate': 'Bearer error="insufficient_scope"' };
  tools.intercept = ({ claims }, response) => {
    if (!String(claims?.scope).includes('refund')) response.writeHead(403, challenge).end();
  };
  assert.equal((await fetcher(tools.url, rpc('tools/call'))).status, 200);
  tools.intercept = (_seen, response) => response.writeHead(403, challenge).end();
  await assert.rejects(fetcher(tools.url, rpc('tools/call')), (error: TokenExchangeError) => {
    assert.equal(error.message, 'the tool server still asks for more scope, and does not say which');
    return error.code === 'insufficient_scope';
  });
  assert.equal(s.service.counts.token, 2);
});

test('each call may have a target of its own over one fetch; everything else has that of the connection', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const exchange = s.exchange();
  const target = targetOf(tools, { scopes: ['read'] });
  const refund = { ...target, scopes: ['refund'], stepUpScopes: ['close'] };
  let own: Target | undefined;
  const subject = await s.service.user('alice');
  const fetcher = createIdentityFetch({
    ...{ exchange, target, subject, session: 's1', agent: assistant },
    callTarget: () => own,
  })(fetch);
  await fetcher(tools.url, rpc('tools/call'));
  own = refund;
  await fetcher(tools.url, rpc('tools/call'));
  await fetcher(tools.url, rpc('tools/list'));
  tools.intercept = ({ claims }, response) => {
    if (String(claims?.scope).includes('close')) return;
    response.writeHead(403, { 'www-authenticate': 'Bearer error="insufficient_scope", scope="close"' }).end();
  };
  await fetcher(tools.url, rpc('tools/call'));
  assert.deepEqual(
    tools.seen.map(({ claims }) => claims?.scope),
    ['read', 'refund', 'read', 'refund', 'refund close'],
  );
  assert.equal(s.service.counts.token, 3);
});

test('T2 a tool server that asks for our token as a scope does not find it in the error', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools));
  tools.intercept = ({ authorization = '' }, response) => {
    const echo = authorization.slice('Bearer '.length);
    response.writeHead(403, { 'www-authenticate': `Bearer error="insufficient_scope", scope="x${echo}"` }).end();
  };
  const error: unknown = await fetcher(tools.url, rpc('tools/call')).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof TokenExchangeError && error.code === 'insufficient_scope');
  assert.deepEqual(error.scopes, ['x[secret]']);
  assert.ok(!inspect(error, { depth: 9 }).includes('eyJ'));
});

test('other answers pass as they are', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools));
  for (const status of [202, 204, 400, 403, 404, 500]) {
    tools.intercept = (_seen, response) => response.writeHead(status).end();
    assert.equal((await fetcher(tools.url, rpc('tools/call'))).status, status);
  }
});

test('a static header of the client does not override the token', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const fetcher = await identityFetch(s, s.exchange(), targetOf(tools));
  const init = rpc('tools/call');
  await fetcher(tools.url, { ...init, headers: { ...init.headers, Authorization: 'Bearer static' } });
  assert.equal(tools.seen[0]?.claims?.sub, 'alice');
});

test('a token of the agent or the platform is attached to every request', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const exchange = s.exchange({}, { workload: s.service.workload });
  const target = targetOf(tools);
  for (const subject of ['agent', 'platform'] as const) {
    await createIdentityFetch({ exchange, target, subject, agent: assistant })(fetch)(tools.url, rpc('tools/list'));
  }
  assert.deepEqual(
    tools.seen.map(({ claims }) => claims?.sub),
    ['agent:default/assistant', 'client:platform'],
  );
  assert.deepEqual([exchange.stats.workloads, exchange.stats.exchanges], [2, 0]);
});

test('each token is shown before it is sent, so that echoes can be redacted; a target without URL is refused', async () => {
  await using s = await setup();
  await using tools = await startToolServer(s.service);
  const subject = await s.service.user('alice');
  const shown: string[] = [];
  const target = targetOf(tools);
  const exchange = s.exchange();
  const context = () => ({ turn: 't1' });
  const onToken = ({ hash }: { hash: string }) => void shown.push(hash);
  await createIdentityFetch({ exchange, target, subject, context, onToken })(fetch)(tools.url, rpc('tools/call'));
  assert.deepEqual(
    shown,
    s.outcomes.map(({ hash }) => hash),
  );
  assert.deepEqual(s.outcomes[0]?.context, { turn: 't1' });
  const nowhere = { audience: ['a'], resource: [], scopes: [] };
  assert.throws(
    () => createIdentityFetch({ exchange, target: nowhere, subject }),
    refusedAs('invalid_request_configuration'),
  );
});
