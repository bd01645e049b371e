import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { redact, SecretValue } from '@onbehalf/secret-value';

const canary = 'canary-7f3a91';
const secret = SecretValue.of(canary);

test('no way of printing shows the value', () => {
  const error = new Error(`failed with ${secret}`, { cause: secret });
  const printed = [
    String(secret),
    `${secret}`,
    `x${secret}`,
    JSON.stringify({ secret }),
    inspect({ secret }, { depth: 9, showHidden: true }),
    inspect(error),
    JSON.stringify(structuredClone(Object.entries(secret))),
  ];
  for (const text of printed) assert.ok(!text.includes(canary), text);
});

test('the digest is SHA-256 of the value, and available without a promise once computed', async () => {
  const fresh = SecretValue.of(canary);
  assert.equal(fresh.digest, undefined);
  const expected = createHash('sha256').update(canary).digest('base64url');
  assert.equal(await fresh.sha256(), expected);
  assert.equal(fresh.digest, expected);
});

test('an empty secret is refused', () => {
  assert.throws(() => SecretValue.of(''), TypeError);
});

test('redact removes every occurrence from foreign text', () => {
  assert.equal(redact(`a ${canary} b ${canary}`, [secret]), 'a [secret] b [secret]');
});
