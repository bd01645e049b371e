import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { createIdentityFetch, createTokenExchange, privateKeyJwt } from '@onbehalf/token-exchange';
import { makeKeys } from '@onbehalf/token-exchange/testing';
import { setup } from './setup.ts';
import { startToolServer } from './tool-server.ts';

test('the program in the README runs as it is printed', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const program = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  const body = program.replace(/^import .*\n/gm, '');
  assert.ok(body.trim().split('\n').length <= 16);
  const keys = await makeKeys('2026-11');
  await using s = await setup({ clients: [{ id: 'my-agent', publicJwk: keys.publicJwk }] });
  await using tools = await startToolServer(s.service);
  const user = await s.service.user('alice');
  const { token } = await user.current();
  const names = { createTokenExchange, createIdentityFetch, privateKeyJwt, SecretValue };
  const given = {
    issuer: s.service.issuer,
    url: tools.url,
    key: keys.privateKey,
    accessToken: token.reveal(),
    subject: 'alice',
  };
  const message = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'list_orders' } });
  const scope = { ...names, ...given, message };
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
  const answer = await new AsyncFunction(...Object.keys(scope), `${body}\nreturn answer;`)(...Object.values(scope));
  assert.equal(answer.status, 200);
  assert.equal(tools.seen[0]?.claims?.sub, 'alice');
  assert.equal(tools.seen[0]?.claims?.aud, tools.url);
});
