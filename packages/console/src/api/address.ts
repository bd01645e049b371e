/** How an agent is named in addresses and on the command line: `name`, or `namespace.name`. */
export function agentAddress({ name, namespace }: { name: string; namespace?: string | undefined }): string {
  return namespace === undefined || namespace === 'default' ? name : `${namespace}.${name}`;
}

/** One argument of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** `namespace/name` without the namespace that everybody has. */
export const shortName = (name: string): string => name.replace(/^default\//, '');
