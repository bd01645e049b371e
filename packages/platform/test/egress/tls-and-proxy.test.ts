import assert from 'node:assert/strict';
import { createServer as createPlain } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, connect, type Server } from 'node:net';
import { test } from 'node:test';
import { createEgress, EgressError } from '../../src/egress/index.ts';

// A throw-away pair for the name tls.example, used nowhere else.
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgTNh/nfnByyYmEtCM
RJgYFs5wI8/r00QZiJes/SAub9OhRANCAATx8vqLe7WdlqH7iX58Bosy06HA9v48
abadbAHwA1cbyLyv87Eux9MH1GiceWr6b+CO9PEnCADn3P4uirxLC/0u
-----END PRIVATE KEY-----`;
const ca = `-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUSN0z4E8tc64cqxqTdpk1PnXiJCQwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLdGxzLmV4YW1wbGUwIBcNMjYxMTIyMTQyMjI2WhgPMjEyNjEw
MjkxNDIyMjZaMBYxFDASBgNVBAMMC3Rscy5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAE8fL6i3u1nZah+4l+fAaLMtOhwPb+PGm2nWwB8ANXG8i8r/Ox
LsfTB9RonHlq+m/gjvTxJwgA59z+Loq8Swv9LqNrMGkwHQYDVR0OBBYEFIO814KZ
5Zsiq9axEM8OeDLCWkMIMB8GA1UdIwQYMBaAFIO814KZ5Zsiq9axEM8OeDLCWkMI
MA8GA1UdEwEB/wQFMAMBAf8wFgYDVR0RBA8wDYILdGxzLmV4YW1wbGUwCgYIKoZI
zj0EAwIDSQAwRgIhANXW6detwG1/YIg6GtS7IkP5aFophbL1f4UfAVfQp4nlAiEA
z3UUjelX2KqCSjk5NjCpCOZfi0czL0UOpEIKsH2l9b4=
-----END CERTIFICATE-----`;

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
