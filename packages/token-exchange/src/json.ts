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
function countColons(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === 0x3a) count += 1;
    else if (char === 0x22) at = stringEnd(text, at);
  }
  return count;
}

/** At the first quote behind an even number of backslashes. */
function stringEnd(text: string, start: number): number {
  let end = start;
  let slashes = 1;
  while (slashes % 2 === 1) {
    end = text.indexOf('"', end + 1);
    slashes = 0;
    while (text[end - 1 - slashes] === '\\') slashes += 1;
  }
  return end;
}

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
