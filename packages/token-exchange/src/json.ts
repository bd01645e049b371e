/**
 * A JSON value of which no object names a member twice (RFC 8725 section 2.4): the tool server's parser may keep the other
 * `sub`. Throws where there is no such value.
 */
export function parseStrict(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (countColons(text) !== countMembers(value)) throw new SyntaxError('a member is named twice');
  return value;
}

/** Outside strings there is one for each member as it was written. */
const countColons = (text: string) => text.replace(STRINGS, '').split(':').length - 1;

const STRINGS = /"[^"\\]*(?:\\.[^"\\]*)*"/g;

/** Of two of one name the parser has kept one. */
function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const inside = Object.values(value);
  return inside.reduce((count, one) => count + countMembers(one), Array.isArray(value) ? 0 : inside.length);
}

export function objectOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}
