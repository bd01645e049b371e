import type { Json } from './entry.ts';

/** What pointers (RFC 6901) lead to in a value; nothing for one that leads nowhere. */
export function pickFields(value: unknown, pointers: readonly string[]): Record<string, Json> {
  const found = pointers.map((pointer): [string, unknown] => [pointer, valueAt(value, pointer)]);
  return Object.fromEntries(found.filter(([, picked]) => picked !== undefined)) as Record<string, Json>;
}

/** The records that picked fields name: each text, number or flag, and each of a list of them. */
export function recordsOf(...picked: readonly Readonly<Record<string, Json>>[]): string[] {
  const values = picked
    .flatMap((fields) => Object.values(fields))
    .flatMap((value) => (Array.isArray(value) ? value : [value]));
  const named = values.filter((value) => value !== null && typeof value !== 'object').map(String);
  return [...new Set(named)].filter((text) => text !== '');
}

export function valueAt(tree: unknown, pointer: string): unknown {
  if (pointer !== '' && !pointer.startsWith('/')) return undefined;
  return stepsOf(pointer).reduce<unknown>(
    (inner, step) =>
      typeof inner === 'object' && inner !== null && Object.hasOwn(inner, step) ? Reflect.get(inner, step) : undefined,
    tree,
  );
}

export function setAt(tree: object, pointer: string, value: unknown): void {
  const inner = valueAt(tree, pointer.slice(0, pointer.lastIndexOf('/')));
  const last = stepsOf(pointer).at(-1) ?? '';
  if (typeof inner === 'object' && inner !== null && Object.hasOwn(inner, last)) Reflect.set(inner, last, value);
}

const stepsOf = (pointer: string): string[] => {
  const steps = pointer.split('/').slice(1);
  return pointer.includes('~') ? steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~')) : steps;
};
