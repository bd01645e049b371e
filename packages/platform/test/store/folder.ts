import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStore, type SqliteStore, type SqliteStoreOptions } from '../../src/store/index.ts';
import { testChain } from './conformance.ts';

export interface StoreFolder {
  folder: string;
  path: string;
  open(options?: Partial<SqliteStoreOptions>): Promise<SqliteStore>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A data directory of its own; closes what was opened in it. */
export function storeFolder(): StoreFolder {
  const folder = mkdtempSync(join(tmpdir(), 'onbehalf-store-'));
  const path = join(folder, 'data', 'onbehalf.db');
  const opened: SqliteStore[] = [];
  return {
    folder,
    path,
    async open(options = {}) {
      const store = await openSqliteStore({ path, chain: testChain, ...options });
      opened.push(store);
      return store;
    },
    async [Symbol.asyncDispose]() {
      for (const store of opened) await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}
