import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '..', '..');

test('the namespace of what names none is said in one place', () => {
  const again = globSync('packages/*/src/**/*.{ts,tsx}', { cwd: ROOT }).filter((path) =>
    /[nN]amespace\)? (\?\?|\|\||=) 'default'|home \|\| 'default'/.test(readFileSync(join(ROOT, path), 'utf8')),
  );
  assert.deepEqual(again, []);
});

test('no promise is thrown away: the linter refuses one that nobody waits for, and `void` does not hide it', () => {
  const { linter, overrides } = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8'));
  assert.equal(linter.rules.nursery.noFloatingPromises, 'error');
  assert.deepEqual(overrides[0], {
    includes: ['packages/*/src/**'],
    linter: { rules: { complexity: { noVoid: 'error' } } },
  });
});
