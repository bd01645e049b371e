import { createHmac, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import {
  type Audit,
  type AuditOptions,
  chainHash,
  createAudit,
  fileWitness,
  type Signer,
} from '../../src/audit/index.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/index.ts';

export function testSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    keyId: 'test',
    sign: (bytes) => sign(null, bytes, privateKey).toString('base64url'),
    verify: (bytes, signature) => verify(null, bytes, publicKey, Buffer.from(signature, 'base64url')),
  };
}

export interface AuditFixture {
  path: string;
  witnessPath: string;
  signer: Signer;
  store: SqliteStore;
  audit: Audit;
  /** Starts a process anew: another writer over the same data. */
  restart(options?: Partial<AuditOptions>): Promise<void>;
  /** Changes the database behind the store's back, while it is closed. */
  tamper(sql: (db: DatabaseSync) => void, options?: Partial<AuditOptions>): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A real store, real keys, and a witness file where the options say so. */
export async function auditFixture(options: Partial<AuditOptions> = {}): Promise<AuditFixture> {
  const folder = mkdtempSync(join(tmpdir(), 'onbehalf-audit-'));
  const path = join(folder, 'onbehalf.db');
  const signer = options.signer ?? testSigner();
  const hashKey = randomBytes(32);
  const keyedHash = (value: string) => ({
    key: 'k1',
    hash: createHmac('sha256', hashKey).update(value).digest('base64url'),
  });
  const open = async (extra: Partial<AuditOptions>) => {
    fixture.store = await openSqliteStore({ path, chain: chainHash });
    fixture.audit = await createAudit({
      store: fixture.store,
      signer,
      keyedHash,
      checkpointEvery: 0,
      ...options,
      ...extra,
    });
  };
  const shut = async () => {
    await fixture.audit.close();
    await fixture.store.close();
  };
  const fixture = {
    path,
    witnessPath: join(folder, 'witness'),
    signer,
    async restart(extra: Partial<AuditOptions> = {}) {
      await shut();
      await open(extra);
    },
    async tamper(change: (db: DatabaseSync) => void, extra: Partial<AuditOptions> = {}) {
      await shut();
      const db = new DatabaseSync(path);
      change(db);
      db.close();
      await open(extra);
    },
    async [Symbol.asyncDispose]() {
      await shut();
      rmSync(folder, { recursive: true });
    },
  } as AuditFixture;
  await open({});
  return fixture;
}

export const witnessOf = (fixture: AuditFixture) => fileWitness(fixture.witnessPath);
