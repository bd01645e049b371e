import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const ALLOWED = new Set(['@onbehalf/secret-value', 'jose', 'oauth4webapi']);

async function graph(entry: URL, seen = new Map<string, readonly string[]>()): Promise<Map<string, readonly string[]>> {
  if (seen.has(entry.href)) return seen;
  const source = await readFile(entry, 'utf8');
  const names = [...source.matchAll(/^(?:import|export)\b[^;]*?from '([^']+)'/gms)].map(([, name = '']) => name);
  assert.doesNotMatch(source, /\bimport\(|\brequire\(|\bprocess\.|\bBuffer\b/, entry.pathname);
  seen.set(
    entry.href,
    names.filter((name) => !name.startsWith('.')),
  );
  for (const name of names) if (name.startsWith('.')) await graph(new URL(name, entry), seen);
  return seen;
}

test('the main entry imports no built-in of Node and only what is declared', async () => {
  const files = await graph(new URL('../src/index.ts', import.meta.url));
  assert.ok(files.size > 15);
  for (const [file, names] of files) {
    for (const name of names) assert.ok(ALLOWED.has(name), `${file} imports ${name}`);
    assert.ok(!file.includes('/testing/') && !file.endsWith('/node.ts'), file);
  }
});
