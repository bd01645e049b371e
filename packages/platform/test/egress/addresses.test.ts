import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEgress, EgressError, type EgressErrorCode } from '../../src/egress/index.ts';
import { listen } from './servers.ts';

function code(expected: EgressErrorCode | EgressErrorCode[]) {
  return (error: unknown) => {
    assert.ok(error instanceof EgressError, String(error));
    assert.ok([expected].flat().includes(error.code), `${error.code}: ${error.message}`);
    return true;
  };
}

const CLOSED = [
  '127.0.0.1',
  '127.1',
  '2130706433',
  '0x7f000001',
  '0x7f.1',
  '0177.0.0.1',
  '017700000001',
  '①②⑦.0.0.1',
  '0',
  '0.0.0.0',
  '10.1.2.3',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '100.64.0.1',
  '169.254.1.1',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '169.254.169.254',
  '2852039166',
  '0xa9fea9fe',
  '0251.0376.0251.0376',
  '169.254.43518',
  '169.254.169.254.',
  '100.100.100.200',
  '168.63.129.16',
  '[::1]',
  '[::]',
  '[::127.0.0.1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[0:0:0:0:0:ffff:a9fe:a9fe]',
  '[::ffff:0:127.0.0.1]',
  '[64:ff9b::7f00:1]',
  '[64:ff9b::169.254.169.254]',
  '[64:ff9b::8.8.8.8]',
  '[64:ff9b:1::7f00:1]',
  '[2002:7f00:1::]',
  '[2002:a9fe:a9fe::1]',
  '[2001:0:4136:e378:8000:63bf:3fff:fdd2]',
  '[fe80::1]',
  '[fec0::1]',
  '[fc00::1]',
  '[fd12:3456::1]',
  '[fd00:ec2::254]',
  '[ff02::1]',
  '[2001:db8::1]',
  '[100::1]',
];

test('M1 every spelling of a private, loopback or metadata address is refused', async () => {
  await using egress = disposable({ privateNetworks: [] });
  for (const host of CLOSED) {
    for (const scheme of ['http', 'https']) {
      await assert.rejects(egress.check(`${scheme}://${host}/x`), code('address_forbidden'), `${scheme}://${host}`);
    }
    await assert.rejects(egress.fetch(`https://${host}/`), code('address_forbidden'), host);
    await assert.rejects(egress.request(`https://${host}/`), code('address_forbidden'), host);
  }
});

test('M1 names that resolve to closed addresses, and names with a trailing dot, are refused', async () => {
  const names: Record<string, string> = {
    localhost: '127.0.0.1',
    'metadata.example': '169.254.169.254',
    'mapped.example': '::ffff:10.0.0.1',
    'zone.example': 'fe80::1%eth0',
    'garbage.example': 'not an address',
  };
  await using egress = disposable({ privateNetworks: [], resolve: async (name) => [{ address: names[name] ?? '' }] });
  for (const name of Object.keys(names)) {
    await assert.rejects(egress.check(`https://${name}/`), code('address_forbidden'), name);
  }
  await assert.rejects(egress.check('https://localhost./'), code('invalid_url'));
  await assert.rejects(egress.fetch('https://metadata.google.internal./'), code('invalid_url'));
});

test('M1 metadata addresses stay closed when their networks are listed', async () => {
  await using egress = disposable({ privateNetworks: ['0.0.0.0/0', '::/0'] });
  await egress.check('https://10.0.0.1/');
  await egress.check('https://[fd12::1]/');
  for (const host of [
    '169.254.169.254',
    '[fd00:ec2::254]',
    '[64:ff9b::a9fe:a9fe]',
    '[2002:a9fe:a9fe::]',
    '[::ffff:a9fe:a9fe]',
  ]) {
    await assert.rejects(egress.check(`https://${host}/`), code('address_forbidden'), host);
  }
});

test('M1 the error does not echo the answer, the path or the query', async () => {
  await using server = await listen((_request, response) => {
    response.socket?.end('HTTP/1.1 200 OK\r\nbad header canary-body\r\n\r\ncanary-body');
  });
  await using egress = disposable({ privateNetworks: ['127.0.0.0/8'] });
  await assert.rejects(egress.fetch(`${server.origin}/canary-path?canary-query`), (error: Error) => {
    assert.ok(error instanceof EgressError);
    assert.equal(error.cause, undefined);
    assert.ok(!JSON.stringify([error, error.message, error.stack?.split('\n')[0]]).includes('canary'));
    return true;
  });
});

test('public addresses pass with https and are refused with http', async () => {
  await using egress = disposable({ privateNetworks: [], resolve: async () => [{ address: '93.184.215.14' }] });
  await egress.check('https://example.com/');
  await egress.check('https://[2606:4700::1111]/');
  await assert.rejects(egress.check('http://example.com/'), code('scheme_forbidden'));
  await assert.rejects(egress.fetch('http://8.8.8.8/'), code('scheme_forbidden'));
  for (const url of ['file:///etc/passwd', 'ftp://example.com/', 'data:text/plain,x', 'unix:/var/run/docker.sock']) {
    await assert.rejects(egress.fetch(url), code('scheme_forbidden'), url);
  }
  await assert.rejects(egress.fetch('/relative'), code('invalid_url'));
  await assert.rejects(egress.fetch('https://user:pw@example.com/'), code('credentials_in_url'));
  await assert.rejects(egress.request('https://user@example.com/'), code('credentials_in_url'));
});

test('M2 the connection goes to the address that was checked, whatever the name server says next', async () => {
  await using server = await listen((_request, response) => response.end('inside'));
  const answers = [['127.0.0.1'], ['10.0.0.1']];
  let asked = 0;
  const resolve = async () => (answers[asked++] ?? []).map((address) => ({ address }));
  await using egress = disposable({ privateNetworks: ['127.0.0.0/8'], resolve });
  const response = await egress.fetch(`http://rebind.example:${server.port}/`);
  assert.equal(await response.text(), 'inside');
  assert.equal(asked, 1);
});

test('M2 a check that passed does not carry over to a later answer of the name server', async () => {
  await using server = await listen((_request, response) => response.end('inside'));
  const answers = ['93.184.215.14', '127.0.0.1', '127.0.0.1'];
  let asked = 0;
  await using egress = disposable({ privateNetworks: [], resolve: async () => [{ address: answers[asked++] ?? '' }] });
  const url = `https://rebind.example:${server.port}/`;
  await egress.check(url);
  await assert.rejects(egress.fetch(url), code('address_forbidden'));
  await assert.rejects(egress.request(url), code('address_forbidden'));
  assert.equal(server.connections(), 0);
});

test('M2 of a mixed answer only the permitted address is used', async () => {
  await using server = await listen((request, response) => response.end(request.socket.localAddress));
  const resolve = async () => [{ address: '10.9.9.9' }, { address: '::1' }, { address: '127.0.0.1' }];
  await using egress = disposable({ privateNetworks: ['127.0.0.1/32'], resolve });
  assert.equal(await (await egress.fetch(`http://mixed.example:${server.port}/`)).text(), '127.0.0.1');
});

test('a malformed listed network is an error at start', () => {
  for (const network of ['10.0.0.0/33', 'localhost', '10.0.0.0/x', '', '::/129']) {
    assert.throws(() => createEgress({ privateNetworks: [network] }), EgressError, network);
  }
});

function disposable(options: Parameters<typeof createEgress>[0]) {
  const egress = createEgress(options);
  return Object.assign(egress, { [Symbol.asyncDispose]: egress.close });
}
