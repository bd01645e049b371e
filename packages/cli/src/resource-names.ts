import { type Kind, kindNames, kindOf, kinds, nearest, type Resource } from '@onbehalf/resources';
import { CliError } from './error.ts';
import type { Globals } from './globals.ts';

/** `agent`, `model-config`, `mcp-server`, …: how a kind is written in a command and in `-o name`. */
export const kindWord = (kind: Kind) => kinds[kind].plural.replace(/s$/, '');

export function requireKind(word: string): Kind {
  const kind = kindOf(word);
  if (kind) return kind;
  const words = kindNames.map(kindWord);
  const meant = nearest(word.toLowerCase(), words);
  throw new CliError(
    'usage',
    `there is no kind ${word}: ${meant ? `did you mean ${meant}?` : `known are ${words.join(', ')}`}`,
    'onbehalf explain',
  );
}

export interface Target {
  kind: Kind;
  name: string;
  namespace: string | undefined;
  address: { name: string; namespace: string | undefined };
}

/** `agent/assistant`, `agent/team.assistant`, or the two as separate words. */
export function requireTarget(word: string, name: string | undefined, globals: Globals): Target {
  const [kindText = '', rest] = word.split('/', 2);
  const named = rest ?? name;
  const kind = requireKind(kindText);
  if (named === undefined || named === '')
    throw new CliError('usage', `${word}: which one? Write KIND/NAME`, `onbehalf get ${kindText}`);
  const address = requireAddress(named, globals);
  return { kind, ...address, address };
}

/** `name` or `namespace.name`; --namespace fills in what is left out. */
export function requireAddress(text: string, globals: Globals): { name: string; namespace: string | undefined } {
  const [first = '', second, more] = text.split('.');
  if (
    more !== undefined ||
    ![first, second ?? first].every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label))
  )
    throw new CliError('usage', `${text} is no name: write NAME or NAMESPACE.NAME`);
  return second === undefined ? { name: first, namespace: globals.namespace } : { name: second, namespace: first };
}

export function nameOf(resource: Pick<Resource, 'kind' | 'metadata'>): string {
  const { name, namespace } = resource.metadata;
  return `${kindWord(resource.kind)}/${namespace === undefined || namespace === 'default' ? name : `${namespace}.${name}`}`;
}
