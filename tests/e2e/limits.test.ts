import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createServer, request as forward } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { startFakeTokenService } from '@onbehalf/token-exchange/testing';
import WebSocket from 'ws';
import { adminCall } from '../../examples/demo/api.ts';
import { signIn } from '../../examples/demo/sign-in.ts';
import { holdsToken } from '../holds-token.ts';
import { freePort, say, startWorld, type World } from './world.ts';

/** Writes a head, then body bytes until the server has answered; how many bytes it took. */
function pour(url: string, head: string, chunk: string, limit: number): Promise<{ status: number; sent: number }> {
  const { port } = new URL(url);
  return new Promise((resolve) => {
    let sent = 0;
    let text = '';
    const socket = connect(Number(port), '127.0.0.1', () => socket.write(head, more));
    const end = () => {
      socket.destroy();
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), sent });
    };
    const more = () => {
      if (text !== '' || sent >= limit || socket.destroyed) return;
      sent += chunk.length;
      // Slowly enough for the answer to be read before the connection is gone.
      socket.write(chunk, () => setTimeout(more, 1));
    };
    socket.on('data', (data: Buffer) => {
      text += data.toString('latin1');
      end();
    });
    socket.on('close', end);
    socket.on('error', end);
  });
}

describe('limits, and what is left behind', () => {
  let world: World;
  let alice: string;
  let bob: string;
  before(async () => {
    world = await startWorld();
    [alice, bob] = await Promise.all([world.token('alice'), world.token('bob')]);
  });
  after(() => world[Symbol.asyncDispose]());

  test('I8 a body of 50 MB is 413 long before it is read, announced or in chunks', async () => {
    const head = (more: string) =>
      `POST /api/apply HTTP/1.1\r\nHost: ${new URL(world.url).host}\r\nAuthorization: Bearer ${alice}\r\nContent-Type: application/json\r\n${more}\r\n\r\n`;
    const size = 50 << 20;
    const announced = await pour(world.url, head(`Content-Length: ${size}`), 'x'.repeat(65_536), size);
    // Whoever goes on writing may lose the answer with the connection: the bytes are what counts here.
    assert.ok([413, 0].includes(announced.status), String(announced.status));
    assert.ok(announced.sent < 4 << 20, `${announced.sent} bytes were taken`);
    const whole = await world.as(alice, 'POST', '/apply', 'x'.repeat(size));
    assert.equal(whole.status, 413);
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`;
    const chunked = await pour(world.url, head('Transfer-Encoding: chunked'), chunk, size);
    assert.ok([413, 0].includes(chunked.status), String(chunked.status));
    assert.ok(chunked.sent < 16 << 20, `${chunked.sent} bytes were taken`);
    const twice = await pour(world.url, head('Content-Length: 2\r\nTransfer-Encoding: chunked'), '0\r\n\r\n', 5);
    assert.equal(twice.status, 400, 'two lengths');
  });

  test('I8 a packed body is refused unread; 100,000 keys and deep YAML are one clear error', async () => {
    const packed = await fetch(`${world.url}/api/apply`, {
      method: 'POST',
      headers: { authorization: `Bearer ${alice}`, 'content-type': 'application/json', 'content-encoding': 'gzip' },
      body: gzipSync(Buffer.alloc(50 << 20, ' ')),
    });
    assert.ok([400, 413, 415].includes(packed.status), String(packed.status));
    const keys = `{${Array.from({ length: 100_000 }, (_, index) => `"k${index}":1`).join(',')}}`;
    const many = await world.as(alice, 'POST', '/agents/assistant/sessions', keys);
    assert.equal(many.status, 400);
    assert.ok(JSON.stringify(many.body).length < 4_096, 'the error repeats the keys');
    const yaml = [
      `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
      `a: &a [x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 12 }, (_, index) => `b${index}: &b${index} [${Array.from({ length: 9 }, () => `*${index === 0 ? 'a' : `b${index - 1}`}`).join(',')}]`).join('\n')}`,
      `${'{a: '.repeat(5_000)}1${'}'.repeat(5_000)}`,
      '---\n'.repeat(50_000),
      `x: ${'"'.repeat(100_000)}`,
      `${'- '.repeat(100_000)}x`,
      ']'.repeat(1_000_000),
      Array.from({ length: 100_000 }, (_, index) => `k${index}: 1`).join('\n'),
      `{${Array.from({ length: 15_000 }, (_, index) => `k${index}: 1`).join(',')}}`,
      `apiVersion: onbehalf.dev/v1alpha1\nkind: Agent\nmetadata: {name: a}\nspec:\n${Array.from({ length: 15_000 }, (_, index) => `  k${index}: 1`).join('\n')}`,
    ];
    for (const documents of yaml) {
      const started = performance.now();
      const answer = await world.as<{ errors?: unknown[] }>(alice, 'POST', '/apply', { documents });
      assert.ok([200, 400, 403, 422].includes(answer.status), `${answer.status} for ${documents.slice(0, 20)}`);
      const took = performance.now() - started;
      assert.ok(JSON.stringify(answer.body).length < 65_536, 'an endless list of mistakes');
      // A quadratic parser takes half a minute for any of these.
      assert.ok(took < 5_000, `${documents.slice(0, 20)} took ${took} ms`);
    }
  });

  test("I1 I2 every route of the OpenAPI document with another person's session is 404", async () => {
    const { body: session } = await world.as<{ id: string }>(alice, 'POST', '/agents/assistant/sessions', {
      title: 'private',
    });
    const { body: said } = await say(world, alice, 'hello', session.id);
    const { body: document } = await world.as<{ paths: Record<string, Record<string, unknown>> }>(
      bob,
      'GET',
      '/openapi.json',
    );
    const tried: string[] = [];
    for (const [path, methods] of Object.entries(document.paths)) {
      if (!/\{(session|turn)\}/.test(path)) continue;
      const address = path
        .replace(/^\/api/, '')
        .replace('{agent}', 'assistant')
        .replace('{session}', session.id)
        .replace('{turn}', said.turn);
      for (const method of new Set([
        ...Object.keys(methods),
        'get',
        'post',
        'put',
        'patch',
        'delete',
        'head',
        'options',
      ])) {
        for (const accept of ['application/json', 'text/event-stream']) {
          const response = await fetch(`${world.url}/api${address}`, {
            method: method.toUpperCase(),
            headers: { authorization: `Bearer ${bob}`, 'content-type': 'application/json', accept },
            ...(['post', 'put', 'patch'].includes(method) && { body: JSON.stringify({ content: 'x' }) }),
          });
          assert.equal(response.status, 404, `${method} ${address}`);
          assert.ok(!(await response.text()).includes('private'));
        }
        tried.push(`${method} ${path}`);
      }
    }
    assert.ok(tried.length >= 40, tried.join(', '));
    const { body } = await world.as<{ items: { id: string }[] }>(bob, 'GET', '/sessions');
    assert.ok(!JSON.stringify(body).includes(session.id));
    for (const query of [
      `/audit?session=${session.id}`,
      `/audit?turn=${said.turn}`,
      `/exchanges?session=${session.id}`,
    ])
      assert.ok(!JSON.stringify((await world.as(bob, 'GET', query)).body).includes(said.turn), query);
    // What bob asked for himself stands in his own entries; nothing of alice's does.
    const own = await world.as<{ items: { principal?: { subject: string }; turn?: string }[] }>(
      bob,
      'GET',
      '/audit?user=alice&limit=500',
    );
    assert.ok(own.body.items.length > 0);
    assert.ok(own.body.items.every(({ principal, turn }) => principal?.subject === 'bob' && turn !== said.turn));
    assert.equal((await world.as(alice, 'GET', `/agents/assistant/sessions/${session.id}`)).body.title, 'private');
  });

  test('an Idempotency-Key is its session’s own, and is never cut short', async () => {
    const post = (token: string, session: string, key: string, content: string) =>
      world.as<{ turn: string }>(
        token,
        'POST',
        `/agents/assistant/sessions/${session}/messages`,
        { content },
        { 'idempotency-key': key },
      );
    const [hers, his] = await Promise.all(
      [alice, bob].map(
        async (token) => (await world.as<{ id: string }>(token, 'POST', '/agents/assistant/sessions', {})).body.id,
      ),
    );
    const first = await post(alice, hers ?? '', 'k', 'hello');
    assert.equal((await post(alice, hers ?? '', 'k', 'hello')).body.turn, first.body.turn);
    const other = await post(bob, his ?? '', 'k', 'hello');
    assert.equal(other.status, 200);
    assert.notEqual(other.body.turn, first.body.turn);
    assert.equal((await post(alice, hers ?? '', 'k'.repeat(256), 'hello')).status, 400);
  });

  test('huge and odd titles, headers and queries are bounded', async () => {
    const title = await world.as(alice, 'POST', '/agents/assistant/sessions', { title: 'x'.repeat(500_000) });
    assert.equal(title.status, 400);
    const control = await world.as(alice, 'POST', '/agents/assistant/sessions', { title: 'a\u0000b\u202Ec' });
    assert.ok([201, 400].includes(control.status));
    assert.ok(
      [400, 414, 431].includes((await fetch(`${world.url}/api/me`, { headers: { 'x-y': 'a'.repeat(70_000) } })).status),
    );
    for (const query of [
      'after=1&after=2',
      'after=-1',
      'after=1e999',
      'limit=0',
      'limit=501',
      'x=1',
      'reason=a&reason=b',
    ]) {
      const { body: session } = await world.as<{ id: string }>(alice, 'POST', '/agents/assistant/sessions', {});
      assert.equal(
        (await world.as(alice, 'GET', `/agents/assistant/sessions/${session.id}/events?${query}`)).status,
        400,
        query,
      );
    }
  });

  test('a flood of frames closes the socket, and starts no more turns than it may queue', async () => {
    const socket = new WebSocket(
      `${world.url.replace('http', 'ws')}/api/agents/assistant/react?access-token=${bob}&protocol=2`,
    );
    await new Promise((resolve) => socket.once('open', resolve));
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    for (let index = 0; index < 5_000; index++) socket.send('{"type":"message","content":"hello"}');
    assert.equal(await closed, 1013);
    const started = performance.now();
    assert.equal((await say(world, alice, 'hello')).body.state, 'completed');
    assert.ok(performance.now() - started < 3_000, 'others wait for the flood');
  });

  test('the administration socket is its owner’s alone, and nothing of it answers on the port', async () => {
    assert.equal((await stat(world.server.adminSocket)).mode & 0o777, 0o600);
    assert.equal((await stat(join(world.dataDir, 'key'))).mode & 0o777, 0o600);
    const root = await world.token('root');
    for (const headers of [{}, { host: 'local' }, { 'x-forwarded-for': '127.0.0.1' }, { 'x-onbehalf-local': '1' }]) {
      const { status } = await world.as(
        root,
        'POST',
        '/login-links',
        { user: 'alice' },
        headers as Record<string, string>,
      );
      assert.ok(status === 404 || status === 421, String(status));
    }
    const { body } = await world.as<{ paths: object }>(root, 'GET', '/openapi.json');
    assert.ok(body.paths);
  });

  test('E1 L3 while nothing can be written no tool is called, a warm token cache or not; afterwards all works again', async () => {
    const { body: session } = await world.as<{ id: string }>(alice, 'POST', '/agents/assistant/sessions', {});
    assert.equal((await say(world, alice, 'list my orders', session.id)).body.toolCalls[0]?.isError, false);
    const before = world.seen.orders.length;
    const lock = new DatabaseSync(join(world.dataDir, 'onbehalf.db'));
    lock.exec('BEGIN IMMEDIATE');
    try {
      const answer = await world.as(alice, 'POST', `/agents/assistant/sessions/${session.id}/messages`, {
        content: 'list my orders',
      });
      assert.ok([503, 507].includes(answer.status), `${answer.status} ${JSON.stringify(answer.body)}`);
      assert.ok(answer.headers.get('retry-after'));
      assert.equal(world.seen.orders.length, before);
      assert.equal((await world.as(alice, 'GET', '/agents/assistant')).status, 200, 'reading goes on');
    } finally {
      lock.exec('ROLLBACK');
      lock.close();
    }
    const { body } = await say(world, alice, 'list my orders', session.id);
    assert.equal(body.toolCalls[0]?.isError, false, JSON.stringify(body));
    assert.equal(world.seen.orders.length, before + 1);
  });
});

/** Whether it names a person: discovery has tokens of its own. */
function namesPerson(authorization: string | undefined): boolean {
  const payload = authorization?.split('.')[1];
  return payload !== undefined && !Buffer.from(payload, 'base64url').includes('client:platform');
}

const ANOMALIES = [
  'wrong_audience',
  'extra_audience',
  'no_audience',
  'other_subject',
  'expired',
  'long_lived',
  'foreign_key',
  'alg_none',
  'html_200',
  'redirect_307',
  'status_500',
] as const;

test('X6 X7 X8 X10 a token service of somebody else’s that lies, redirects, errs or is down: no call reaches the tool server', async () => {
  await using world = await startWorld();
  await using service = await startFakeTokenService();
  /** Bearer tokens that name a person, in order. */
  const calls: (string | undefined)[] = [];
  const proxy = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      if (namesPerson(request.headers.authorization)) calls.push(request.headers.authorization);
      const upstream = forward(world.hr.url, { method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      upstream.end(body);
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/mcp`;
  const hr = (name: string) => `apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: hr}
spec: {url: "${url}", auth: {mode: Exchange, tokenServiceRef: {name: ${name}}, resource: ["${world.hr.url}"], scopes: [hr.read, hr.write], discovery: {mode: None}}}
`;
  try {
    await world.applied(hr('onbehalf'));
    await world.admin('POST', '/mcp-servers/hr/actions/test');
    const alice = await world.token('alice');
    const call = async (token = alice) => (await say(world, token, 'what is my vacation balance')).body;
    assert.equal((await call()).toolCalls[0]?.isError, false);
    assert.ok(calls.length >= 1);
    const before = calls.length;
    await world.applied(`apiVersion: onbehalf.dev/v1alpha1
kind: Secret
metadata: {name: sts-client}
spec: {data: {secret: platform-secret}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: TokenService
metadata: {name: theirs}
spec: {issuer: "${service.issuer}", profile: rfc8693, delegation: none, client: {id: platform, auth: SecretBasic, secretRef: {namespace: default, name: sts-client, key: secret}}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: TrustedIssuer
metadata: {name: theirs}
spec: {issuer: "${service.issuer}", jwksUri: "${service.jwksUri}", algorithms: [ES256], audiences: {api: ["${world.url}/api"]}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: fay}
spec: {to: {principal: {issuer: "${service.issuer}", subject: fay}}, on: {kind: Agent, name: assistant}, verbs: [run]}
---
${hr('theirs')}`);
    // Another token service: what was approved with the first one is listed, and approved, anew.
    await world.admin('POST', '/mcp-servers/hr/actions/test');
    await world.admin('POST', '/mcp-servers/hr/actions/test');
    const source = await service.user('fay', { claims: { aud: `${world.url}/api` } });
    const fay = (await source.current()).token.reveal();
    for (let tries = 0; tries < 100 && (await world.as(fay, 'GET', '/me')).status !== 200; tries++)
      await new Promise((resolve) => setTimeout(resolve, 25));
    // Its honest tokens are sent; this tool server does not believe their issuer.
    const first = await call(fay);
    const honest = calls.length;
    assert.ok(honest > before, JSON.stringify(first.toolCalls));
    for (const anomaly of ANOMALIES) {
      service.always(anomaly);
      const body = await call(fay);
      assert.equal(body.toolCalls[0]?.isError, true, `${String(anomaly)}: ${JSON.stringify(body)}`);
      assert.equal(body.state, 'completed');
      assert.ok(!holdsToken(JSON.stringify(body)));
      assert.doesNotMatch(JSON.stringify(body), /platform-secret/);
    }
    await service.close();
    assert.equal((await call(fay)).toolCalls[0]?.isError, true);
    assert.equal(calls.length, honest, 'a call reached the tool server');
    const { body: audit } = await world.admin<{
      items: { type: string; outcome?: string; target?: { tokenService?: string } }[];
    }>('GET', '/audit?type=exchange&limit=500');
    const refused = audit.items.filter(
      ({ target, outcome }) => target?.tokenService === 'theirs' && outcome !== 'issued',
    );
    assert.ok(refused.length >= ANOMALIES.length, `${refused.length} audit lines`);
    assert.equal(
      (await say(world, alice, 'list my orders')).body.toolCalls[0]?.isError,
      false,
      'the other is not disturbed',
    );
  } finally {
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
  }
});

test('V6 L6 after a whole day in one minute: no token, link, ticket or message text in log, audit or files', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'onbehalf-canary-'));
  const port = await freePort();
  const child = spawn(
    process.execPath,
    ['--conditions=onbehalf-source', join(import.meta.dirname, 'child.ts'), dataDir, String(port)],
    { env: { ...process.env, CHILD_LOG_LEVEL: 'debug' }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  child.stderr.on('data', (data: Buffer) => {
    log += data.toString();
  });
  try {
    const { url, adminSocket } = await new Promise<{ url: string; adminSocket: string }>((resolve, reject) => {
      let text = '';
      child.stdout.on('data', (data: Buffer) => {
        text += data.toString();
        if (text.includes('\n')) resolve(JSON.parse(text));
      });
      child.once('exit', () => reject(new Error(log)));
    });
    const links: string[] = [];
    const tokenOf = async (user: string) => {
      const { body } = await adminCall<{ url: string }>(adminSocket, 'POST', '/login-links', { user });
      links.push(new URL(body.url).hash.slice(1));
      return signIn(url, body.url);
    };
    const tokens = [await tokenOf('alice'), await tokenOf('bob')];
    const canary = `canary-${crypto.randomUUID()}`;
    const call = (token: string, method: string, path: string, body?: unknown) =>
      fetch(`${url}/api${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
    const tickets: string[] = [];
    for (const token of tokens) {
      const { id } = (await (await call(token, 'POST', '/agents/assistant/sessions', {})).json()) as { id: string };
      await call(token, 'POST', `/agents/assistant/sessions/${id}/messages`, { content: `list my orders ${canary}` });
      await call(token, 'POST', '/apply', `{"x": "${canary}`);
      await call(`${token}x`, 'GET', '/me');
      await call(token, 'GET', `/nothing?access-token=${token}`);
      await fetch(`${url}/api/agents/assistant/react?access-token=${token}`);
      tickets.push(
        ((await (await call(token, 'POST', '/tickets', { agent: 'assistant' })).json()) as { ticket: string }).ticket,
      );
    }
    await adminCall(adminSocket, 'POST', '/secrets', {
      apiVersion: 'onbehalf.dev/v1alpha1',
      kind: 'Secret',
      metadata: { name: 'canary' },
      spec: { data: { key: `secret-${canary}` } },
    });
    const { body: audit } = await adminCall<object>(adminSocket, 'GET', '/audit?limit=500');
    const words = [...tokens, ...tokens.map((token) => token.split('.')[2] ?? ''), ...links, ...tickets];
    for (const word of [...words, `secret-${canary}`]) {
      assert.ok(!log.includes(word), 'in the log');
      assert.ok(!JSON.stringify(audit).includes(word), 'in the audit');
    }
    assert.ok(!log.includes(canary), 'message text in the log');
    assert.ok(!JSON.stringify(audit).includes(canary), 'message text in the audit');
    assert.ok(!holdsToken(log + JSON.stringify(audit)), 'some other token');
    for (const name of await readdir(dataDir)) {
      const content = await readFile(join(dataDir, name)).catch(() => Buffer.alloc(0));
      for (const word of [...words, `secret-${canary}`])
        assert.equal(content.indexOf(word), -1, `${name} holds ${word.slice(0, 4)}…`);
      assert.equal(
        /eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\./.test(content.toString('latin1')),
        false,
        `${name} holds a token`,
      );
    }
  } finally {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await gone;
    await rm(dataDir, { recursive: true, force: true });
  }
});
