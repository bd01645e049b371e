import type { SealedRow, Store } from '../store/index.ts';
import { rewrap, type WrappingKey } from './envelope.ts';
import { VaultError } from './error.ts';
import type { KeyRing } from './key-ring.ts';
import { rootPlace, type SealedRows } from './sealed-rows.ts';

export interface Rewrapped {
  /** Id of the key that everything is wrapped with now. */
  key: string;
  rows: number;
  /** Rows that neither key opens. They stay as they are, and say `sealed_damaged` when they are opened. */
  damaged: number;
}

/**
 * Wraps every data key with the next key, in small commits beside the traffic. The root goes first: from then on
 * whatever was sealed under the old key and not yet committed is refused, so nothing is added behind the walk. Killed
 * at any point, the next start finds both keys and goes on.
 */
export async function rewrapAll(store: Store, rows: SealedRows, ring: KeyRing, next: WrappingKey): Promise<Rewrapped> {
  const result: Rewrapped = { key: next.id, rows: 0, damaged: 0 };
  const root = await rows.latest(rootPlace);
  if (root === undefined) throw new VaultError('sealed_damaged', 'the root key is gone');
  await wrap([root]);
  for (const keyId of await rows.keyIds()) {
    if (keyId === next.id) continue;
    for (let batch = await rows.wrappedBy(keyId, undefined); batch.length > 0; ) {
      await wrap(batch);
      batch = await rows.wrappedBy(keyId, batch.at(-1));
    }
  }
  ring.complete();
  return result;

  async function wrap(batch: readonly SealedRow[]): Promise<void> {
    const statements = batch.flatMap((row) => {
      if (row.key_id === next.id) return [];
      try {
        return [rows.replace(row, next.id, rewrap(ring.get, next, row, row.envelope))];
      } catch (error) {
        if (!(error instanceof VaultError) || row.uid === rootPlace.uid) throw error;
        result.damaged += 1;
        return [];
      }
    });
    if (statements.length > 0) await store.commit({ statements });
    result.rows += statements.length;
  }
}
