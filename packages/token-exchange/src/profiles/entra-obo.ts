import type { Profile } from './profile.ts';
import { JWT_BEARER, rfc8693, standardCode } from './rfc8693.ts';

/**
 * Microsoft Entra ID, on-behalf-of flow. The target is asked for by scope alone; `audience` says what the result must
 * name. `sub` differs from application to application, so people are compared by `tid` and `oid`. There is no `act`;
 * the application that asked is in `azp` (version 2 tokens) or `appid` (version 1).
 */
export const entraObo: Profile = {
  ...rfc8693,
  name: 'entra-obo',
  defaultDelegation: () => 'azp',
  delegations: ['azp', 'none'],
  targetProblem: ({ audience, resource, scopes }) => {
    if (resource.length > 0) return 'this token service refuses every resource; name the scope instead';
    if (audience.length === 0) return 'name the audience that the result must have';
    return scopes.length === 0 ? 'this token service needs a scope, such as api://app/.default' : undefined;
  },
  exchangeForm: ({ subject, target }) => [
    ['grant_type', JWT_BEARER],
    ['requested_token_use', 'on_behalf_of'],
    ['assertion', subject.token],
    ['scope', target.scopes.join(' ')],
  ],
  workloadForm: ({ target }) => [
    ['grant_type', 'client_credentials'],
    ['scope', target.scopes.join(' ')],
  ],
  workloadSubject: () => undefined,
  subjectMatches: ({ tid, oid }, { subject }) => tid !== undefined && oid !== undefined && `${tid}:${oid}` === subject,
  party: (claims) => claims.azp ?? claims.appid,
  issuedTokenTypeRequired: false,
  scopeNeverWider: false,
  codeOf(failure) {
    const { error, description = '' } = failure;
    const number = /AADSTS(\d+)/.exec(description)?.[1] ?? '';
    return BY_NUMBER[number] ?? (error === 'invalid_resource' ? 'invalid_target' : standardCode(failure));
  },
};

/** https://learn.microsoft.com/entra/identity-platform/reference-error-codes */
export const BY_NUMBER: Readonly<Record<string, ReturnType<Profile['codeOf']>>> = {
  // the assertion was made for another application than the one that asks
  '500131': 'unauthorized_client',
  // consent, multi-factor authentication, device or policy
  '65001': 'interaction_required',
  '50076': 'interaction_required',
  '50079': 'interaction_required',
  '50158': 'interaction_required',
  '53003': 'interaction_required',
  '500011': 'invalid_target',
};
