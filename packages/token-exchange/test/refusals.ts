import type { ProfileName, TokenExchangeErrorCode } from '@onbehalf/token-exchange';

interface Refusal {
  readonly error: string;
  readonly status?: number;
  readonly description?: string;
  readonly claims?: string;
}

/** How each server says no, and who is to act. */
export const REFUSALS: readonly (readonly [ProfileName, what: string, Refusal, TokenExchangeErrorCode])[] = [
  ['keycloak', 'an unknown audience', { error: 'invalid_client', description: 'Audience not found' }, 'invalid_target'],
  [
    'keycloak',
    'an audience that is not permitted',
    { error: 'invalid_request', description: 'Requested audience not available: x' },
    'invalid_target',
  ],
  ['keycloak', 'a bad subject token', { error: 'invalid_request', description: 'Invalid token' }, 'subject_rejected'],
  ['keycloak', 'a requester outside the subject token', { error: 'access_denied', status: 403 }, 'unauthorized_client'],
  ['keycloak', 'a wrong secret', { error: 'unauthorized_client', status: 401 }, 'invalid_client'],
  ['keycloak', 'a bad assertion', { error: 'invalid_client' }, 'invalid_client'],
  [
    'keycloak',
    'an assertion for another audience',
    { error: 'invalid_client', description: 'Invalid token audience' },
    'invalid_client',
  ],
  ['keycloak', 'an unknown scope', { error: 'invalid_scope' }, 'invalid_scope'],
  [
    'entra-obo',
    'an assertion for another application',
    { error: 'invalid_grant', description: 'AADSTS500131: x' },
    'unauthorized_client',
  ],
  ['entra-obo', 'missing consent', { error: 'invalid_grant', description: 'AADSTS65001: x' }, 'interaction_required'],
  [
    'entra-obo',
    'a second factor',
    { error: 'interaction_required', description: 'AADSTS50076: x', claims: '{"a":1}' },
    'interaction_required',
  ],
  ['entra-obo', 'an expired assertion', { error: 'invalid_grant', description: 'AADSTS500133: x' }, 'subject_rejected'],
  [
    'entra-obo',
    'an unknown application',
    { error: 'invalid_resource', description: 'AADSTS500011: x' },
    'invalid_target',
  ],
  ['okta', 'enforced DPoP', { error: 'invalid_dpop_proof' }, 'invalid_request_configuration'],
  ['auth0', 'a bad subject token', { error: 'invalid_request' }, 'subject_rejected'],
  ['zitadel', 'an unknown audience', { error: 'invalid_target' }, 'invalid_target'],
  ['dex', 'a subject token that the connector refuses', { error: 'access_denied', status: 401 }, 'subject_rejected'],
  ['dex', 'a wrong secret', { error: 'invalid_client', status: 401 }, 'invalid_client'],
];
