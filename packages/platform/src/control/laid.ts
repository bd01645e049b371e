import type { Kind, Resource } from '@onbehalf/resources';
import { namespaceOf } from '../store/index.ts';
import type { Placed, Planned } from './placed.ts';

type Named = Pick<Resource, 'kind'> & { metadata: { name: string; namespace?: string } };

export const keyOf = (kind: Kind, namespace: string, name: string): string => `${kind}/${namespace}/${name}`;
export const keyOfNamed = (named: Named): string => keyOf(named.kind, namespaceOf(named), named.metadata.name);

/** The first document of each name in one write. */
export function firstOfEach(placed: readonly Placed[]): ReadonlyMap<string, Placed> {
  const first = new Map<string, Placed>();
  for (const at of placed) {
    const key = keyOfNamed(at.input);
    if (!first.has(key)) first.set(key, at);
  }
  return first;
}

/** The plans of one write by name. */
export function plansByName(plans: readonly (Planned | undefined)[]): ReadonlyMap<string, Planned> {
  return new Map(plans.flatMap((planned) => (planned ? [[keyOfNamed(planned.resource), planned]] : [])));
}
