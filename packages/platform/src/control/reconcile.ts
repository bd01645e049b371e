import { StoreError } from '../store/index.ts';
import { computeConditions } from './conditions.ts';
import type { ControlPorts, Deciding } from './ports.ts';
import { referencesOf, resolve } from './references.ts';

const SETTLE_MS = 20;

/**
 * Keeps what follows from other resources up to date: `ResolvedRefs` and its kin, and the uid that a Grant holds from
 * its first resolution on. Running it twice changes nothing.
 */
export function createReconciler(ports: Deciding & Pick<ControlPorts, 'now' | 'onError'>): {
  run(): Promise<void>;
  close(): void;
} {
  const { registry } = ports;
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();
  let closed = false;

  async function once() {
    for (const resource of [...registry.all()]) {
      if (closed) return;
      const conditions = computeConditions(ports, resource);
      const [target] = resource.kind === 'Grant' ? referencesOf(resource) : [];
      const targetUid =
        resource.kind === 'Grant' && resource.status.targetUid === undefined && target
          ? resolve(registry, target)?.metadata.uid
          : undefined;
      if (conditions === resource.status.conditions && targetUid === undefined) continue;
      await registry.updateStatus(resource.metadata.uid, (status) => ({
        ...status,
        conditions,
        observedGeneration: resource.metadata.generation,
        ...(targetUid !== undefined && { targetUid }),
      }));
    }
  }
  function soon() {
    clearTimeout(timer);
    if (closed) return;
    timer = setTimeout(() => {
      running = running.then(once).catch((error: unknown) => {
        if (!(error instanceof StoreError)) ports.onError(error);
      });
    }, SETTLE_MS);
    timer.unref();
  }
  const stop = registry.onChange(soon);
  soon();
  return {
    async run() {
      clearTimeout(timer);
      await running;
      await once();
    },
    close() {
      closed = true;
      clearTimeout(timer);
      stop();
    },
  };
}
