import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessError, findCredential } from '@onbehalf/access';

type Headers = [string, string][];

function find(headers: Headers, url = '/api/agents', upgrade = false) {
  const parsed: Record<string, string> = {};
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    if (key === 'cookie' && parsed[key] !== undefined) parsed[key] += `; ${value}`;
    else parsed[key] ??= value;
  }
  const found = findCredential({ headers: parsed, rawHeaders: headers.flat(), url, upgrade, cookieName: '__Host-ob' });
  if (found === undefined) return undefined;
  const secret = found.kind === 'bearer' ? found.token : found.kind === 'session' ? found.cookie : found.ticket;
  return [found.kind, secret.reveal()];
}

function refuses(code: string, ...request: Parameters<typeof find>) {
  assert.throws(
    () => find(...request),
    (error: unknown) => error instanceof AccessError && error.code === code && error.status === 401,
  );
}

test('the places where a credential may be', () => {
  assert.equal(find([]), undefined);
  assert.deepEqual(find([['Authorization', 'Bearer a.b.c']]), ['bearer', 'a.b.c']);
  assert.deepEqual(find([['AUTHORIZATION', 'bearer  a.b.c']]), ['bearer', 'a.b.c']);
  assert.deepEqual(find([['Cookie', 'x=1; __Host-ob=v=1; y=2']]), ['session', 'v=1']);
  assert.deepEqual(find([], '/ws?ticket=t1', true), ['ticket', 't1']);
  assert.deepEqual(find([], '/ws?access-token=a.b.c', true), ['bearer', 'a.b.c']);
  assert.deepEqual(find([['Sec-WebSocket-Protocol', 'chat, bearer, a.b.c']], '/ws', true), ['bearer', 'a.b.c']);
  assert.deepEqual(find([['Authorization', 'Bearer t']], '/ws?access-token=t', true), ['bearer', 't']);
});

test('query and subprotocol count on the upgrade only', () => {
  assert.equal(find([['Sec-WebSocket-Protocol', 'bearer, a.b.c']], '/x?ticket=t&access-token=a.b.c'), undefined);
});

test('two credentials, or two Authorization headers', () => {
  refuses('credentials_conflict', [
    ['Authorization', 'Bearer a'],
    ['authorization', 'Bearer a'],
  ]);
  refuses('credentials_conflict', [
    ['Authorization', 'Bearer a'],
    ['Cookie', '__Host-ob=s'],
  ]);
  refuses('credentials_conflict', [['Authorization', 'Bearer a']], '/ws?access-token=b', true);
  refuses('credentials_conflict', [['Cookie', '__Host-ob=s']], '/ws?ticket=t', true);
  refuses('credentials_conflict', [], '/ws?ticket=t&ticket=u', true);
  refuses('credentials_conflict', [], '/ws?access-token=t&access-token=u', true);
  refuses('credentials_conflict', [['Cookie', '__Host-ob=s; __Host-ob=r']]);
  refuses('credentials_conflict', [
    ['Cookie', '__Host-ob=s'],
    ['Cookie', '__Host-ob=r'],
  ]);
});

test('what is no bearer token', () => {
  for (const value of [
    '',
    'Bearer',
    'Bearer ',
    'Basic YTpi',
    'Bearer a b',
    'Bearer a, Bearer b',
    'a.b.c',
    'Bearer ä',
    'Bearer =',
  ]) {
    refuses('credential_malformed', [['Authorization', value]]);
  }
  refuses('credential_malformed', [], '/ws?access-token=', true);
  refuses('credential_malformed', [], '/ws?ticket=%00', true);
  refuses('credential_malformed', [['Sec-WebSocket-Protocol', 'bearer']], '/ws', true);
});
