/** Which name was meant, where one is near, and which there are. */
export function hint(word: string, names: readonly string[]): string {
  const near = word.length > 64 ? undefined : names.find((name) => alike(word, name));
  return `${near === undefined ? '' : `did you mean ${JSON.stringify(near)}? `}Known are ${names.join(', ')}`;
}

export function unknownKeys(
  value: object,
  known: readonly string[],
): readonly { readonly name: string; readonly message: string }[] {
  return Object.keys(value)
    .filter((name) => !known.includes(name))
    .map((name) => ({ name: name.slice(0, 64), message: `there is no such field: ${hint(name, known)}` }));
}

/** More than half of their pairs of letters are the same. */
function alike(a: string, b: string): boolean {
  const [one, other] = [pairsOf(a), pairsOf(b)];
  const shared = one.filter((pair) => other.includes(pair)).length;
  return shared * 2 > Math.max(one.length, other.length);
}

const pairsOf = (word: string) => [...word.toLowerCase()].map((letter, at, all) => letter + (all[at + 1] ?? ''));
