import assert from 'node:assert/strict';
import { globSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const PLATFORM = join(import.meta.dirname, '..', '..', 'packages', 'platform');

test('every room of the server has tests beside it', () => {
  const rooms = readdirSync(join(PLATFORM, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.ok(rooms.length > 10);
  const without = rooms.filter(({ name }) => globSync(`test/${name}/**/*.test.ts`, { cwd: PLATFORM }).length === 0);
  assert.deepEqual(
    without.map(({ name }) => name),
    [],
  );
});
