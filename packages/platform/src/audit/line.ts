import type { AuditBody } from '../store/index.ts';
import type { AuditEntry } from './entry.ts';
import { separate } from './persons.ts';
import { indexOf } from './search.ts';

const maxText = 1_024;
const maxItems = 50;
const maxDepth = 8;
const maxBody = 32_768;

// The last net, not the first: whoever writes an entry leaves tokens out. Dotted runs are matched whole, so that a long
// hostile text costs one pass.
const dotted = /(?<![\w-])[\w-]+(?:\.[\w-]+)+/g;
const schemes = /\b(?:bearer|basic)\s+[\w~+/.=-]{16,}/gi;

// A header and a payload are enough to be a token: one that was cut on its way here is still seen.
const looksLikeToken = (run: string): boolean => {
  const parts = run.split('.');
  return parts.some((part, n) => {
    const start = part.indexOf('eyJ');
    return start >= 0 && part.length - start > 10 && (parts[n + 1]?.length ?? 0) > 7;
  });
};

const redactTokens = (text: string): string =>
  text.replace(dotted, (run) => (looksLikeToken(run) ? '[redacted]' : run)).replace(schemes, '[redacted]');

// C0, C1 and what turns or hides text on a screen. Escaped as visible text, so that it stays escaped after parsing.
const invisible = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const escapeInvisible = (text: string): string =>
  text.replace(invisible, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

// No dot, no space and nothing invisible: there is no token, no scheme and nothing to escape in it.
const plain = new RegExp(`^[\\w:/@+#,~=-]{0,${maxText}}$`);

/** A text as it stands in a line: also what a filter must be compared as. */
export function cleanText(text: string): string {
  if (plain.test(text)) return text;
  const bounded = text.length > 65_536 ? text.slice(0, 65_536) : text;
  const clean = escapeInvisible(redactTokens(bounded)).toWellFormed();
  return clean.length > maxText ? `${clean.slice(0, maxText).toWellFormed()}…` : clean;
}

function clean(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return cleanText(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'boolean' || value === null || value === undefined) return value;
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || depth === 0) return '…';
  if ('toJSON' in value && typeof value.toJSON === 'function') return clean(value.toJSON(), depth - 1);
  if (Array.isArray(value)) {
    const items = value.slice(0, maxItems).map((item) => clean(item, depth - 1));
    return value.length > maxItems ? [...items, '…'] : items;
  }
  const result: [string, unknown][] = [];
  for (const key of Object.keys(value)) {
    if (result.length === maxItems) {
      result.push(['…', true]);
      break;
    }
    const item: unknown = Reflect.get(value, key);
    if (item !== undefined) result.push([cleanText(key), clean(item, depth - 1)]);
  }
  return Object.fromEntries(result);
}

// What goes first when a line is too long. Who, when and what happened stays, and what a line is searched by.
const shorter: readonly ((entry: Partial<AuditEntry>) => object)[] = [
  () => ({ data: undefined }),
  ({ tool }) => ({ tool: tool && { server: tool.server, name: tool.name } }),
  () => ({ chain: undefined }),
  ({ target }) => ({ target: target && { kind: target.kind, uid: target.uid, server: target.server } }),
  ({ principal: p }) => ({ principal: p && { issuer: p.issuer, subject: p.subject, sid: p.sid, jti: p.jti } }),
];

/** @param at ISO 8601. @param salt for tests */
export function line({ type, phase, ...rest }: AuditEntry, at: string, salt?: () => string): AuditBody {
  let fields = { v: 1, at, type, phase, ...(clean(rest, maxDepth) as Partial<AuditEntry>) };
  let { body, size, persons } = committedTo(fields, salt);
  for (const shorten of shorter) {
    if (size <= maxBody) break;
    fields = { ...fields, ...shorten(fields) };
    ({ body, size, persons } = committedTo({ ...fields, omitted: true }, salt));
  }
  return {
    body,
    index: indexOf(fields),
    ...(persons.length > 0 && { persons }),
    ...(fields.records !== undefined && fields.records.length > 0 && { records: fields.records }),
  };
}

function committedTo(fields: object, salt: (() => string) | undefined) {
  const { committed, persons } = separate(fields as Record<string, unknown>, salt);
  const personal = persons.map((person) => Object.keys(person.fields));
  const body = JSON.stringify(personal.length === 0 ? committed : { ...committed, personal });
  // What stands beside the line is bounded with it.
  const beside = persons.flatMap(({ fields: own }) => Object.values(own)).filter((value) => typeof value !== 'string');
  const size = beside.reduce<number>((sum, value) => sum + JSON.stringify(value).length, body.length);
  return { body, size, persons };
}
