import { redact, type SecretValue } from '@onbehalf/secret-value';

/** One challenge of `WWW-Authenticate` (RFC 9110 section 11.6.1). Names are in lower case. */
export interface Challenge {
  /** Such as `bearer`. */
  readonly scheme: string;
  /** The first of each name counts. Without a prototype. */
  readonly parameters: Readonly<Record<string, string>>;
}

const PARAMETER = /^\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([\w!#$%&'*+.^`|~/:-]+))\s*(?:,|$)/;
const SCHEME = /^[\s,]*([\w!#$%&'*+.^`|~-]+)(?:\s+|,|$)/;
const TOKEN68 = /^[\w.~+/-]+=*\s*(?:,|$)/;

/**
 * Reads as far as the header is well formed. A tool server writes it, so nothing in it is believed.
 * @param header the value of `WWW-Authenticate`; null where there is none
 */
export function parseChallenges(header: string | null): readonly Challenge[] {
  const challenges: Challenge[] = [];
  let rest = (header ?? '').slice(0, 8192);
  for (let scheme = SCHEME.exec(rest); scheme !== null; scheme = SCHEME.exec(rest)) {
    rest = rest.slice(scheme[0].length);
    const parameters: Record<string, string> = Object.create(null);
    for (let found = PARAMETER.exec(rest); found !== null; found = PARAMETER.exec(rest)) {
      const [text, name = '', quoted, plain] = found;
      parameters[name.toLowerCase()] ??= quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '';
      rest = rest.slice(text.length);
    }
    if (Object.keys(parameters).length === 0) rest = rest.replace(TOKEN68, '');
    challenges.push({ scheme: (scheme[1] ?? '').toLowerCase(), parameters });
  }
  return challenges;
}

/**
 * The scopes of an RFC 6750 `insufficient_scope`; undefined where the answer is another. They are shown to people, so the
 * token that was sent is not among them.
 */
export function missingScopes(response: Response, sent: SecretValue): readonly string[] | undefined {
  if (response.status !== 403) return undefined;
  const challenge = parseChallenges(response.headers.get('www-authenticate')).find(
    ({ scheme, parameters }) => scheme === 'bearer' && parameters.error === 'insufficient_scope',
  );
  if (challenge === undefined) return undefined;
  const scopes = (challenge.parameters.scope ?? '').split(' ').filter((scope) => scope !== '');
  return scopes.map((scope) => redact(scope, [sent]).slice(0, 200));
}
