import { z } from 'zod';
import { documentSchema, kindNames, kindOf, type ResourceInput } from './kinds.ts';
import { API_VERSION } from './metadata.ts';
import { nearest } from './nearest.ts';
import { wording } from './wording.ts';
import { cut, MAX_ERRORS } from './yaml-text.ts';

export interface Issue {
  path: readonly PropertyKey[];
  message: string;
}

/** Misspelt words in one document that are set right to find what else is wrong. */
const PASSES = 4;

/** Mappings that are somebody else's: what is null there is meant. */
const FREE = new Set(['parameters', 'requiredClaims', 'keys', 'resources', 'deployment']);

/** A field that is left empty is none, as in `tools:` with nothing behind it. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, inner]) =>
      inner === null ? [] : [[name, FREE.has(name) ? inner : withoutEmpty(inner)]],
    ),
  );
}

/** Validates one plain value as a document of whatever kind it says it is. */
export function validate(value: unknown): { input: ResourceInput } | { issues: Issue[] } {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { issues: [{ path: [], message: 'must be a mapping with apiVersion, kind, metadata and spec' }] };
  const { apiVersion, kind } = value as { apiVersion?: unknown; kind?: unknown };
  const known = kindNames.find((name) => name === kind);
  const version: Issue[] =
    apiVersion === API_VERSION
      ? []
      : [{ path: ['apiVersion'], message: `must be ${API_VERSION}, not ${show(apiVersion)}` }];
  if (!known) {
    const meant = typeof kind === 'string' ? (kindOf(kind) ?? nearest(kind, kindNames)) : undefined;
    // Somebody else's kinds are somebody else's documents: that alone is worth saying.
    if (version.length > 0 && meant === undefined && kind !== undefined) return { issues: version };
    const hint = meant ? `did you mean ${meant}?` : `must be one of ${kindNames.join(', ')}`;
    return { issues: [...version, { path: ['kind'], message: `${show(kind)} is no kind: ${hint}` }] };
  }
  const schema = documentSchema(known);
  const issues = [...version];
  /** Mappings that hold a secret in the open: the reference that they lack is what they are told to write. */
  const withSecret = new Set<string>();
  let current: unknown = { ...(withoutEmpty(value) as object), apiVersion: API_VERSION };
  for (let pass = 0; pass < PASSES; pass++) {
    const parsed = schema.safeParse(current, { error: wording });
    if (parsed.success) {
      if (issues.length > 0) return { issues };
      const { status: _computed, ...input } = parsed.data;
      return { input: input as ResourceInput };
    }
    const unknown = parsed.error.issues.filter((issue) => issue.code === 'unrecognized_keys');
    if (unknown.length === 0 || pass === PASSES - 1)
      return {
        issues: [
          ...issues,
          ...parsed.error.issues
            .filter(
              ({ path }) => !(withSecret.has(pathText(path.slice(0, -1))) && /(Ref|File)$/.test(String(path.at(-1)))),
            )
            .flatMap((issue) => explain(issue, schema)),
        ],
      };
    // An unknown field hides other mistakes of its mapping, and makes some: it is read as what it was meant to be.
    issues.push(...unknown.flatMap((issue) => explain(issue, schema)));
    for (const { path, keys } of unknown)
      if (keys.some((key) => INLINE_SECRET.test(key))) withSecret.add(pathText(path));
    current = unknown.reduce((document, issue) => amended(document, issue, fieldsAt(schema, issue.path)), current);
  }
  return { issues };
}

type UnknownKeys = Extract<z.core.$ZodIssue, { code: 'unrecognized_keys' }>;

/** A copy in which unknown keys have the names that they were meant to have, or are left out. */
function amended(document: unknown, { path, keys }: UnknownKeys, fields: readonly string[]): unknown {
  const [step, ...rest] = path;
  if (step !== undefined) {
    const copy = Array.isArray(document) ? [...document] : { ...(document as object) };
    const at = copy as Record<PropertyKey, unknown>;
    at[step] = amended(at[step], { path: rest, keys } as UnknownKeys, fields);
    return copy;
  }
  const unknown = new Set(keys);
  const entries = Object.entries(document as object);
  const taken = new Set(entries.flatMap(([key]) => (unknown.has(key) ? [] : [key])));
  return Object.fromEntries(
    entries.flatMap(([key, value]) => {
      if (!unknown.has(key)) return [[key, value]];
      const meant = INLINE_SECRET.test(key) ? undefined : nearest(key, fields);
      return meant === undefined || taken.has(meant) ? [] : [[meant, value]];
    }),
  );
}

const INLINE_SECRET = /^(client[-_]?)?(secret|password|token|key|private[-_]?key|api[-_]?key|assertion)$/i;

function explain(issue: z.core.$ZodIssue, schema: z.ZodType): Issue[] {
  if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, message: issue.message }];
  const fields = fieldsAt(schema, issue.path);
  return issue.keys.slice(0, MAX_ERRORS).map((key) => {
    const meant = nearest(key, fields);
    const references = fields.filter((field) => /(Ref|File)$/.test(field));
    if (INLINE_SECRET.test(key) && references.length > 0)
      return {
        path: [...issue.path, key],
        message: `a secret is never written here: refer to one by \`${references.join('` or `')}\``,
      };
    const hint = meant ? `did you mean \`${meant}\`?` : `known are ${fields.join(', ')}`;
    return { path: [...issue.path, key], message: `unknown field: ${hint}` };
  });
}

function fieldsAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let current: unknown = schema;
  for (const step of [...path, undefined]) {
    while (
      current instanceof z.ZodOptional ||
      current instanceof z.ZodNullable ||
      current instanceof z.ZodExactOptional
    )
      current = current.unwrap();
    if (step === undefined) break;
    if (current instanceof z.ZodObject) current = current.shape[String(step)];
    else if (current instanceof z.ZodArray) current = current.element;
    else if (current instanceof z.ZodRecord) current = current.valueType;
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

const show = (value: unknown) =>
  value === undefined
    ? 'nothing'
    : typeof value === 'object'
      ? 'a mapping or a list'
      : JSON.stringify(cut(String(value)));

/** `spec.tools[0].mcpServer.name` */
export function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    const name = cut(String(step));
    return text === '' ? name : `${text}.${name}`;
  }, '');
}

/** The steps of such a text. */
export const stepsOf = (path: string): PropertyKey[] =>
  path.split('.').flatMap((part) => {
    const [name = '', ...indexes] = part.split('[');
    return [...(name === '' ? [] : [name]), ...indexes.map((index) => Number(index.replace(']', '')))];
  });
