import type { Client } from '@modelcontextprotocol/client';
import { isObject } from '@onbehalf/resources';

type Entry = Readonly<Record<string, unknown>>;

/**
 * Reads results as they come, before the library does, which refuses a whole answer for one odd part: what has an obvious
 * meaning gets it, and a tool or a part that has none is left out by itself.
 * @param leftOut told of each tool that is not there for it, and why
 */
export function readTolerantly({ transport }: Client, leftOut: (what: string) => void): void {
  if (transport === undefined) return;
  const deliver = transport.onmessage;
  transport.onmessage = (message, extra) => {
    if ('result' in message && isObject(message.result))
      deliver?.({ ...message, result: resultOf(message.result, leftOut) } as typeof message, extra);
    else deliver?.(message, extra);
  };
}

function resultOf(result: Entry, leftOut: (what: string) => void): Entry {
  const { nextCursor, content, tools, ...rest } = result;
  return {
    ...rest,
    ...(nextCursor != null && { nextCursor }),
    ...(content !== undefined && { content: Array.isArray(content) ? content.map(partOf) : content }),
    ...(tools !== undefined && {
      tools: Array.isArray(tools) ? tools.flatMap((tool) => toolOf(tool, leftOut)) : tools,
    }),
  };
}

const PARTS: Readonly<Record<string, (part: Entry) => boolean>> = {
  text: ({ text }) => typeof text === 'string',
  image: ({ data, mimeType }) => typeof data === 'string' && typeof mimeType === 'string',
  audio: ({ data, mimeType }) => typeof data === 'string' && typeof mimeType === 'string',
  resource: ({ resource }) =>
    isObject(resource) &&
    typeof resource.uri === 'string' &&
    (typeof resource.text === 'string' || typeof resource.blob === 'string'),
  resource_link: ({ uri, name }) => typeof uri === 'string' && typeof name === 'string',
};

/** What a part is that nobody here can read. */
function partOf(part: unknown): unknown {
  const type = isObject(part) && typeof part.type === 'string' ? part.type : 'none';
  if (isObject(part) && Object.hasOwn(PARTS, type) && PARTS[type]?.(part)) return withoutNulls(part);
  return { type: 'text', text: `[a part of type ${type.slice(0, 64)} that cannot be read]` };
}

const withoutNulls = (value: Entry): Entry =>
  Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== null));

/** The tool as the protocol wants it, or nothing. */
function toolOf(tool: unknown, leftOut: (what: string) => void): Entry[] {
  if (!isObject(tool) || typeof tool.name !== 'string' || tool.name === '') {
    leftOut('a tool without a name');
    return [];
  }
  const name = JSON.stringify(tool.name.slice(0, 128));
  const { description, inputSchema, outputSchema: _outputSchema, ...rest } = withoutNulls(tool);
  const schema = inputSchema ?? {};
  if (!isObject(schema)) {
    leftOut(`${name}: its inputSchema is no object`);
    return [];
  }
  const { type = 'object', ...others } = withoutNulls(schema);
  if (type !== 'object') {
    leftOut(`${name}: inputSchema.type is ${JSON.stringify(type).slice(0, 64)}, not "object"`);
    return [];
  }
  for (const [field, fits] of Object.entries(SCHEMA_FIELDS))
    if (others[field] !== undefined && !fits(others[field])) {
      leftOut(`${name}: inputSchema.${field} has no meaning`);
      return [];
    }
  // Nobody here reads the form of what a tool answers.
  return [{ ...rest, ...(typeof description === 'string' && { description }), inputSchema: { type, ...others } }];
}

const SCHEMA_FIELDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  properties: isObject,
  required: (value) => Array.isArray(value) && value.every((name) => typeof name === 'string'),
};
