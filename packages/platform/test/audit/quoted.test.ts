import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { quoted } from '../../src/audit/index.ts';

test('what somebody else said is one bounded line, and no part of what was sent stands in it, wherever it is cut', () => {
  const sent = SecretValue.of('opaque'.repeat(200));
  assert.equal(quoted(' a\n b\u0007 ', []), 'a b\\u0007');
  assert.equal(quoted('x'.repeat(9_000), []).length, 301);
  for (const before of [0, 200, 290, 3_000, 4_000])
    assert.ok(!quoted(`${'-'.repeat(before)}${`${sent.reveal()} `.repeat(9)}`, [sent]).includes('opaqueopaque'));
});
