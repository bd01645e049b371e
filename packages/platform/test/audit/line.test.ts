import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import fc from 'fast-check';
import { SignJWT } from 'jose';
import { type AuditEntry, cleanText } from '../../src/audit/index.ts';
import { line } from '../../src/audit/line.ts';
import { auditFixture } from './fixture.ts';

const at = '2026-01-01T00:00:00.000Z';
const entry = (fields: Partial<AuditEntry>): AuditEntry => ({ type: 'decision', phase: 'single', ...fields });

test('L6 a token in any field, key or depth, whole or cut, is not in the line', async () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const jwt = await new SignJWT({ sub: 'alice' }).setProtectedHeader({ alg: 'EdDSA' }).sign(privateKey);
  const payload = jwt.split('.')[1] ?? '';
  const { body, index } = line(
    entry({
      reason: `the tool said ${jwt}`,
      code: `x${jwt.slice(0, -20)}`,
      principal: { issuer: 'https://idp', subject: jwt, jti: jwt },
      tool: { name: 'echo', arguments: { nested: [{ [jwt]: `Authorization: Bearer ${'k'.repeat(40)}` }] } },
      data: { secret: SecretValue.of('canary-secret') as unknown as string },
    }),
    at,
  );
  for (const text of [body, JSON.stringify(index)]) {
    assert.ok(!text.includes(payload));
    assert.ok(!text.includes('kkkk'));
    assert.ok(!text.includes('canary'));
  }
  assert.match(body, /"secret":"\[secret\]"/);
});

test('A12 control, line and direction characters are visible text, before and after parsing', () => {
  const { body } = line(entry({ reason: 'a\r\nb\u0000c\u2028d\u202ee\u200bf\u001b[2J\u0085' }), at);
  assert.match(body, /^[\x20-\x7e]*$/);
  assert.equal(JSON.parse(body).reason, 'a\\u000d\\u000ab\\u0000c\\u2028d\\u202ee\\u200bf\\u001b[2J\\u0085');
});

test('any entry makes a line of bounded size that parses and keeps who and what', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), fc.string({ maxLength: 5_000 }), (value, text) => {
      const tool = { name: 'echo', arguments: value as string };
      const fields = { tool, data: { value: value as string }, principal: { issuer: text, subject: 'alice' } };
      const { body, persons = [] } = line(entry(fields), at);
      // With what stands beside it: a name can be as long as an escaped text may be.
      assert.ok(body.length + JSON.stringify(persons).length <= 48_000);
      assert.equal(persons.find(({ acting }) => acting)?.sub, 'alice');
    }),
    { numRuns: 200 },
  );
});

test('arguments that are far too long are kept neither in the line nor beside it', () => {
  const long = Array.from({ length: 50 }, () => Array.from({ length: 50 }, () => 'x'.repeat(1_000)));
  const { body, persons } = line(
    entry({ principal: { issuer: 'i', subject: 's' }, tool: { name: 'echo', arguments: long } }),
    at,
  );
  assert.ok(body.length + JSON.stringify(persons).length < 2_000);
  assert.deepEqual(
    persons?.map(({ fields }) => fields),
    [{ '/principal/subject': 's' }],
  );
});

test('a line that is far too long loses its bulk and says so, but never who it is about and how it is found', () => {
  const long = Array.from({ length: 50 }, () => 'x'.repeat(1_000));
  const fields = {
    turn: 't1',
    principal: { issuer: 'i', subject: 's', jti: 'j', amr: long },
    agent: { uid: 'u', namespace: 'default', name: 'a' },
    chain: long.map((uid) => ({ agent: 'a', uid })),
    target: { server: 'default/orders', audience: long },
    tool: { server: 'default/orders', name: 'list', arguments: long },
    data: { long },
  };
  const short = line(
    entry({ ...fields, principal: { issuer: 'i', subject: 's', jti: 'j' }, chain: [], target: {}, data: {} }),
    at,
  );
  const cut = line(entry(fields), at);
  const kept = JSON.parse(cut.body);
  assert.ok(cut.body.length < 32_768);
  assert.deepEqual([kept.omitted, kept.data, kept.chain, cut.persons?.[0]?.sub], [true, undefined, undefined, 's']);
  assert.deepEqual(cut.index, short.index);
  assert.equal(JSON.parse(line(entry({ data: { long }, tool: fields.tool }), at).body).tool.arguments, undefined);
});

test('a hostile megabyte costs one pass', () => {
  const started = performance.now();
  for (const text of ['eyJ'.repeat(350_000), 'eyJa.'.repeat(200_000), 'bearer '.repeat(150_000)]) cleanText(text);
  assert.ok(performance.now() - started < 500);
});

test('the keyed hash of a token names its key, tells two tokens apart and holds neither', async () => {
  await using fixture = await auditFixture();
  const [a, b] = ['token-a', 'token-b'].map((value) => fixture.audit.tokenHash(SecretValue.of(value)));
  assert.match(a ?? '', /^k1:[\w-]{43}$/);
  assert.notEqual(a, b);
});
