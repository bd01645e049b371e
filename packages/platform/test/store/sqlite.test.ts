import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStore, type SqliteStore } from '../../src/store/index.ts';
import { storeConformance, testChain } from './conformance.ts';

storeConformance('SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'onbehalf-store-'));
  const opened: SqliteStore[] = [];
  const open = async () => {
    const store = await openSqliteStore({ path: join(folder, 'onbehalf.db'), chain: testChain });
    opened.push(store);
    return store;
  };
  return {
    store: await open(),
    reopen: open,
    async remove() {
      for (const store of opened) await store.close();
      rmSync(folder, { recursive: true });
    },
  };
});
