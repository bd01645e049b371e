import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Audit, chainHash, createAudit } from '../../src/audit/index.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/index.ts';
import { type MayUse, openVault, type Vault, type VaultOptions } from '../../src/vault/index.ts';

export interface VaultFixture {
  folder: string;
  path: string;
  keyFile: string;
  store: SqliteStore;
  vault: Vault;
  audit: Audit;
  close(): Promise<void>;
  open(options?: Partial<VaultOptions> & { mayUse?: MayUse }): Promise<void>;
  reopen(options?: Partial<VaultOptions> & { mayUse?: MayUse }): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Store, vault and audit as a server composes them, in a folder of their own. */
export async function vaultFixture(
  options: Partial<VaultOptions> & { mayUse?: MayUse } = {},
  folder = mkdtempSync(join(tmpdir(), 'onbehalf-vault-')),
): Promise<VaultFixture> {
  let opened = false;
  const fixture = {
    folder,
    path: join(folder, 'onbehalf.db'),
    keyFile: join(folder, 'key'),
    async open(extra: Partial<VaultOptions> & { mayUse?: MayUse } = {}) {
      const { mayUse = () => true, ...rest } = { ...options, ...extra };
      fixture.store = await openSqliteStore({ path: fixture.path, chain: chainHash });
      try {
        fixture.vault = await openVault({ store: fixture.store, keyFile: fixture.keyFile, ...rest });
      } catch (error) {
        await fixture.store.close();
        throw error;
      }
      const { store, vault } = fixture;
      const signer = await vault.signer('audit');
      fixture.audit = await createAudit({ store, signer, keyedHash: vault.keyedHash, checkpointEvery: 0 });
      vault.attach(fixture.audit, mayUse);
      opened = true;
    },
    async close() {
      if (!opened) return;
      opened = false;
      await fixture.audit.close();
      fixture.vault.close();
      await fixture.store.close();
    },
    async reopen(extra: Partial<VaultOptions> & { mayUse?: MayUse } = {}) {
      await fixture.close();
      await fixture.open(extra);
    },
    async [Symbol.asyncDispose]() {
      await fixture.close();
      rmSync(folder, { recursive: true });
    },
  } as VaultFixture;
  await fixture.open();
  return fixture;
}

/** A Secret as `apply` writes it: the spec in its row, the values sealed, in one unit. */
export function secretRow(store: SqliteStore, uid: string, name: string, spec: object) {
  const row = {
    uid,
    kind: 'Secret',
    namespace: 'default',
    name,
    generation: 1,
    resource_version: 1,
    owner_iss: null,
    owner_sub: null,
    managed_by: 'api',
    source: null,
    writer_iss: null,
    writer_sub: null,
    labels: '{}',
    annotations: '{}',
    spec: JSON.stringify(spec),
    status: '{}',
    created_at: 0,
    updated_at: 0,
  };
  return { query: store.builder.insertInto('resources').values(row).compile() };
}
