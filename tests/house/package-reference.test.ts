import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isInstalledApart } from '../../tools/installed-apart.ts';
import { GENERATOR, PACKAGE_REFERENCE, writePackageReference } from '../../tools/package-reference.ts';

const committed = join(import.meta.dirname, '..', '..', PACKAGE_REFERENCE);

async function pagesIn(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), 'utf8')] as const)),
  );
}

const wanted = process.env.CI !== undefined || isInstalledApart(GENERATOR);
test('the reference of @onbehalf/token-exchange says what its docstrings say, and none is missing', {
  skip: wanted ? false : 'its generator has not been installed on this machine; under CI it is',
  timeout: 300_000,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'onbehalf-reference-'));
  try {
    await writePackageReference(folder);
    assert.deepEqual(await pagesIn(committed), await pagesIn(folder), 'npm run reference');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('the reference has a page for each entry of the package, and every link in it leads somewhere', async () => {
  const manifest = new URL('../../packages/token-exchange/package.json', import.meta.url);
  const { exports: entries } = JSON.parse(await readFile(manifest, 'utf8')) as { exports: Record<string, unknown> };
  const pages = await pagesIn(committed);
  const expected = Object.keys(entries).map((entry) => `${entry === '.' ? 'index' : entry.slice(2)}.md`);
  assert.deepEqual(Object.keys(pages).sort(), [...expected, 'README.md'].sort());
  const anchors = new Map(Object.entries(pages).map(([name, text]) => [name, anchorsOf(text)]));
  for (const [name, text] of Object.entries(pages))
    for (const [, file = '', anchor] of text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)) {
      const found = anchors.get(file === '' ? name : file);
      assert.ok(found, `${name}: ${file}`);
      assert.ok(anchor === undefined || found.has(anchor), `${name}: ${file}#${anchor}`);
    }
});

/** As GitHub makes them of headings: a name that is there already gets a number. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set([...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id));
  const times = new Map<string, number>();
  for (const [, title = ''] of text.matchAll(/^#+ (.*)$/gm)) {
    const slug = title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
    const before = times.get(slug) ?? 0;
    times.set(slug, before + 1);
    anchors.add(before === 0 ? slug : `${slug}-${before}`);
  }
  return anchors;
}
