import type { Signer } from '../audit/index.ts';
import type { Reader } from '../store/index.ts';
import { open } from './envelope.ts';
import { VaultError } from './error.ts';
import { KeyRing } from './key-ring.ts';
import { noKey } from './root.ts';
import { own, sealedRows } from './sealed-rows.ts';
import { ed25519Signer } from './signer.ts';

/** What `signer` of this store would accept, from a store that is only read. Makes no key. @throws VaultError */
export async function openVerifier(store: Reader, keyFile: string, label: string): Promise<Pick<Signer, 'verify'>> {
  const where = { kind: own, uid: 'signer', field: label };
  const row = await sealedRows(store).latest(where);
  if (row === undefined)
    throw new VaultError('sealed_damaged', 'the store holds no signing key: nothing that it says can be proven');
  const ring = new KeyRing(keyFile);
  try {
    if (ring.get(row.key_id) === undefined) throw noKey(ring.empty);
    const { verify } = ed25519Signer(open(ring.get, { ...where, version: row.version }, row.envelope));
    return { verify };
  } finally {
    ring.clear();
  }
}
