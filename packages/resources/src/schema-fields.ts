import { z } from 'zod';

/** A field of a schema: its path, lists walked through without an index, and its schema without `optional`. */
export interface SchemaField {
  path: readonly string[];
  schema: z.ZodType;
}

/** Every field below an object schema, parents first. What maps free keys to values has no fields. */
export function* fieldsOf(schema: z.ZodType, path: readonly string[] = []): Generator<SchemaField> {
  const inner = unwrapped(schema);
  if (!(inner instanceof z.ZodObject)) return;
  for (const [name, field] of Object.entries(inner.shape as Readonly<Record<string, z.ZodType>>)) {
    const at = [...path, name];
    const value = unwrapped(field);
    yield { path: at, schema: value };
    yield* fieldsOf(value, at);
  }
}

function unwrapped(schema: z.ZodType): z.ZodType {
  let current: z.ZodType = schema;
  for (;;) {
    if (current instanceof z.ZodOptional || current instanceof z.ZodNullable || current instanceof z.ZodExactOptional)
      current = current.unwrap() as z.ZodType;
    else if (current instanceof z.ZodArray) current = current.element as z.ZodType;
    else return current;
  }
}
