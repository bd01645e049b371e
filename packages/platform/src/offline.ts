/** What can be done to a data directory while no server runs on it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chainHash, createAudit, type Tampered, type Verified } from './audit/index.ts';
import { StartError } from './start-error.ts';
import { openSqliteStore } from './store/index.ts';
import { openVault } from './vault/index.ts';

/** Verifies the audit of a stopped server. @throws StoreError `store_locked` while one runs */
export async function verifyOffline(dataDir: string): Promise<Verified | Tampered> {
  const path = join(dataDir, 'onbehalf.db');
  if (!existsSync(path)) throw new StartError('data_dir', `${dataDir} holds no store`);
  const store = await openSqliteStore({ path, chain: chainHash });
  try {
    const vault = await openVault({ store, keyFile: join(dataDir, 'key') });
    const audit = await createAudit({ store, signer: await vault.signer('audit'), keyedHash: vault.keyedHash });
    const result = await audit.verify();
    await audit.close();
    vault.close();
    return result;
  } finally {
    await store.close();
  }
}
