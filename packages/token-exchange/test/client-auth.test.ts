import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { privateKeyJwt, TokenExchangeError } from '@onbehalf/token-exchange';
import { tokenFile } from '@onbehalf/token-exchange/node';
import { makeKeys } from '@onbehalf/token-exchange/testing';
import { SignJWT } from 'jose';
import { client, leave, orders, refusedAs, setup } from './setup.ts';

test('client_secret_basic and post: any characters arrive (RFC 6749 section 2.3.1)', async () => {
  const id = 'client:one +%';
  const secret = 'pä ss:wo+rd%/&=';
  await using s = await setup({ clients: [{ id, secret }] });
  const subject = await s.service.user('alice');
  for (const auth of ['SecretBasic', 'SecretPost'] as const) {
    const exchange = s.exchange({ client: { auth, id, keyId: '1', secret: async () => SecretValue.of(secret) } });
    await exchange.token({ subject, target: orders });
  }
  assert.deepEqual(
    s.service.requests.map((request) => request.client?.method),
    ['basic', 'post'],
  );
  assert.equal(s.service.requests[0]?.form.has('client_secret'), false);
});

test('client_secret_basic escapes what a form escapes and nothing else: an id with a hyphen arrives where nobody decodes', async () => {
  const headers: (string | null)[] = [];
  await using s = await setup({ clients: [{ id: 'my-client_1.a*', secret: 's-e_c.r*t ~!é' }] });
  const own = {
    auth: 'SecretBasic',
    id: 'my-client_1.a*',
    keyId: '1',
    secret: SecretValue.of('s-e_c.r*t ~!é'),
  } as const;
  const recorded: typeof fetch = (input, init) => {
    headers.push(new Headers(init?.headers).get('authorization'));
    return fetch(input, init);
  };
  const exchange = s.exchange({ client: own }, { fetch: recorded });
  await exchange.token({ subject: await s.service.user('alice'), target: orders });
  const sent = headers.find((header) => header !== null)?.slice('Basic '.length) ?? '';
  assert.equal(Buffer.from(sent, 'base64').toString(), 'my-client_1.a*:s-e_c.r*t+%7E%21%C3%A9');
});

test('a wrong secret is invalid_client', async () => {
  await using s = await setup();
  const exchange = s.exchange({ client: { ...client, secret: SecretValue.of('wrong') } });
  const token = exchange.token({ subject: await s.service.user('alice'), target: orders });
  await assert.rejects(token, refusedAs('invalid_client'));
});

test('private_key_jwt: a fresh assertion for each try, for the issuer', async () => {
  const keys = await makeKeys('client-key');
  await using s = await setup({ clients: [{ id: 'platform', publicJwk: keys.publicJwk }] });
  const subject = await s.service.user('alice');
  const exchange = s.exchange({ client: privateKeyJwt({ id: 'platform', key: keys.privateKey, keyId: keys.kid }) });
  s.service.next('status_500');
  await exchange.token({ subject, target: orders });
  await exchange.token({ subject, target: leave });
  const { requests } = s.service;
  assert.deepEqual(
    requests.map((request) => request.client?.method),
    Array(3).fill('private_key_jwt'),
  );
  assert.equal(new Set(requests.map(({ form }) => form.get('client_assertion'))).size, 3);
});

test('a projected token is read again when it changes', async () => {
  const keys = await makeKeys('cluster');
  const workload = { publicJwk: keys.publicJwk, subject: 'system:serviceaccount:onbehalf:server' };
  await using s = await setup({ clients: [{ id: 'platform', workload }] });
  const folder = await mkdtemp(join(tmpdir(), 'token-'));
  try {
    const path = join(folder, 'token');
    const project = async (jti: string) =>
      writeFile(
        path,
        `${await new SignJWT({ sub: workload.subject, aud: s.service.issuer, jti })
          .setProtectedHeader({ alg: keys.alg })
          .setExpirationTime('10m')
          .sign(keys.privateKey)}\n`,
      );
    const read = tokenFile(path);
    const config = { client: { auth: 'WorkloadToken' as const, id: 'platform', keyId: 'projected', assertion: read } };
    const subject = await s.service.user('alice');
    await assert.rejects(read, (error) => error instanceof TokenExchangeError && !inspectable(error).includes(folder));
    await project('first');
    const exchange = s.exchange(config);
    await exchange.token({ subject, session: 'a', target: orders });
    assert.equal(await read(), await read());
    await project('another one');
    await exchange.token({ subject, session: 'b', target: orders });
    const [first, second] = s.service.requests;
    assert.deepEqual([first?.client?.method, second?.client?.method], ['workload', 'workload']);
    assert.notEqual(first?.form.get('client_assertion'), second?.form.get('client_assertion'));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a secret that cannot be had stops the exchange before anything is sent', async () => {
  await using s = await setup();
  const secret = () => Promise.reject(new Error('the vault is locked'));
  const token = s
    .exchange({ client: { ...client, secret } })
    .token({ subject: await s.service.user('alice'), target: orders });
  await assert.rejects(token, (error) => error instanceof TokenExchangeError && /vault/.test(String(error.cause)));
  assert.equal(s.service.counts.token, 0);
});

function inspectable(error: Error): string {
  return `${error.message} ${error.stack} ${error.cause}`;
}
