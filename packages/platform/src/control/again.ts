import { type Registry, type Store, StoreError } from '../store/index.ts';

/** Somebody else has written it between the look and the commit. */
export const isMoved = (error: unknown): boolean => error instanceof StoreError && error.code === 'precondition_failed';

/** What was written meanwhile by somebody else is looked at, and all is asked again: `tries` times in all. */
export async function again<T>(
  { registry, store }: { registry: Pick<Registry, 'settled'>; store: Pick<Store, 'revision'> },
  tries: number,
  work: () => Promise<T>,
  isStale: (error: unknown) => boolean = isMoved,
): Promise<T> {
  for (let left = tries - 1; ; left--) {
    try {
      return await work();
    } catch (error) {
      if (!isStale(error) || left === 0) throw error;
      await registry.settled(store.revision());
    }
  }
}
