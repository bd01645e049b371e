import { cut, kindNames, kinds } from '@onbehalf/resources';
import { HttpProblem, NOT_FOUND } from './problems.ts';

/** The part of an address before a name, and what it is called. */
const NOUNS: ReadonlyMap<string, string> = new Map([
  ...kindNames.map((kind): [string, string] => [kinds[kind].plural, kind]),
  ['sessions', 'session'],
  ['turns', 'turn'],
  ['trace', 'turn'],
]);

/**
 * Says what is not there, as the address asks for it: so what is hidden and what is missing still read the same, and
 * nothing is told that the caller has not said.
 */
export function namingWhat(
  problem: HttpProblem,
  { routeOptions: { url }, params }: { routeOptions: { url?: string | undefined }; params: unknown },
): HttpProblem {
  if (problem.message !== NOT_FOUND || url === undefined) return problem;
  const values = params as Readonly<Record<string, string | undefined>>;
  const things = [...url.matchAll(/\/([a-z-]+)\/:(\w+)/g)].map(
    ([, noun = '', name = '']) => `${NOUNS.get(noun) ?? noun} ${cut(values[name] ?? '')}`,
  );
  if (things.length === 0) return problem;
  return new HttpProblem(problem.code, `there is no ${things.reverse().join(' of ')}, or you may not see it`);
}
