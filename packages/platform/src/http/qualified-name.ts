/** `namespace/name`, as the audit has it, of what people write: `name` (in the namespace `default`), `namespace.name`. */
export function qualifiedName(text: string): string {
  if (text.includes('/')) return text;
  const [namespace, ...name] = text.split('.');
  return name.length === 0 ? `default/${text}` : `${namespace}/${name.join('.')}`;
}
