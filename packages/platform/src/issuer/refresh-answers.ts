import type { Store } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';
import { adapterFactory } from './adapter.ts';
import { json, type WireResponse } from './wire.ts';

/** Seconds. An answer may be lost, and two commands may ask at once: so long the same request gets the same answer. */
const GRACE = 30;

/**
 * Refresh tokens are good once (RFC 9700 section 4.14.2), and whoever shows one again ends the login. The same request
 * within the grace is not somebody else's: it is answered with what it was answered with, so that no second line of
 * tokens begins. Kept sealed, under the hash of the request, and worth nothing once the login has ended.
 */
export function refreshAnswers(o: {
  store: Store;
  vault: Vault;
  now: () => number;
  onError: (error: unknown) => void;
}): (form: ReadonlyMap<string, string>, ask: () => Promise<WireResponse>) => Promise<WireResponse> {
  const rows = adapterFactory(o)('RefreshAnswer');
  const underWay = new Map<string, Promise<WireResponse>>();

  async function answer(request: string, ask: () => Promise<WireResponse>): Promise<WireResponse> {
    const known = await rows.find(request);
    if (known !== undefined) {
      const { said, at } = known as unknown as { said: Record<string, unknown>; at: number };
      return json(200, { ...said, expires_in: Number(said.expires_in) - Math.ceil((o.now() - at) / 1000) });
    }
    const fresh = await ask();
    if (fresh.status === 200) {
      const said: unknown = JSON.parse(String(fresh.body));
      // Without it the answer stands; only a second one cannot be had.
      await rows.upsert(request, { said, at: o.now() }, GRACE).catch(o.onError);
    }
    return fresh;
  }

  return (form, ask) => {
    const request = new URLSearchParams([...form].sort()).toString();
    const known = underWay.get(request);
    if (known !== undefined) return known;
    const work = answer(request, ask).finally(() => underWay.delete(request));
    underWay.set(request, work);
    return work;
  };
}
