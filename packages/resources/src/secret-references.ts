import { type Kind, kinds } from './kinds.ts';
import { type SecretReference, secretReferences } from './primitives.ts';
import { fieldsOf } from './schema-fields.ts';

/** A reference to a Secret in a document: `spec.auth.static.secretRef`. */
export interface FoundSecretReference {
  path: string;
  ref: SecretReference;
}

const known = new Map<Kind, readonly (readonly string[])[]>();

/** Where a kind may refer to Secrets, as its schema says. */
function placesIn(kind: Kind): readonly (readonly string[])[] {
  const places =
    known.get(kind) ??
    [...fieldsOf(kinds[kind].spec)].flatMap(({ path, schema }) => (secretReferences.has(schema) ? [path] : []));
  known.set(kind, places);
  return places;
}

/** Every reference to a Secret that a document makes. */
export const secretReferencesIn = ({ kind, spec }: { kind: Kind; spec: unknown }): FoundSecretReference[] =>
  placesIn(kind).flatMap((path) => follow(spec, path, 'spec'));

function follow(value: unknown, path: readonly string[], at: string): FoundSecretReference[] {
  if (Array.isArray(value)) return value.flatMap((one, index) => follow(one, path, `${at}[${index}]`));
  const [step, ...rest] = path;
  if (typeof value !== 'object' || value === null) return [];
  if (step === undefined) return [{ path: at, ref: value as SecretReference }];
  return follow((value as Readonly<Record<string, unknown>>)[step], rest, `${at}.${step}`);
}
