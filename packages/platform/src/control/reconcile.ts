import { inSlices, type StoredResource, StoreError } from '../store/index.ts';
import { type ConditionPorts, computeConditions } from './conditions.ts';
import { keyOf, keyOfNamed } from './laid.ts';
import type { ControlPorts } from './ports.ts';
import { referencesOf, resolve } from './references.ts';

const SETTLE_MS = 20;
const RETRY_MS = 1_000;
const MAX_TIMEOUT_MS = 2_147_483_647;

type Reconciling = ConditionPorts & Pick<ControlPorts, 'onError'>;

/**
 * Keeps what follows from other resources up to date: `ResolvedRefs` and its kin, and the uid that a Grant holds from
 * its first resolution on. A change costs what refers to it. Running it twice changes nothing.
 */
export function createReconciler(ports: Reconciling): {
  /** What has changed by now; at the first time the rest follows behind. */
  run(): Promise<void>;
  /** Of these something else may have to be said, though none was written. */
  look(uids: Iterable<string>): void;
  close(): void;
} {
  const { registry } = ports;
  /** By the name of what they refer to, there or not. */
  const referrers = new Map<string, Set<string>>();
  const known = new Map<string, { key: string; refersTo: readonly string[]; generation: number }>();
  /** When Grants end, in milliseconds since the epoch. */
  const ends = new Map<string, number>();
  let dirty = new Set<string>();
  /** Changed, and not yet looked at for what refers to them. */
  let touched = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let expiry: NodeJS.Timeout | undefined;
  let running = Promise.resolve();
  let closed = false;

  function take(resource: StoredResource): void {
    const { uid, generation } = resource.metadata;
    if (known.get(uid)?.generation === generation) return;
    forget(uid);
    const refersTo = referencesOf(resource).map((ref) => keyOf(ref.kind, ref.namespace ?? '', ref.name));
    known.set(uid, { key: keyOfNamed(resource), refersTo, generation });
    for (const key of refersTo) referrers.set(key, (referrers.get(key) ?? new Set()).add(uid));
    if (resource.kind === 'Grant' && resource.spec.expiresAt !== undefined)
      ends.set(uid, Date.parse(resource.spec.expiresAt));
  }
  function forget(uid: string): void {
    for (const key of known.get(uid)?.refersTo ?? []) {
      const left = referrers.get(key);
      left?.delete(uid);
      if (left?.size === 0) referrers.delete(key);
    }
    known.delete(uid);
    ends.delete(uid);
  }

  /** What may have to say something else, now that this one has changed. Whether that is everything. */
  function touch(uid: string): boolean {
    const before = known.get(uid);
    const resource = registry.byUid(uid);
    const moved = before?.generation !== resource?.metadata.generation;
    if (resource) take(resource);
    else forget(uid);
    dirty.add(uid);
    for (const key of new Set([before?.key, known.get(uid)?.key]))
      if (key !== undefined) for (const referrer of referrers.get(key) ?? []) dirty.add(referrer);
    // Who may use what depends on these: anybody's references may.
    const kind = resource?.kind ?? before?.key.split('/')[0];
    return moved && (kind === 'Grant' || kind === 'TrustedIssuer');
  }
  function touchAll(): void {
    for (const { metadata } of registry.all()) dirty.add(metadata.uid);
  }

  /** A Grant that ends takes from references what one that is deleted takes. */
  function awaitEnd(): void {
    clearTimeout(expiry);
    const now = ports.now();
    let next = Number.POSITIVE_INFINITY;
    for (const at of ends.values()) if (at > now && at < next) next = at;
    if (closed || next === Number.POSITIVE_INFINITY) return;
    const ended = () => {
      touchAll();
      soon();
    };
    expiry = setTimeout(ended, Math.min(next - now + 1, MAX_TIMEOUT_MS)).unref();
  }

  async function once(): Promise<void> {
    const changed = touched;
    touched = new Set();
    const breathe = inSlices();
    let all = false;
    for (const uid of changed) {
      await breathe();
      if (touch(uid)) all = true;
    }
    if (all) touchAll();
    awaitEnd();
    const due = dirty;
    dirty = new Set();
    try {
      await registry.updateStatuses(new Map([...due].map((uid) => [uid, reconciled])));
    } catch (error) {
      // What could not be written is still due.
      for (const uid of due) dirty.add(uid);
      throw error;
    }
  }

  /** What the status of a resource has to be, whatever others have written into it. */
  function reconciled(status: StoredResource['status'], resource: StoredResource): StoredResource['status'] {
    const [target] = resource.kind === 'Grant' ? referencesOf(resource) : [];
    const targetUid =
      resource.kind === 'Grant' && resource.status.targetUid === undefined && target
        ? resolve(registry, target)?.metadata.uid
        : undefined;
    const conditions = computeConditions(ports, resource);
    if (conditions === status.conditions && targetUid === undefined) return status;
    const observedGeneration = resource.metadata.generation;
    return { ...status, conditions, observedGeneration, ...(targetUid !== undefined && { targetUid }) };
  }
  function soon(after = SETTLE_MS) {
    clearTimeout(timer);
    if (closed) return;
    timer = setTimeout(() => {
      running = running.then(once).catch((error: unknown) => {
        if (!(error instanceof StoreError)) ports.onError(error);
        else soon(RETRY_MS);
      });
    }, after);
    timer.unref();
  }
  /** What was said of these before the start holds of most: they are looked at behind whatever has changed since. */
  let before: readonly string[] = [...registry.all()].map(({ metadata }) => metadata.uid);
  const stops = [
    registry.onChange((changed) => {
      for (const uid of changed) touched.add(uid);
      soon();
    }),
    ports.people.onChange(() => {
      // Their last writers may have lost, or got, what their references need.
      touchAll();
      soon();
    }),
  ];
  return {
    look(uids) {
      for (const uid of uids) dirty.add(uid);
      soon();
    },
    async run() {
      clearTimeout(timer);
      await running;
      await once();
      for (const uid of before) touched.add(uid);
      if (before.length > 0) soon();
      before = [];
    },
    close() {
      closed = true;
      clearTimeout(timer);
      clearTimeout(expiry);
      for (const stop of stops) stop();
    },
  };
}
