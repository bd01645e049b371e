import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { referencePages } from '../../tools/reference.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

test('the reference pages say what the code says', () => {
  for (const [path, text] of Object.entries(referencePages()))
    assert.equal(read(path), text, `${path}: npm run reference`);
});

test('the README is short, shows both commands and one picture, and every link leads somewhere', () => {
  const text = read('README.md');
  assert.ok(text.split('\n').length <= 121);
  assert.match(text, /npm start/);
  assert.match(text, /npm test/);
  for (const document of [
    'README.md',
    'ARCHITECTURE.md',
    'SECURITY.md',
    'GLOSSARY.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'docs/storage.md',
  ])
    for (const [, target = ''] of read(document).matchAll(/\]\(([^)#]+)[^)]*\)/g))
      if (!/^https?:/.test(target))
        assert.ok(existsSync(join(ROOT, dirname(document), target)), `${document}: ${target}`);
});

test('every claim of SECURITY.md names a test that exists', () => {
  const titles = globSync('{packages,tests}/**/*.test.ts', {
    cwd: ROOT,
    exclude: (path) => /node_modules/.test(String(path)),
  })
    .map((path) => read(path))
    .join('\n');
  const files = new Set<string>();
  let claims = 0;
  for (const line of read('SECURITY.md')
    .split('\n')
    .filter((row) => row.startsWith('| ') && !/^\| (---|claim|what)/.test(row))) {
    const [, , proof = ''] = line.split('|');
    const named = [...proof.matchAll(/`([^`]+\.test\.ts)`/g)].map(([, file]) => file ?? '');
    const ids = [...proof.matchAll(/\b([A-Z]\d{1,2})\b/g)].map(([, id]) => id ?? '');
    claims++;
    assert.ok(named.length + ids.length > 0, `no test is named in: ${line}`);
    for (const file of named) {
      assert.ok(existsSync(join(ROOT, file)), file);
      files.add(file);
    }
    for (const id of ids)
      assert.ok(new RegExp(`['"\`][^'"\`]*\\b${id}\\b`).test(titles), `${id} stands in no test title`);
  }
  assert.ok(claims >= 20 && files.size >= 8);
});

test('the repository holds no path of a machine and no address of a package registry', () => {
  const suspicious = /(^|[^a-z.])\/(root|work|home\/[a-z]+)\/|registry\.npmjs|pypi\.org|files\.pythonhosted/;
  const files = globSync('**/*.{ts,tsx,mjs,json,md,yaml,svg,css,html}', {
    cwd: ROOT,
    exclude: (path) => /node_modules|dist|\.git|\.onbehalf/.test(String(path)),
  });
  assert.deepEqual(
    files.filter((path) => path !== 'tests/house/documents.test.ts' && suspicious.test(read(path))),
    [],
  );
});
