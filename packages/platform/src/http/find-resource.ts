import { DEFAULT_NAMESPACE, type Kind, kinds } from '@onbehalf/resources';
import type { Registry, StoredResource } from '../store/index.ts';
import { notFound } from './route.ts';

/** `name`, or `namespace.name`. */
export function findResource(registry: Pick<Registry, 'get'>, kind: Kind, address: string | undefined): StoredResource {
  const [first = '', second, ...rest] = (address ?? '').split('.');
  if (rest.length > 0) throw notFound();
  const found = !kinds[kind].namespaced
    ? registry.get(kind, undefined, address ?? '')
    : second === undefined
      ? registry.get(kind, DEFAULT_NAMESPACE, first)
      : registry.get(kind, first, second);
  if (!found) throw notFound();
  return found as StoredResource;
}
