import type { Address } from './types.ts';

/** The form that the API's paths take: `name` or `namespace.name`. */
export function addressText(address: Address): string {
  if (typeof address === 'string') return encodeURIComponent(address);
  const { namespace, name } = address;
  return encodeURIComponent(namespace === undefined || namespace === 'default' ? name : `${namespace}.${name}`);
}
