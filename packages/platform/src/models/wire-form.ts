import { isObject } from '@onbehalf/resources';
import type { ModelMessage, ModelToolCall } from './messages.ts';

const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** A name in the form that every provider takes, whatever a model made of it. */
export const wireName = (name: string): string =>
  NAME.test(name) ? name : name.replaceAll(/[^A-Za-z0-9_-]/g, '_').slice(0, 64) || 'unnamed';

/** Arguments as they may go back: the text of an object, or an empty one where the model wrote something else. */
export function wireArguments(text: string): string {
  try {
    return isObject(JSON.parse(text)) ? text : '{}';
  } catch {
    return '{}';
  }
}

export const wireCall = ({ callId, name, arguments: values, carried }: ModelToolCall) => ({
  ...carried,
  id: callId,
  type: 'function' as const,
  function: { name: wireName(name), arguments: wireArguments(values) },
});

const inForm = new WeakMap<object, Record<string, unknown>>();

/** An object without `properties` is refused by strict providers, as is a schema that is none. */
export function wireSchema(schema: Record<string, unknown>): Record<string, unknown> {
  const known = inForm.get(schema);
  if (known) return known;
  const { properties } = schema;
  const made = { ...schema, type: 'object', properties: isObject(properties) ? properties : {} };
  inForm.set(schema, made);
  return made;
}

/** Two messages of one person in a row are one: some providers want them in turn. */
export function inTurn(messages: readonly ModelMessage[]): ModelMessage[] {
  const joined: ModelMessage[] = [];
  for (const message of messages) {
    const last = joined.at(-1);
    if (message.role === 'user' && last?.role === 'user')
      joined[joined.length - 1] = { role: 'user', text: `${last.text}\n\n${message.text}` };
    else joined.push(message);
  }
  return joined;
}
