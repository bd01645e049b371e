import { createHmac, createSecretKey, hash, hkdfSync } from 'node:crypto';
import type { SecretValue } from '@onbehalf/secret-value';
import type { Audit, Signer } from '../audit/index.ts';
import { type Statement, type Store, StoreError } from '../store/index.ts';
import { auditedCredentials } from './audited.ts';
import type { CredentialSource, MayUse } from './credential.ts';
import { keyIdOf, open, seal, wrappingKey } from './envelope.ts';
import { VaultError } from './error.ts';
import { KeyRing, type KeyValue } from './key-ring.ts';
import { refuseMasked } from './masked.ts';
import { type Rewrapped, rewrapAll } from './rewrap.ts';
import { openRoot } from './root.ts';
import { own, rootPlace, sealedRows, type Where } from './sealed-rows.ts';
import { ed25519Signer, newSigningKey } from './signer.ts';
import { locate } from './sources.ts';

export interface VaultOptions {
  store: Store;
  /** Path of the key file, made with mode 0600 when nothing is sealed yet; or the key itself. */
  keyFile: string | KeyValue;
  readEnv?: (name: string) => string | undefined;
  /** Absolute folders that `{file}` references may lead into. */
  allowedFilePrefixes?: readonly string[];
  now?: () => number;
}

/** What may be shown of a sealed field. */
export interface SealedField {
  set: true;
  version: number;
  /** ISO 8601 */
  at: string;
  fingerprint: string;
}

export interface Vault {
  /** A key for one purpose; the same at every start, whatever becomes of the wrapping key. 32 bytes by default. */
  derive(label: string, length?: number): Buffer;
  /** HMAC-SHA-256, base64url, with the id of its key. */
  keyedHash(value: string): { key: string; hash: string };
  /** Ed25519, made at first use and sealed. */
  signer(label: string): Promise<Signer>;
  /** Statements of a new version, for the caller's unit. Conflicts: `secret_changed`, `key_rotated`; then seal again. @throws VaultError `masked_value` */
  seal(where: Where, value: SecretValue): Promise<Statement[]>;
  /** The platform's own sealed values: not audited, and not for what resources refer to. @throws VaultError */
  unseal(where: Where, version?: number): Promise<{ value: SecretValue; version: number } | undefined>;
  /** An envelope for a column of the caller's own row. */
  sealInline(where: Where, value: SecretValue): string;
  /** @throws VaultError `sealed_damaged`, also for an envelope of another place */
  openInline(where: Where, envelope: string): SecretValue;
  /** Of a Secret: set or not, and what may be shown. */
  describe(secretUid: string): Promise<Record<string, SealedField>>;
  /** Of a Secret: everything sealed, every version. */
  remove(secretUid: string): Statement[];
  readonly credentials: CredentialSource;
  /** Wraps everything with a new key, made here unless it is handed in. Runs beside the traffic. @throws VaultError */
  rewrap(newKey?: SecretValue): Promise<Rewrapped>;
  /** The audit needs the vault's keyed hash, so it comes later; until then no credential opens. */
  attach(audit: Audit, mayUse: MayUse): void;
  close(): void;
}

/** Opens the root or refuses, and completes a rotation that was interrupted. @throws VaultError */
export async function openVault(options: VaultOptions): Promise<Vault> {
  const { store, readEnv = () => undefined, allowedFilePrefixes = [], now = Date.now } = options;
  const rows = sealedRows(store);
  const ring = new KeyRing(options.keyFile);
  const root = await openRoot(store, rows, ring, now);
  if (ring.interrupted) await rewrapAll(store, rows, ring, ring.next());

  const alive = () => {
    if (closed) throw new VaultError('closed', 'the vault is closed');
  };
  const derive = (label: string, length = 32) => {
    alive();
    return Buffer.from(hkdfSync('sha256', root, '', `onbehalf/${label}`, length));
  };
  let closed = false;
  let attached: { audit: Audit; mayUse: MayUse } | undefined;
  let rewrapping: Promise<Rewrapped> | undefined;
  const hashKeyBytes = derive('keyed-hash');
  const hashKeyId = hash('sha256', hashKeyBytes, 'base64url').slice(0, 8);
  const hashKey = createSecretKey(hashKeyBytes);
  hashKeyBytes.fill(0);
  const inlineKey = wrappingKey(derive('inline'));

  const keyedHash = (value: string) => {
    alive();
    return { key: hashKeyId, hash: createHmac('sha256', hashKey).update(value).digest('base64url') };
  };
  const fingerprint = (value: SecretValue) => `${hashKeyId}:${keyedHash(value.reveal()).hash.slice(0, 22)}`;

  const attachedOr = () => {
    alive();
    if (attached === undefined) throw new VaultError('not_attached', 'there is no audit yet');
    return attached;
  };

  const vault: Vault = {
    derive,
    keyedHash,
    async signer(label) {
      const where = { kind: own, uid: 'signer', field: label };
      const known = await vault.unseal(where);
      if (known !== undefined) return ed25519Signer(known.value);
      try {
        await store.commit({ statements: await vault.seal(where, newSigningKey()) });
      } catch (error) {
        // Another replica made it in the same moment: its key is the key.
        if (!(error instanceof StoreError && error.conflict !== undefined)) throw error;
      }
      return vault.signer(label);
    },
    async seal(where, value) {
      alive();
      refuseMasked(value);
      const current = await rows.latest(rootPlace);
      const key = current && ring.get(current.key_id);
      if (key === undefined) throw new VaultError('wrong_key', 'the key in use is not here');
      const version = ((await rows.latest(where))?.version ?? 0) + 1;
      const { kind, uid, field } = where;
      const place = { kind, uid, field, version };
      const envelope = seal(key, place, value);
      return rows.put({ ...place, key_id: key.id, envelope, fingerprint: fingerprint(value), created_at: now() });
    },
    async unseal(where, version) {
      alive();
      const row = await rows.latest(where, version);
      if (row === undefined) return undefined;
      if (keyIdOf(row.envelope) !== row.key_id) throw new VaultError('sealed_damaged', 'a sealed row is inconsistent');
      const value = open(ring.get, { ...where, version: row.version }, row.envelope);
      if (fingerprint(value) !== row.fingerprint)
        throw new VaultError('sealed_damaged', 'a sealed row is inconsistent');
      return { value, version: row.version };
    },
    sealInline(where, value) {
      alive();
      return seal(inlineKey, { ...where, version: 1 }, value);
    },
    openInline(where, envelope) {
      alive();
      return open((id) => (id === inlineKey.id ? inlineKey : undefined), { ...where, version: 1 }, envelope);
    },
    async describe(secretUid) {
      const fields = await rows.ofUid('Secret', secretUid);
      const shown = fields.map(({ field, version, created_at, fingerprint: print }): [string, SealedField] => [
        field,
        { set: true, version, at: new Date(created_at).toISOString(), fingerprint: print },
      ]);
      return Object.fromEntries(shown); // in order of version: the newest stays
    },
    remove: (secretUid) => rows.remove('Secret', secretUid),
    credentials: auditedCredentials(
      () => attachedOr().audit,
      (ref, use) => {
        const { mayUse } = attachedOr();
        return locate({ store, mayUse, unseal: vault.unseal, fingerprint, readEnv, allowedFilePrefixes }, ref, use);
      },
    ),
    rewrap(newKey) {
      rewrapping ??= rewrapAll(store, rows, ring, ring.next(newKey)).finally(() => {
        rewrapping = undefined;
      });
      return rewrapping;
    },
    attach(audit, mayUse) {
      attached = { audit, mayUse };
    },
    close() {
      closed = true;
      ring.clear();
      for (const key of [root, inlineKey.bytes]) key.fill(0);
    },
  };
  return vault;
}
