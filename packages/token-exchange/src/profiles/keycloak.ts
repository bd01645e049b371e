import type { Profile } from './profile.ts';
import {
  ACCESS_TOKEN,
  audienceFields,
  audienceOnly,
  exchangeFields,
  JWT,
  rfc8693,
  scopeFields,
  standardCode,
  workloadFields,
} from './rfc8693.ts';

/**
 * Keycloak's standard token exchange, 26.2 and later. An audience is a client id and only narrows, so a request
 * without one gets a token that is good everywhere; `resource` and `actor_token` are ignored without a word, and the
 * scope of the answer may be empty, reordered or wider.
 */
export const keycloak: Profile = {
  ...rfc8693,
  name: 'keycloak',
  defaultDelegation: ({ clientPerAgent }) => (clientPerAgent?.length ? 'azp' : 'none'),
  delegations: ['azp', 'none'],
  targetProblem: audienceOnly,
  configProblem: ({ requestedTokenType }) =>
    requestedTokenType === undefined || requestedTokenType === ACCESS_TOKEN
      ? undefined
      : 'Keycloak issues access tokens alone: leave requestedTokenType out',
  exchangeForm: ({ subject, ...input }) => [
    ...exchangeFields({
      ...input,
      actor: undefined,
      subject: subject.tokenType === JWT ? { ...subject, tokenType: ACCESS_TOKEN } : subject,
    }),
    ...audienceFields(input.target),
    ...scopeFields(input.target),
  ],
  workloadForm: (input) => [...workloadFields(input), ...scopeFields(input.target)],
  party: (claims) => claims.azp,
  scopeNeverWider: false,
  codeOf(failure) {
    const { status, error, description = '' } = failure;
    if (status === 401) return 'invalid_client';
    if (/token exchange is not enabled/i.test(description)) return 'unauthorized_client';
    // An assertion with the wrong `aud` is refused in words that speak of an audience too.
    const aboutAudience = /audience/i.test(description) && !/^invalid token audience$/i.test(description);
    if (aboutAudience && (error === 'invalid_request' || error === 'invalid_client')) return 'invalid_target';
    return standardCode(failure);
  },
};
