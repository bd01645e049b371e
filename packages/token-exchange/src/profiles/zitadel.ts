import type { Profile } from './profile.ts';
import { audienceFields, audienceOnly, exchangeFields, JWT, rfc8693, scopeFields, workloadFields } from './rfc8693.ts';

/** Zitadel: an audience narrows, every `resource` is refused, and an `access_token` comes back opaque. */
export const zitadel: Profile = {
  ...rfc8693,
  name: 'zitadel',
  defaultDelegation: () => 'none',
  targetProblem: audienceOnly,
  exchangeForm: ({ requestedTokenType = JWT, ...input }) => [
    ...exchangeFields({ ...input, requestedTokenType }),
    ...audienceFields(input.target),
    ...scopeFields(input.target),
  ],
  workloadForm: (input) => [...workloadFields(input), ...scopeFields(input.target)],
};
