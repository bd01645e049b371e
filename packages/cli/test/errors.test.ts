import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli, problem, signedIn, startServer } from './harness.ts';

const refusals = [
  [401, 'unauthenticated', 3],
  [403, 'forbidden', 6],
  [404, 'not_found', 5],
  [409, 'stale_resource_version', 7],
  [400, 'invalid_request', 1],
  [422, 'invalid_documents', 1],
  [500, 'internal', 1],
  [501, 'agent_unsupported', 8],
  [502, 'model_unavailable', 8],
  [503, 'unavailable', 1],
] as const;

for (const [status, code, exit] of refusals)
  test(`${status} ${code} exits with ${exit}, says the cause, and with -o json is one line of JSON`, async () => {
    await using server = await startServer(() => ({ status, body: problem(status, code, `because of ${code}`) }));
    const plain = await cli(['get', 'agents'], { env: signedIn(server.url) });
    assert.equal(plain.code, exit);
    assert.equal(plain.stdout, '');
    assert.match(plain.stderr, new RegExp(`^error: because of ${code}\n`));
    const asJson = await cli(['get', 'agents', '-o', 'json'], { env: signedIn(server.url) });
    assert.equal(asJson.code, exit);
    const line = JSON.parse(asJson.stderr.trim().split('\n').at(-1) ?? '');
    assert.deepEqual([line.error.code, line.error.status, line.error.exit], [code, status, exit]);
    assert.ok(!asJson.stderr.includes('token-of-alice'));
  });

test('a proxy that cannot reach the server, and no server at all, exit with 4', async () => {
  await using server = await startServer((_seen, response) => {
    response.writeHead(502, { 'content-type': 'text/html' }).end('<html>');
    return 'handled';
  });
  assert.equal((await cli(['get', 'agents'], { env: signedIn(server.url) })).code, 4);
  const nobody = await cli(['get', 'agents'], { env: signedIn('http://127.0.0.1:1') });
  assert.equal(nobody.code, 4);
  assert.match(nobody.stderr, /next: onbehalf up/);
});

test('without a sign-in: 3 and the command that helps', async () => {
  const ran = await cli(['get', 'agents', '--server', 'http://localhost:9']);
  assert.equal(ran.code, 3);
  assert.match(ran.stderr, /next: onbehalf login --server http:\/\/localhost:9/);
});

test('a token is never sent in the clear to another machine', async () => {
  const ran = await cli(['whoami'], { env: signedIn('http://onbehalf.example.com') });
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /--server https:\/\/onbehalf\.example\.com/);
});

test('usage: unknown commands, kinds, options, names and too many words exit with 2', async () => {
  for (const words of [
    ['frobnicate'],
    [],
    ['user'],
    ['get'],
    ['get', 'agnets'],
    ['get', 'agents', '--colour'],
    ['get', 'agents', '-o', 'xml'],
    ['get', 'agent', 'Not_A_Name'],
    ['get', 'agent/../secrets'],
    ['get', 'agent', 'a', 'b'],
    ['auth', 'can-i', 'dance', 'agent/a'],
    ['audit', 'ls', '--since', 'yesterday'],
    ['audit', 'ls', '--limit', 'x'],
    ['grant', 'add', 'alice', 'run,dance', 'agent/a'],
    ['invoke', 'assistant'],
    ['invoke', 'assistant', '-m', 'x', '--timeout', 'soon'],
    ['whoami', '--server', 'ftp://x'],
    ['whoami', '--server', 'http://localhost:1', '--local'],
  ])
    assert.equal((await cli(words, { env: signedIn('http://127.0.0.1:1') })).code, 2, words.join(' '));
  const meant = await cli(['get', 'agnets', '-o', 'json']);
  assert.match(meant.stderr, /did you mean agent\?/);
  assert.equal(JSON.parse(meant.stderr.trim().split('\n').at(-1) ?? '').error.code, 'usage');
});

test('help exits with 0 and goes to stdout', async () => {
  const ran = await cli(['audit', 'ls', '--help']);
  assert.equal(ran.code, 0);
  assert.match(ran.stdout, /Examples:/);
  assert.equal(ran.stderr, '');
});
