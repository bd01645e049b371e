import type { Profile } from './profile.ts';
import { exchangeFields, rfc8693, targetFields } from './rfc8693.ts';

/**
 * Auth0: standard, with at most five actors. A `resource` works only where the tenant allows it, and a requested token
 * type may be refused, so both are sent only when they are configured. Custom token exchange reserves the token types
 * of the IETF and knows its own ones instead: `subjectTokenType`, `actorTokenType`.
 */
export const auth0: Profile = {
  ...rfc8693,
  name: 'auth0',
  maxActors: 5,
  exchangeForm: ({ service, subject, actor, ...input }) => [
    ...exchangeFields({
      ...input,
      service,
      subject: { ...subject, tokenType: service.subjectTokenType ?? subject.tokenType },
      actor: actor && { ...actor, tokenType: service.actorTokenType ?? actor.tokenType },
    }),
    ...targetFields(input.target),
  ],
  workloadSubject: (client, assertedSubject) => assertedSubject ?? `${client}@clients`,
};
