import type { TokenExchangeErrorCode } from '../error-codes.ts';
import type { PreparedTarget } from '../target.ts';
import type { ExchangeInput, FormField, Profile, ServiceFailure, WorkloadInput } from './profile.ts';

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
export const JWT = 'urn:ietf:params:oauth:token-type:jwt';

/** RFC 8693 and RFC 8707 as they are written; the other dialects say where they differ from it. */
export const rfc8693: Profile = {
  name: 'rfc8693',
  defaultDelegation: () => 'act',
  delegations: ['act', 'azp', 'none'],
  delegationTokenType: undefined,
  configProblem: () => undefined,
  maxActors: Number.POSITIVE_INFINITY,
  targetProblem: () => undefined,
  exchangeForm: (input) => [...exchangeFields(input), ...targetFields(input.target)],
  workloadForm: (input) => [...workloadFields(input), ...targetFields(input.target)],
  workloadNeedsAssertion: false,
  subjectMatches: (claims, principal) =>
    claims.sub === principal.subject &&
    (claims.sub_id?.format !== 'iss_sub' ||
      (claims.sub_id.iss === principal.issuer && claims.sub_id.sub === principal.subject)),
  workloadSubject: (_client, assertedSubject) => assertedSubject,
  party: (claims) => claims.azp ?? claims.client_id,
  // RFC 9068 section 2.1, and what services wrote before it; a logout or introspection token says another one.
  tokenTyp: () => ['at+jwt', 'jwt', ''],
  issuedTokenTypeRequired: true,
  scopeNeverWider: true,
  codeOf: standardCode,
};

/** RFC 8693 section 2.1, without the target. `actor_token` and its type go together or not at all. */
export function exchangeFields(input: ExchangeInput): FormField[] {
  const fields: FormField[] = [
    ['grant_type', TOKEN_EXCHANGE],
    ['subject_token', input.subject.token],
    ['subject_token_type', input.subject.tokenType],
  ];
  if (input.actor) fields.push(['actor_token', input.actor.token], ['actor_token_type', input.actor.tokenType]);
  if (input.requestedTokenType) fields.push(['requested_token_type', input.requestedTokenType]);
  return fields;
}

/** RFC 7523 section 2.1 with an assertion, else RFC 6749 section 4.4. */
export function workloadFields(input: WorkloadInput): FormField[] {
  return input.assertion
    ? [
        ['grant_type', JWT_BEARER],
        ['assertion', input.assertion],
      ]
    : [['grant_type', 'client_credentials']];
}

export function targetFields(target: PreparedTarget): FormField[] {
  return [...audienceFields(target), ...resourceFields(target), ...scopeFields(target)];
}

export function audienceFields(target: PreparedTarget): FormField[] {
  return target.audience.map((value) => ['audience', value]);
}

export function resourceFields(target: PreparedTarget): FormField[] {
  return target.resource.map((value) => ['resource', value]);
}

export function scopeFields(target: PreparedTarget): FormField[] {
  return target.scopes.length > 0 ? [['scope', target.scopes.join(' ')]] : [];
}

/** RFC 6749 section 5.2, RFC 8707 section 2; a bad subject token is `invalid_request` (RFC 8693 section 2.2.2). */
export const BY_ERROR: Readonly<Record<string, TokenExchangeErrorCode>> = {
  invalid_target: 'invalid_target',
  invalid_scope: 'invalid_scope',
  invalid_client: 'invalid_client',
  unauthorized_client: 'unauthorized_client',
  access_denied: 'unauthorized_client',
  unsupported_grant_type: 'unauthorized_client',
  invalid_request: 'subject_rejected',
  invalid_grant: 'subject_rejected',
  interaction_required: 'interaction_required',
  login_required: 'interaction_required',
  consent_required: 'interaction_required',
  temporarily_unavailable: 'sts_unavailable',
  server_error: 'sts_unavailable',
  // RFC 9449 section 5: the service wants a key-bound token, which is not asked for yet
  invalid_dpop_proof: 'invalid_request_configuration',
  use_dpop_nonce: 'invalid_request_configuration',
};

export const BY_STATUS: Readonly<Record<number, TokenExchangeErrorCode>> = {
  401: 'invalid_client',
  403: 'unauthorized_client',
  404: 'invalid_request_configuration',
  405: 'invalid_request_configuration',
};

/** For services that refuse a resource or ignore it: the answer is compared with the audience, sent or not. */
export function audienceOnly({ audience, resource }: PreparedTarget): string | undefined {
  if (audience.length === 0) return 'this token service needs an audience; a resource does not limit it';
  return resource.length > 0 ? 'this token service takes no resource; name the audience alone' : undefined;
}

const OF_A_PERSON = /token|assertion|session|user|account/i;
const OF_A_SETTING = /dpop|type|request|actor|missing|param|support|audience|scope|resource|client|consent|grant/i;

/** RFC 8693 section 2.2.2 has one code for a bad subject token and for every other mistake of a request. */
const isOfPerson = (description: string | undefined) =>
  description === undefined || (OF_A_PERSON.test(description) && !OF_A_SETTING.test(description));

export function standardCode({ kind, status, error, description }: ServiceFailure): TokenExchangeErrorCode {
  if (error === 'invalid_request' && !isOfPerson(description)) return 'invalid_request_configuration';
  const code = (error === undefined ? undefined : BY_ERROR[error]) ?? BY_STATUS[status] ?? 'untrusted_response';
  return code === 'subject_rejected' && kind === 'workload' ? 'invalid_request_configuration' : code;
}
