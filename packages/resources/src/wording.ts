import type { z } from 'zod';
import { nearest } from './nearest.ts';
import { cut } from './yaml-text.ts';

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
  null: 'null',
};

/** What is wrong with a value, in words for whoever wrote it; fields that know better say so in their own words. */
export function wording(issue: z.core.$ZodRawIssue): string | undefined {
  const { input } = issue;
  switch (issue.code) {
    case 'invalid_type': {
      const wanted = TYPES[issue.expected] ?? issue.expected;
      return input === undefined ? `is missing: must be ${wanted}` : `must be ${wanted}, not ${nameOf(input)}`;
    }
    case 'invalid_value': {
      const values = issue.values.map(String);
      const meant = typeof input === 'string' ? nearest(input, values) : undefined;
      const all = values.length === 1 ? `must be ${values[0]}` : `must be one of ${values.join(', ')}`;
      return input === undefined
        ? `is missing: ${all}`
        : `${all}, not ${nameOf(input)}${meant ? `: did you mean ${meant}?` : ''}`;
    }
    case 'too_small':
      return `must ${sizeOf(issue.origin, 'least', Number(issue.minimum))}`;
    case 'too_big':
      return `must ${sizeOf(issue.origin, 'most', Number(issue.maximum))}`;
    case 'invalid_format':
      return issue.format === 'url' ? 'must be an absolute URL, such as https://host/path' : undefined;
    case 'invalid_key':
      return 'has a key that is not allowed here';
    case 'unrecognized_keys':
      return 'has a field that is not known here';
    default:
      return undefined;
  }
}

function sizeOf(origin: string, bound: 'least' | 'most', size: number): string {
  if (origin === 'string')
    return size === 1 && bound === 'least' ? 'not be empty' : `have at ${bound} ${size} characters`;
  if (origin === 'array' || origin === 'set')
    return size === 1 && bound === 'least' ? 'not be empty' : `hold at ${bound} ${size}`;
  return `be at ${bound} ${size}`;
}

function nameOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  return typeof value === 'string' ? `"${cut(value)}"` : cut(String(value));
}
