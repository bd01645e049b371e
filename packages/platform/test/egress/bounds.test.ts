import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createEgress, EgressError, type EgressErrorCode, type Limits } from '../../src/egress/index.ts';
import { listen } from './servers.ts';

const loopback = { privateNetworks: ['127.0.0.0/8'] };

function code(expected: EgressErrorCode) {
  return (error: unknown) => {
    assert.ok(error instanceof EgressError, String(error));
    assert.equal(error.code, expected, error.message);
    return true;
  };
}

test('M3 no redirect is followed, to another origin or to the same', async () => {
  await using other = await listen((_request, response) => response.end('reached'));
  for (const status of [301, 302, 303, 307, 308]) {
    await using server = await listen((request, response) => {
      const location = request.url === '/same' ? '/elsewhere' : `${other.origin}/stolen`;
      response.writeHead(status, { location }).end('canary');
    });
    await using egress = disposable();
    for (const path of ['/cross', '/same']) {
      const init = { method: 'POST', headers: { authorization: 'Bearer t' }, body: 'x' };
      await assert.rejects(egress.fetch(server.origin + path, init), code('redirect_refused'));
      await assert.rejects(
        egress.fetch(server.origin + path, { ...init, redirect: 'follow' }),
        code('redirect_refused'),
      );
      await assert.rejects(egress.request(server.origin + path, init), code('redirect_refused'));
      const manual = await egress.fetch(server.origin + path, { ...init, redirect: 'manual' });
      assert.equal(manual.status, status);
      await manual.body?.cancel();
    }
    assert.equal(server.requests(), 8);
  }
  assert.equal(other.requests(), 0);
});

test('M7 an answer above maxBytes is cut, with and without content-length', async () => {
  await using server = await listen((request, response) => {
    if (request.url === '/endless') return flood(response, Buffer.alloc(65_536, 'a\n'));
    return response.end(Buffer.alloc(300_000));
  });
  await using egress = disposable();
  const limits = { maxBytes: 100_000 };
  for (const path of ['/sized', '/endless']) {
    const response = await egress.fetch(server.origin + path, { limits });
    await assert.rejects(response.arrayBuffer(), code('too_large'));
    const raw = await egress.request(server.origin + path, { limits });
    await assert.rejects(collect(raw.body), code('too_large'));
  }
});

test('M7 an event stream without line ends is cut at maxLineBytes; lines of any number pass', async () => {
  await using server = await listen((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (request.url === '/endless') return flood(response, Buffer.alloc(10_000, 'a'));
    return response.end('data: x\n'.repeat(20_000));
  });
  await using egress = disposable();
  const limits = { maxLineBytes: 50_000, maxBytes: 10_000_000 };
  await assert.rejects((await egress.fetch(`${server.origin}/endless`, { limits })).text(), code('line_too_long'));
  await assert.rejects(
    collect((await egress.request(`${server.origin}/endless`, { limits })).body),
    code('line_too_long'),
  );
  assert.equal((await (await egress.fetch(`${server.origin}/lines`, { limits })).text()).length, 160_000);
});

test('M7 a decompression bomb is cut at maxBytes of what it unpacks to, stacked encodings are refused', async () => {
  const bomb = gzipSync(Buffer.alloc(50_000_000));
  await using server = await listen((request, response) => {
    const encoding = request.url === '/stacked' ? 'gzip, gzip' : 'gzip';
    const body = request.url === '/bomb' ? bomb : gzipSync('{"a":1}');
    response.writeHead(200, { 'content-encoding': encoding }).end(body);
  });
  await using egress = disposable();
  await assert.rejects((await egress.fetch(`${server.origin}/bomb`)).text(), code('too_large'));
  await assert.rejects(egress.fetch(`${server.origin}/stacked`), code('encoding_refused'));
  const small = await egress.fetch(`${server.origin}/small`);
  assert.deepEqual(await small.json(), { a: 1 });
  assert.equal(small.headers.get('content-encoding'), null);
});

test('M8 keep-alives extend neither the first byte nor the whole', async () => {
  await using server = await listen((request, response) => {
    const interim = request.url === '/interim';
    if (!interim) response.writeHead(200, { 'content-type': 'text/event-stream' });
    const timer = setInterval(() => (interim ? response.writeProcessing() : response.write(': keep-alive\n\n')), 10);
    response.on('close', () => clearInterval(timer));
  });
  await using egress = disposable();
  const limits = { firstByteMs: 150, totalMs: 250, idleMs: 100 };
  await within(600, assert.rejects(egress.fetch(`${server.origin}/interim`, { limits }), code('deadline')));
  await within(600, assert.rejects(read(egress, `${server.origin}/stream`, limits), code('deadline')));
  const raw = await egress.request(`${server.origin}/stream`, { limits });
  await within(600, assert.rejects(collect(raw.body), code('deadline')));
});

test('M8 an answer that stops in the middle ends at idleMs, an unread one at totalMs', async () => {
  let closed = 0;
  await using server = await listen((_request, response) => {
    response.on('close', () => {
      closed += 1;
    });
    response.writeHead(200).write('partial');
  });
  await using egress = disposable();
  await assert.rejects(read(egress, server.origin, { idleMs: 100 }), code('deadline'));
  await egress.request(server.origin, { limits: { totalMs: 100 } });
  await new Promise((done) => setTimeout(done, 200));
  assert.equal(closed, 2);
});

test('connectMs bounds resolving and connecting together', async () => {
  const egress = createEgress({ ...loopback, resolve: () => new Promise(() => undefined) });
  await assert.rejects(egress.fetch('https://slow.example/', { limits: { connectMs: 200 } }), code('deadline'));
  await egress.close();
});

test('the caller sees the reason of its own abort, and the server sees the connection close', async () => {
  const left = Promise.withResolvers<void>();
  await using server = await listen((_request, response) => {
    response.on('close', left.resolve);
    response.writeHead(200).write('x');
  });
  await using egress = disposable();
  const controller = new AbortController();
  const response = await egress.fetch(server.origin, { signal: controller.signal });
  controller.abort(new Error('stopped by the user'));
  await assert.rejects(response.text(), /stopped by the user/);
  await left.promise;
  await assert.rejects(egress.fetch(server.origin, { signal: AbortSignal.abort(new Error('before')) }), /before/);
});

test('leaving the loop early, cancelling the stream and cancelling the body close the connection', async () => {
  let open = 0;
  const closed: (() => void)[] = [];
  await using server = await listen((_request, response) => {
    open += 1;
    response.on('close', () => {
      open -= 1;
      closed.shift()?.();
    });
    response.writeHead(200).write('x'.repeat(100));
  });
  await using egress = disposable();
  const leave: (() => Promise<unknown>)[] = [
    async () => {
      for await (const _chunk of (await egress.request(server.origin)).body) break;
    },
    async () => (await egress.request(server.origin)).body.cancel(),
    async () => (await egress.fetch(server.origin)).body?.cancel(),
  ];
  for (const way of leave) {
    const done = new Promise<void>((resolve) => closed.push(resolve));
    await way();
    await done;
  }
  assert.equal(open, 0);
});

test('connections are used again, also after answers without a body', async () => {
  await using server = await listen((request, response) => {
    response.writeHead(request.url === '/none' ? 204 : 200).end();
  });
  await using egress = disposable();
  for (let round = 0; round < 10; round += 1) {
    for (const [path, method] of [
      ['/none', 'DELETE'],
      ['/', 'GET'],
    ] as const) {
      assert.equal(await (await egress.fetch(server.origin + path, { method })).text(), '');
    }
  }
  assert.ok(server.connections() <= 2, `${server.connections()} connections`);
});

test('fetch takes a Request, standard headers and form bodies', async () => {
  await using server = await listen((request, response) => {
    request.setEncoding('utf8').on('data', (body) => {
      response.setHeader('set-cookie', ['a=1', 'b=2']);
      response.end(JSON.stringify([request.method, request.headers['content-type'], request.headers['x-one'], body]));
    });
  });
  await using egress = disposable();
  const headers = new Headers({ 'x-one': '1' });
  const body = new URLSearchParams({ a: 'b c' });
  const form = 'application/x-www-form-urlencoded;charset=UTF-8';
  const response = await egress.fetch(new Request(`${server.origin}/p?q`, { method: 'POST', headers, body }));
  assert.deepEqual(await response.json(), ['POST', form, '1', 'a=b+c']);
  assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2']);
  assert.equal(response.url, `${server.origin}/p?q`);
  const second = await egress.fetch(new URL(server.origin), { method: 'POST', headers, body });
  assert.deepEqual(await second.json(), ['POST', form, '1', 'a=b+c']);
});

test('a refused connection and a server that hangs up are typed errors', async () => {
  const server = await listen((request) => request.socket.destroy());
  await using egress = disposable();
  await assert.rejects(egress.fetch(server.origin), code('upstream_failed'));
  await server[Symbol.asyncDispose]();
  await assert.rejects(egress.fetch(server.origin), code('connect_failed'));
});

async function read(egress: ReturnType<typeof disposable>, url: string, limits: Partial<Limits>) {
  return (await egress.fetch(url, { limits })).text();
}

async function collect(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  const started = performance.now();
  await work;
  assert.ok(performance.now() - started < ms, `took ${performance.now() - started} ms`);
}

function flood(response: NodeJS.WritableStream & { destroyed?: boolean }, chunk: Buffer): void {
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', more);
  more();
}

function disposable() {
  const egress = createEgress(loopback);
  return Object.assign(egress, { [Symbol.asyncDispose]: egress.close });
}
