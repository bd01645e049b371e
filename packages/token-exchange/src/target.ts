import { encode, encodeList } from './cache-key.ts';
import { unknownKeys } from './nearest.ts';
import type { ForgetFilter, Target } from './types.ts';

/** A target as it was at first sight: deduplicated, empty values gone, checked, with its part of the cache key. */
export interface PreparedTarget {
  readonly source: Target;
  readonly audience: readonly string[];
  readonly resource: readonly string[];
  readonly scopes: readonly string[];
  /** What the result must name: the audience, or the resource where there is none. */
  readonly expectedAudience: readonly string[];
  readonly extraAudience: readonly string[];
  readonly keyPart: string;
  /** Why it can never be sent. */
  readonly problem: string | undefined;
}

const FIELDS = {
  audience: 0,
  resource: 0,
  scopes: 0,
  url: 0,
  name: 0,
  allowExtraAudiences: 0,
  stepUpScopes: 0,
} satisfies Record<keyof Target, 0>;

const prepared = new WeakMap<Target, PreparedTarget>();

export function prepareTarget(target: Target): PreparedTarget {
  const known = prepared.get(target);
  if (known !== undefined) return known;
  const audience = distinct(target.audience);
  const resource = distinct(target.resource);
  const scopes = distinct(target.scopes);
  const extraAudience = distinct(target.allowExtraAudiences ?? []);
  const made: PreparedTarget = {
    source: target,
    audience,
    resource,
    scopes,
    expectedAudience: audience.length > 0 ? audience : resource,
    extraAudience,
    // The name too: `forget` goes by it, so an entry has one.
    keyPart: [audience, resource, scopes, extraAudience].map(encodeList).join('') + encode(target.name),
    problem: fieldProblem(target) ?? problemOf(audience, resource, scopes),
  };
  prepared.set(target, made);
  return made;
}

/** A misspelt `scopes` would ask for more than was meant. */
function fieldProblem(target: Target): string | undefined {
  const [unknown] = unknownKeys(target, Object.keys(FIELDS));
  if (unknown !== undefined) return `the target has ${quote(unknown.name)}, and ${unknown.message}`;
  const missing = (['audience', 'resource', 'scopes'] as const).find((field) => !Array.isArray(target[field]));
  return missing && `the target needs \`${missing}\`, a list, which may be empty`;
}

function distinct(values: readonly string[]): readonly string[] {
  return [...new Set(Array.isArray(values) ? values : [])].filter((value) => value !== '');
}

function problemOf(
  audience: readonly string[],
  resource: readonly string[],
  scopes: readonly string[],
): string | undefined {
  if (audience.length === 0 && resource.length === 0) return 'the target names neither an audience nor a resource';
  const badResource = resource.find((value) => !isResource(value));
  if (badResource !== undefined) return `the resource ${quote(badResource)} is not an absolute URI without fragment`;
  const badScope = scopes.find((value) => !SCOPE_TOKEN.test(value));
  if (badScope !== undefined) return `the scope ${quote(badScope)} is not a scope token`;
  return undefined;
}

/** RFC 6749 section 3.3. */
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

/** RFC 8707 section 2. The string is kept as it was written: a URL object prints another one. */
export function isResource(value: string): boolean {
  return /^[a-z][a-z0-9+.-]*:[\x21-\x7e]+$/i.test(value) && !value.includes('#') && URL.canParse(value);
}

export function sameTarget(a: NonNullable<ForgetFilter['target']>, b: NonNullable<ForgetFilter['target']>): boolean {
  if (a.name !== undefined && b.name !== undefined) return a.name === b.name;
  return sameSet(a.audience, b.audience) && sameSet(a.resource, b.resource);
}

export function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.every((value) => b.includes(value)) && b.every((value) => a.includes(value));
}

export function quote(value: string): string {
  return JSON.stringify(value.length > 200 ? `${value.slice(0, 200)}…` : value);
}
