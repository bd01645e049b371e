export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * A JSON object without duplicate member names at any depth (RFC 7515 section 4, RFC 8725 section 2.4), or undefined.
 * Two parsers that disagree on which of two `sub` counts would disagree on who is calling.
 */
export function parseStrictObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) && !hasDuplicateNames(text) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** For text that `JSON.parse` has accepted: so a string followed by a colon is a member name. */
function hasDuplicateNames(text: string): boolean {
  const open: (Set<string> | undefined)[] = [];
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (char === '{') open.push(new Set());
    else if (char === '[') open.push(undefined);
    else if (char === '}' || char === ']') open.pop();
    else if (char === '"') {
      const end = stringEnd(text, i);
      if (isName(text, end)) {
        const names = open.at(-1);
        // Compared after unescaping: "sub" and "s\u0075b" are one name.
        const name: unknown = JSON.parse(text.slice(i, end + 1));
        if (typeof name !== 'string' || names?.has(name)) return true;
        names?.add(name);
      }
      i = end;
    }
  }
  return false;
}

function stringEnd(text: string, start: number): number {
  let i = start + 1;
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i;
}

function isName(text: string, end: number): boolean {
  let i = end + 1;
  while (text[i] === ' ' || text[i] === '\n' || text[i] === '\r' || text[i] === '\t') i += 1;
  return text[i] === ':';
}
