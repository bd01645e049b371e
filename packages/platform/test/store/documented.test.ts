import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { storeFolder } from './folder.ts';

const document = readFileSync(new URL('../../../../docs/storage.md', import.meta.url), 'utf8');

test('docs/storage.md names every table and every column, and no other table', async () => {
  await using data = storeFolder();
  await (await data.open()).close();
  const db = new DatabaseSync(data.path);
  const listed = db.prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'").all();
  const tables = listed.map((row) => String(row.name));
  const missing = tables.flatMap((table) => {
    const paragraph = document.split('\n').find((text) => text.startsWith(`**${table}**`)) ?? '';
    const columns = db
      .prepare(`select name from pragma_table_info('${table}')`)
      .all()
      .map((row) => String(row.name));
    return columns.filter((column) => !paragraph.includes(`\`${column}\``)).map((column) => `${table}.${column}`);
  });
  db.close();
  assert.deepEqual(missing, []);
  const described = [...document.matchAll(/^\*\*(\w+)\*\* –/gm)].map((match) => match[1]);
  assert.deepEqual(described.toSorted(), tables.toSorted());
});
