import type { Profile } from './profile.ts';
import { audienceFields, audienceOnly, exchangeFields, rfc8693, scopeFields, workloadFields } from './rfc8693.ts';

/**
 * Okta: the audience is that of the authorization server which is asked, and at least one scope of its own is
 * required. A person's `sub` is a login name; `uid` is what stays.
 */
export const okta: Profile = {
  ...rfc8693,
  name: 'okta',
  targetProblem: (target) =>
    audienceOnly(target) ??
    (target.scopes.length === 0 ? 'this token service needs a scope that is defined at it' : undefined),
  exchangeForm: (input) => [...exchangeFields(input), ...audienceFields(input.target), ...scopeFields(input.target)],
  workloadForm: (input) => [...workloadFields(input), ...scopeFields(input.target)],
  workloadSubject: (client, assertedSubject) => assertedSubject ?? client,
  subjectMatches: ({ sub, uid }, { subject }) => sub === subject || uid === subject,
  party: (claims) => claims.cid,
  tokenTyp: () => ['okta-internal-at+jwt', 'at+jwt', 'jwt', ''],
};
