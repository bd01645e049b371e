import type { Resource } from '@onbehalf/resources';
import type { Registry, Stored, StoredResource } from '../store/index.ts';
import { keyOf } from './laid.ts';
import type { Planned } from './placed.ts';
import { referencesOf, resolve } from './references.ts';

/** Whether what a Grant is bound to is gone. What has its name by now is something else. */
export const isOrphaned = ({ status }: Pick<Stored<'Grant'>, 'status'>, registry: Pick<Registry, 'byUid'>): boolean =>
  status.targetUid !== undefined && registry.byUid(status.targetUid) === undefined;

/** The same Grant, bound to nothing: the next resolution binds it. */
export function unbound<S extends StoredResource['status']>(status: S): S {
  const { targetUid: _targetUid, ...rest } = status as S & { targetUid?: string };
  return rest as S;
}

/** From what to what a Grant was bound anew by this write, or would be with `rebind`. */
export function rebindingOf(
  { before, resource }: Pick<Planned, 'before' | 'resource'>,
  registry: Registry,
  written: ReadonlyMap<string, Planned>,
): { from: string; to: string; done: boolean } | undefined {
  if (before?.kind !== 'Grant' || resource.kind !== 'Grant' || !isOrphaned(before, registry)) return undefined;
  const from = before.status.targetUid ?? '';
  const to = targetOf(resource, registry, written);
  return to === undefined ? undefined : { from, to, done: resource.status.targetUid === to };
}

/** What a Grant names: as this write leaves it, or as it is. */
export function targetOf(
  grant: Resource,
  registry: Registry,
  written: ReadonlyMap<string, Planned>,
): string | undefined {
  const [target] = referencesOf(grant);
  if (target === undefined) return undefined;
  const fresh = written.get(keyOf(target.kind, target.namespace ?? '', target.name));
  return fresh?.resource.metadata.uid ?? resolve(registry, target)?.metadata.uid;
}
