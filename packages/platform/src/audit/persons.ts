import { hash, randomBytes } from 'node:crypto';
import type { AuditPerson } from '../store/index.ts';
import { setAt, valueAt } from './fields.ts';

/** Pointers (RFC 6901) of one person's fields in a line. The line names them; the values there are commitments. */
export type PersonalFields = readonly (readonly string[])[];

/** What stands where a value was erased. */
export const ERASED = '[erased]';

/** Of an object that names a person. */
const OF_PERSON = ['subject', 'sid', 'as'] as const;
/** Of the line's principal, or of nobody in particular where it has none. */
const OF_LINE = ['/address', '/tool/arguments', '/tool/result'] as const;

/** Whether a field is one of the line's principal. */
export const ofLine = (pointer: string): boolean =>
  pointer.startsWith('/principal/') || (OF_LINE as readonly string[]).includes(pointer);

type Tree = Record<string, unknown>;

/**
 * SHA-256, base64url, of a value at its place. Whoever has no salt cannot try values; a salt is one person's in one
 * line, so that lines of one person do not look alike, and nothing is left of them when it is gone.
 */
export const commitment = (salt: string, pointer: string, value: unknown): string =>
  hash('sha256', `onbehalf-personal-1\n${salt}\n${pointer}\n${JSON.stringify(value)}`, 'base64url');

/** Takes what is personal out of a cleaned entry; in its place stand commitments. The entry itself stays as it is. */
export function separate(
  entry: Tree,
  salt: () => string = () => randomBytes(16).toString('base64url'),
): { committed: Tree; persons: AuditPerson[] } {
  const acting = nameIn(entry.principal) ?? { iss: '', sub: '' };
  const slots: Slot[] = [];
  const note = ({ iss, sub }: Name, pointer: string, value: unknown) => {
    const known = slots.find((slot) => slot.sub === sub && slot.iss === iss);
    if (known === undefined) slots.push({ iss, sub, fields: [[pointer, value]] });
    else known.fields.push([pointer, value]);
  };
  for (const pointer of OF_LINE) {
    const value = valueAt(entry, pointer);
    if (value !== undefined) note(acting, pointer, value);
  }
  collect(entry, '', note);
  const committed = copyAlong(entry, slots);
  const persons = slots.map(({ iss, sub, fields }): AuditPerson => {
    const own = salt();
    for (const [pointer, value] of fields) setAt(committed, pointer, commitment(own, pointer, value));
    return {
      acting: iss === acting.iss && sub === acting.sub,
      iss,
      sub,
      salt: own,
      fields: Object.fromEntries(fields),
    };
  });
  return { committed, persons };
}

interface Name {
  iss: string;
  sub: string;
}

interface Slot extends Name {
  fields: [pointer: string, value: unknown][];
}

/** Every field of every person that a tree names, but for what is committed to as a whole. */
function collect(tree: object, pointer: string, note: (name: Name, pointer: string, value: unknown) => void): void {
  const name = nameIn(tree);
  for (const key of Object.keys(tree)) {
    const value: unknown = Reflect.get(tree, key);
    const personal = name !== undefined && (OF_PERSON as readonly string[]).includes(key);
    if (personal && typeof value === 'string' && value !== '') note(name, `${pointer}/${key}`, value);
    else if (typeof value === 'object' && value !== null) {
      const inner = `${pointer}/${/[~/]/.test(key) ? key.replaceAll('~', '~0').replaceAll('/', '~1') : key}`;
      if (!(OF_LINE as readonly string[]).includes(inner)) collect(value, inner, note);
    }
  }
}

/** A copy of the objects on the way to each field; the rest is shared. */
function copyAlong(entry: Tree, slots: readonly Slot[]): Tree {
  const committed = { ...entry };
  const copied = new Set<string>();
  for (const { fields } of slots)
    for (const [pointer] of fields)
      for (let end = pointer.indexOf('/', 1); end !== -1; end = pointer.indexOf('/', end + 1)) {
        const way = pointer.slice(0, end);
        if (copied.has(way)) continue;
        copied.add(way);
        const inner = valueAt(committed, way) as object;
        setAt(committed, way, Array.isArray(inner) ? [...inner] : { ...inner });
      }
  return committed;
}

/** Puts back what is still there. */
export function restore(
  committed: Tree,
  personal: PersonalFields,
  persons: ReadonlyMap<number, Readonly<Record<string, unknown>>>,
): Tree {
  const entry = structuredClone(committed);
  for (const [n, pointers] of personal.entries())
    for (const pointer of pointers) setAt(entry, pointer, persons.get(n)?.[pointer] ?? ERASED);
  return entry;
}

/** Whether these are exactly the values that the line committed to for this person. */
export function fits(
  committed: Tree,
  pointers: readonly string[] | undefined,
  salt: string,
  fields: Readonly<Record<string, unknown>>,
): boolean {
  return (
    pointers !== undefined &&
    Object.keys(fields).length === pointers.length &&
    pointers.every(
      (pointer) =>
        Object.hasOwn(fields, pointer) && valueAt(committed, pointer) === commitment(salt, pointer, fields[pointer]),
    )
  );
}

function nameIn(value: unknown): Name | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { issuer, subject } = value as Tree;
  return typeof issuer === 'string' && typeof subject === 'string' ? { iss: issuer, sub: subject } : undefined;
}
