import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDocuments } from '@onbehalf/resources';

const ROOT = join(import.meta.dirname, '..', '..');
const pages = globSync(['*.md', 'docs/**/*.md', 'packages/*/README.md', 'examples/**/*.md'], {
  cwd: ROOT,
  exclude: (path) => /node_modules|dist/.test(String(path)),
}).sort();

interface Block {
  page: string;
  line: number;
  /** The word after ```yaml; `fragment` marks what is no whole document. */
  mark: string;
  text: string;
}

const blocks = pages.flatMap((page) => {
  const source = readFileSync(join(ROOT, page), 'utf8');
  return [...source.matchAll(/^( *)```ya?ml *(\S*)\n([\s\S]*?)^\1```$/gm)].map(
    ({ 1: indent = '', 2: mark = '', 3: text = '', index }): Block => ({
      page,
      line: source.slice(0, index).split('\n').length + 1,
      mark,
      text: text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    }),
  );
});

test('every resource of the examples is one that the server takes', () => {
  const files = globSync('examples/**/*.yaml', { cwd: ROOT, exclude: (path) => /node_modules/.test(String(path)) });
  assert.ok(files.length >= 2);
  for (const file of files) assert.deepEqual(parseDocuments(readFileSync(join(ROOT, file), 'utf8'), file).errors, []);
});

test('every resource that a page shows is one that the server takes', () => {
  const ours = blocks.filter(({ text }) => /^apiVersion: onbehalf\.dev\//m.test(text));
  const mistakes = ours.flatMap(({ page, line, text }) =>
    parseDocuments(text, page).errors.map(
      (error) => `${page}:${line + error.line - 1}: ${error.path}: ${error.message}`,
    ),
  );
  assert.deepEqual(mistakes, []);
  assert.ok(ours.length >= 10, `${ours.length} blocks were found`);
});

test('a block of fields of ours that is no whole document is marked as a fragment', () => {
  const fields =
    /^ *(tokenServiceRef|resourceFrom|modelConfigRef|mcpServer|allowOverride|clientPerAgent|profile|spec):/m;
  const unmarked = blocks.filter(
    ({ mark, text }) => mark !== 'fragment' && fields.test(text) && !/^apiVersion:/m.test(text),
  );
  assert.deepEqual(
    unmarked.map(({ page, line }) => `${page}:${line}`),
    [],
  );
});
