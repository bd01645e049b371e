/** Which name was meant, where one is near, and which there are. */
export function hint(word: string, names: readonly string[]): string {
  const near = names
    .map((name) => ({ name, distance: distance(word.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const close = near !== undefined && near.distance <= Math.max(2, word.length / 3);
  return `${close ? `did you mean ${JSON.stringify(near.name)}? ` : ''}Known are ${names.join(', ')}`;
}

export function unknownKeys(
  value: object,
  known: readonly string[],
): readonly { readonly name: string; readonly message: string }[] {
  return Object.keys(value)
    .filter((name) => !known.includes(name))
    .map((name) => ({ name, message: `there is no such field: ${hint(name, known)}` }));
}

/** Levenshtein, with one row. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length && i <= 64; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, swap));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
