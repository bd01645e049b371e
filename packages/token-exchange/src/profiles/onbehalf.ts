import type { Profile } from './profile.ts';
import { exchangeFields, rfc8693, targetFields } from './rfc8693.ts';

/** The embedded token service of Onbehalf: one target per request, `sub_id` (RFC 9493) and `act` always. */
export const onbehalf: Profile = {
  ...rfc8693,
  name: 'onbehalf',
  delegations: ['act', 'none'],
  delegationTokenType: 'urn:onbehalf:token-type:delegation',
  maxActors: 5,
  targetProblem: ({ audience, resource }) =>
    audience.length > 1 || resource.length > 1
      ? 'this token service takes one audience and one resource at most'
      : undefined,
  exchangeForm: (input) => [
    ...exchangeFields(input),
    ...targetFields(input.target),
    ...(input.delegate === undefined ? [] : [['delegate', input.delegate] as const]),
  ],
  workloadNeedsAssertion: true,
  subjectMatches: ({ sub_id }, principal) =>
    sub_id?.format === 'iss_sub' && sub_id.iss === principal.issuer && sub_id.sub === principal.subject,
  workloadSubject: (client, assertedSubject) => assertedSubject ?? `client:${client}`,
  party: (claims) => claims.client_id,
  tokenTyp: (kind) => (kind === 'delegation' ? ['delegation+jwt'] : ['at+jwt']),
};
