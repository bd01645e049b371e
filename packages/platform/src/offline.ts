/** What can be done to a data directory while no server runs on it. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Tampered, type Verified, verify } from './audit/index.ts';
import { witnessOf, witnessPlace } from './audit-witness.ts';
import { whereStopped } from './config.ts';
import { StartError } from './start-error.ts';
import { openSqliteReader } from './store/index.ts';
import { installationOf, openVerifier } from './vault/index.ts';

export { explainStart } from './explain-start.ts';

export interface OfflineOptions {
  dataDir: string;
  /** As the server had it: where the key file and the witness are. */
  env: Record<string, string | undefined>;
  /** Another witness than the server's: a path, or `none`. */
  witness?: string | undefined;
}

/** Judges the audit of a stopped server: reads only, and signs nothing. @throws StoreError `store_locked` while one runs */
export async function verifyOffline({ dataDir, env, witness }: OfflineOptions): Promise<Verified | Tampered> {
  const { database, keyFile, auditWitness, stateDir } = whereStopped(dataDir, env);
  if (!existsSync(database)) throw new StartError('data_dir', `${dataDir} holds no store`);
  const store = openSqliteReader(database);
  try {
    const signer = await openVerifier(store, keyFile, 'audit');
    const said = witness === undefined ? (auditWitness ?? witnessPlace(dataDir)) : path(witness);
    const place = { auditWitness: said, stateDir };
    return await verify(store, signer, witnessOf(place, installationOf(keyFile)));
  } finally {
    store.close();
  }
}

const path = (text: string) => (text === 'none' ? text : resolve(text));
