import { randomBytes } from 'node:crypto';
import { SecretValue } from '@onbehalf/secret-value';
import type { Store } from '../store/index.ts';
import { StoreError } from '../store/index.ts';
import { open, seal } from './envelope.ts';
import { VaultError } from './error.ts';
import type { KeyRing } from './key-ring.ts';
import { rootPlace, type SealedRows } from './sealed-rows.ts';

/**
 * The one secret that everything derived comes from: keyed hashes, cookie keys, the key of inline envelopes. It is
 * sealed under the wrapping key, so a rotation of that changes nothing that was derived, and a wrong key is found by
 * its row before anything else is touched. @throws VaultError `key_missing`, `wrong_key`, `sealed_damaged`
 */
export async function openRoot(store: Store, rows: SealedRows, ring: KeyRing, now: () => number): Promise<Buffer> {
  const row = await rows.latest(rootPlace);
  if (row !== undefined) {
    if (ring.get(row.key_id) === undefined) throw noKey(ring.empty);
    return Buffer.from(open(ring.get, rootPlace, row.envelope).reveal(), 'base64url');
  }
  if ((await rows.count()) > 0) {
    throw new VaultError('sealed_damaged', 'the root key is gone, and there are values sealed under it', {
      repair: 'restore a backup of the store; nothing was changed',
    });
  }
  const key = ring.first();
  const value = SecretValue.of(randomBytes(32).toString('base64url'));
  const envelope = seal(key, rootPlace, value);
  const fresh = { ...rootPlace, key_id: key.id, envelope, fingerprint: '', created_at: now() };
  try {
    await store.commit({ statements: rows.putRoot(fresh) });
    return Buffer.from(value.reveal(), 'base64url');
  } catch (error) {
    const raced = error instanceof StoreError && error.conflict === 'vault_exists';
    if (raced) return openRoot(store, rows, ring, now);
    throw error;
  }
}

export function noKey(empty: boolean): VaultError {
  const repair = 'put back the key file that belongs to this store; nothing was changed';
  return empty
    ? new VaultError('key_missing', 'the store holds sealed values and there is no key for them', { repair })
    : new VaultError('wrong_key', 'the key does not belong to this store', { repair });
}
