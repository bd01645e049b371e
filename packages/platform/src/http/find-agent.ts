import { DEFAULT_NAMESPACE } from '@onbehalf/resources';
import type { Registry, Stored } from '../store/index.ts';

/** Agents are addressed as `name` (namespace `default`) or `namespace.name`. */
export function findAgent(registry: Pick<Registry, 'get'>, address: string): Stored<'Agent'> | undefined {
  const [first = '', second, ...rest] = address.split('.');
  if (rest.length > 0) return undefined;
  return second === undefined ? registry.get('Agent', DEFAULT_NAMESPACE, first) : registry.get('Agent', first, second);
}
