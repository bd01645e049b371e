import { DEFAULT_NAMESPACE, type Kind, kinds } from '@onbehalf/resources';
import type { Registry, Stored, StoredResource } from '../store/index.ts';
import { notFound } from './route.ts';

/** By `name` (namespace `default`), or by `namespace.name`. */
export function lookUp(registry: Pick<Registry, 'get'>, kind: Kind, address: string): StoredResource | undefined {
  const [first = '', second, ...rest] = address.split('.');
  if (rest.length > 0) return undefined;
  if (!kinds[kind].namespaced) return registry.get(kind, undefined, address) as StoredResource | undefined;
  const [namespace, name] = second === undefined ? [DEFAULT_NAMESPACE, first] : [first, second];
  return registry.get(kind, namespace, name) as StoredResource | undefined;
}

export const findAgent = (registry: Pick<Registry, 'get'>, address: string): Stored<'Agent'> | undefined =>
  lookUp(registry, 'Agent', address) as Stored<'Agent'> | undefined;

/** @throws HttpProblem `not_found` */
export function findResource(registry: Pick<Registry, 'get'>, kind: Kind, address: string | undefined): StoredResource {
  const found = lookUp(registry, kind, address ?? '');
  if (!found) throw notFound();
  return found;
}
