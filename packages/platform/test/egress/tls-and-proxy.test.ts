import assert from 'node:assert/strict';
import { createServer as createPlain } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, connect, type Server } from 'node:net';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { createEgress, EgressError } from '../../src/egress/index.ts';
import { ca, key } from './throw-away-pair.ts';

const resolve = async () => [{ address: '127.0.0.1' }];
const privateNetworks = ['127.0.0.0/8'];

async function listening(server: Server): Promise<AsyncDisposable & { port: number }> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return { port, [Symbol.asyncDispose]: () => new Promise((done) => server.close(() => done())) };
}

test('the certificate is checked against the name while the connection goes to the checked address', async () => {
  const tls = createServer({ key, cert: ca }, (request, response) => response.end(request.headers.host));
  await using server = await listening(tls);
  const egress = createEgress({ privateNetworks, resolve, ca });
  const response = await egress.fetch(`https://tls.example:${server.port}/`);
  assert.equal(await response.text(), `tls.example:${server.port}`);
  for (const host of ['other.example', '127.0.0.1']) {
    await assert.rejects(egress.fetch(`https://${host}:${server.port}/`), (error: unknown) => {
      assert.ok(error instanceof EgressError);
      assert.match(error.message, /ERR_TLS_CERT_ALTNAME_INVALID/);
      return true;
    });
  }
  await egress.close();
});

test('a proxy carries the hosts listed for it and no other, and no closed address', async () => {
  const tls = createServer({ key, cert: ca }, (_request, response) => response.end('through'));
  await using server = await listening(tls);
  const tunnels: string[] = [];
  const plain = createPlain().on('connect', (request, socket) => {
    tunnels.push(request.url ?? '');
    const upstream = connect(server.port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.pipe(socket).pipe(upstream);
    });
    for (const end of [socket, upstream]) end.on('error', () => undefined);
  });
  await using proxy = await listening(plain);
  const hosts = ['tls.example', '169.254.169.254'];
  const egress = createEgress({
    privateNetworks: [],
    resolve,
    ca,
    proxy: { url: `http://127.0.0.1:${proxy.port}`, hosts },
  });
  assert.equal(await (await egress.fetch('https://tls.example:8443/')).text(), 'through');
  await assert.rejects(egress.fetch('https://other.example/'), { code: 'address_forbidden' });
  await assert.rejects(egress.fetch('https://169.254.169.254/'), { code: 'address_forbidden' });
  await assert.rejects(egress.fetch('http://tls.example/'), { code: 'scheme_forbidden' });
  assert.deepEqual(tunnels, ['tls.example:8443']);
  await egress.close();
});

test('a request says whom it trusts and as whom it appears; another on the same connection pool does not inherit it', async () => {
  const options = { key, cert: ca, ca, requestCert: true, rejectUnauthorized: true };
  const tls = createServer(options, (request, response) =>
    response.end(String((request.socket as TLSSocket).getPeerCertificate().subject?.CN)),
  );
  await using server = await listening(tls);
  const url = `https://tls.example:${server.port}/`;
  const egress = createEgress({ privateNetworks, resolve });
  const refused = async (init: Parameters<typeof egress.fetch>[1]) =>
    assert.rejects(egress.fetch(url, init), (error: unknown) => error instanceof EgressError);
  const identity = `${ca}\n${key}`;
  // The system trusts nobody of that name; whom we trust is not who we are.
  await refused({});
  await refused({ tls: { ca } });
  assert.equal(await (await egress.fetch(url, { tls: { ca, identity } })).text(), 'tls.example');
  const lean = await egress.request(url, { tls: { ca, identity } });
  assert.equal(lean.status, 200);
  for await (const _chunk of lean.body);
  await refused({});
  await refused({ tls: { ca } });
  await refused({ tls: { ca: 'no certificate', identity } });
  await egress.close();
});
