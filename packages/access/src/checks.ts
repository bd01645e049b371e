import { AccessError, type AccessErrorCode } from './errors.ts';
import { isObject, type JsonObject } from './json.ts';
import { isAsymmetric } from './keys.ts';
import type { Door, IssuerConfig } from './types.ts';

/** Everything a check may look at. Times in seconds. */
export interface Facts {
  header: JsonObject;
  payload: JsonObject;
  issuer: IssuerConfig;
  door: Door;
  now: number;
}

export interface Check {
  name: string;
  code: AccessErrorCode;
  /** Shown to the caller. */
  says: string;
  passes(facts: Facts): boolean;
}

/** Of the header alone, before the payload is believed to be anybody's. */
export const HEADER_CHECKS: readonly Check[] = [
  {
    // RFC 7515 section 4.1.11: what is critical and not understood is refused, and nothing is understood.
    // RFC 7797 section 6 (b64), RFC 7516 (enc, zip): other serialisations of something else.
    name: 'no_extensions',
    code: 'header_refused',
    says: 'a header extension is not supported',
    passes: ({ header }) => lacks(header, ['crit', 'b64', 'zip', 'enc']),
  },
  {
    // RFC 8725 section 3.10: keys come from the issuer's configuration, never from the token.
    name: 'no_keys_in_header',
    code: 'header_refused',
    says: 'the header brings a key',
    passes: ({ header }) => lacks(header, ['jwk', 'jku', 'x5u', 'x5c']),
  },
  {
    name: 'header_types',
    code: 'header_refused',
    says: 'a header member has the wrong type',
    passes: ({ header }) =>
      typeof header.alg === 'string' && ['kid', 'typ', 'cty'].every((name) => isStringOrAbsent(header[name])),
  },
];

export const ALGORITHM_CHECKS: readonly Check[] = [
  {
    // RFC 8725 section 3.1: the list is the configuration's. Case counts; `none` and HS* are in no list.
    name: 'algorithm_listed',
    code: 'algorithm_refused',
    says: 'the algorithm is not one of the issuer',
    passes: ({ header, issuer }) => {
      const alg = String(header.alg);
      return isAsymmetric(alg) && issuer.algorithms.includes(alg);
    },
  },
];

/** Of the token against its issuer, before the signature: they cost less than one. */
export const ISSUER_CHECKS: readonly Check[] = [
  ...ALGORITHM_CHECKS,
  {
    // RFC 8725 section 3.11, RFC 9068 section 4.
    name: 'type_listed',
    code: 'type_refused',
    says: 'the token type is not one of the issuer',
    passes: ({ header, issuer }) => (issuer.typ ?? ['at+jwt']).map(mediaType).includes(typeOf(header)),
  },
];

/** RFC 7519 section 4.1.3. */
const AUDIENCE_CHECKS: readonly Check[] = [
  {
    // This door's audience must be among the token's.
    name: 'audience_of_this_door',
    code: 'audience_mismatch',
    says: 'the token is for another audience',
    passes: ({ payload, issuer, door }) => {
      const audience = stringList(payload.aud);
      return audience !== undefined && (issuer.audiences[door] ?? []).some((own) => audience.includes(own));
    },
  },
];

/** Of any token that an issuer signs. */
export const TIME_CHECKS: readonly Check[] = [
  {
    name: 'times_are_numbers',
    code: 'claims_invalid',
    says: 'a time claim is missing or not a date',
    passes: ({ payload }) =>
      isTime(payload.exp) && ['nbf', 'iat', 'auth_time'].every((name) => isTimeOrAbsent(payload[name])),
  },
  {
    // RFC 7519 section 4.1.4.
    name: 'not_expired',
    code: 'token_expired',
    says: 'the token has expired',
    passes: ({ payload, issuer, now }) => now < Number(payload.exp) + leewayOf(issuer),
  },
  {
    // RFC 7519 sections 4.1.5 and 4.1.6.
    name: 'not_from_the_future',
    code: 'token_not_yet_valid',
    says: 'the token is not valid yet',
    passes: ({ payload, issuer, now }) =>
      [payload.nbf, payload.iat].every((time) => time === undefined || Number(time) <= now + leewayOf(issuer)),
  },
];

/** A denial is kept for as long as a token may live, so one of which that is not known is not admitted. */
export const LIFETIME_CHECKS: readonly Check[] = [
  {
    name: 'issued_at',
    code: 'claim_missing',
    says: 'the token does not say when it was issued, and its issuer may grant a certain lifetime only',
    passes: ({ payload, issuer }) => issuer.maxLifetime === undefined || isTime(payload.iat),
  },
  {
    name: 'lifetime',
    code: 'lifetime_too_long',
    says: 'the token lives longer than its issuer may grant',
    passes: ({ payload, issuer }) =>
      issuer.maxLifetime === undefined || Number(payload.exp) - Number(payload.iat) <= issuer.maxLifetime,
  },
];

/** Who it is about. */
export const IDENTITY_CHECKS: readonly Check[] = [
  {
    // RFC 9068 section 2.2.
    name: 'subject',
    code: 'subject_invalid',
    says: 'the subject is not a non-empty string',
    passes: ({ payload, issuer }) =>
      isIdentifier(payload.sub) && issuer.subjectClaims.every((name) => isIdentifier(payload[name])),
  },
  {
    name: 'string_claims',
    code: 'claims_invalid',
    says: 'a claim has the wrong type',
    passes: ({ payload }) =>
      ['jti', 'sid', 'azp', 'client_id'].every((name) => isStringOrAbsent(payload[name])) &&
      // RFC 8693 section 4.2 has one string; several issuers write a list, as others do in `scp`.
      (payload.scope === undefined || stringList(payload.scope) !== undefined) &&
      (payload.act === undefined || isActor(payload.act)),
  },
  {
    name: 'tenant',
    code: 'tenant_refused',
    says: 'the tenant is not one of the issuer',
    passes: ({ payload, issuer }) =>
      issuer.tenants === undefined || issuer.tenants.some((tenant) => tenant === payload.tid),
  },
];

const ACCESS_TOKEN_CHECKS: readonly Check[] = [
  {
    name: 'required_claims',
    code: 'claim_missing',
    says: 'a required claim is missing or has another value',
    passes: ({ payload, issuer: { requiredClaims = [] } }) =>
      Array.isArray(requiredClaims)
        ? requiredClaims.every((name) => Object.hasOwn(payload, name))
        : Object.entries(requiredClaims).every(([name, value]) => isEqual(payload[name], value)),
  },
  {
    // OpenID Connect Core sections 2 and 3.1.3.6, Back-Channel Logout section 2.4, RFC 8417: where other types than
    // at+jwt are admitted, what an ID, refresh, logout or event token carries tells them apart.
    name: 'no_other_token_kind',
    code: 'not_an_access_token',
    says: 'not an access token',
    passes: ({ header, payload }) =>
      !isRelaxed(header) ||
      (lacks(payload, ['nonce', 'at_hash', 'c_hash', 's_hash', 'events']) &&
        !['id', 'refresh', 'offline', 'logout'].includes(String(payload.typ).toLowerCase())),
  },
  {
    name: 'marked_as_access_token',
    code: 'not_an_access_token',
    says: 'not an access token',
    passes: ({ header, payload, issuer }) =>
      !isRelaxed(header) || hasScope(payload) || Object.keys(issuer.requiredClaims ?? {}).length > 0,
  },
  {
    // The audience of an ID token is the client that signs in; it cannot also be what names our API.
    name: 'audience_is_not_the_login_client',
    code: 'not_an_access_token',
    says: 'not an access token',
    passes: ({ header, payload, issuer }) =>
      !isRelaxed(header) ||
      issuer.loginClientId === undefined ||
      stringList(payload.aud)?.includes(issuer.loginClientId) !== true,
  },
  {
    // RFC 7800 section 3: a bound token without its proof is somebody else's.
    name: 'not_sender_constrained',
    code: 'sender_constrained',
    says: 'the token is bound to a key whose proof is not accepted here',
    passes: ({ payload }) => lacks(payload, ['cnf']),
  },
];

/** Of the claims, after the signature. */
export const CLAIM_CHECKS: readonly Check[] = [
  ...AUDIENCE_CHECKS,
  ...TIME_CHECKS,
  ...LIFETIME_CHECKS,
  ...IDENTITY_CHECKS,
  ...ACCESS_TOKEN_CHECKS,
];

/** @throws {AccessError} of the first that fails */
export function pass(checks: readonly Check[], facts: Facts): void {
  const failed = checks.find((check) => !check.passes(facts));
  if (failed !== undefined) throw new AccessError(failed.code, failed.says);
}

export function leewayOf(issuer: IssuerConfig): number {
  return issuer.leeway ?? 30;
}

/** A string, or an array of strings; anything else is undefined. */
export function stringList(value: unknown): readonly string[] | undefined {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
}

/** Non-empty, printable, and short enough for a row and a header. */
export function isIdentifier(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 1024 && !/[\u0000-\u001f\u007f]/.test(value);
}

/** Seconds between 1970 and the year 9999. */
export function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 253_402_300_799;
}

function isTimeOrAbsent(value: unknown): boolean {
  return value === undefined || isTime(value);
}

function isStringOrAbsent(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}

function isActor(value: unknown): boolean {
  return isObject(value) && isIdentifier(value.sub) && (value.act === undefined || isActor(value.act));
}

export function lacks(object: JsonObject, names: readonly string[]): boolean {
  return !names.some((name) => Object.hasOwn(object, name));
}

function hasScope(payload: JsonObject): boolean {
  return [payload.scope, payload.scp].some((value) => stringList(value)?.some((scope) => scope !== '') === true);
}

/** Whether the token is of another type than RFC 9068's, which no ID token can have. */
function isRelaxed(header: JsonObject): boolean {
  return typeOf(header) !== 'at+jwt';
}

export function typeOf(header: JsonObject): string {
  return mediaType(String(header.typ ?? ''));
}

/** RFC 7515 section 4.1.9: `application/` is left out, and media types know no case. */
function mediaType(typ: string): string {
  return typ.toLowerCase().replace(/^application\//, '');
}

function isEqual(actual: unknown, expected: unknown): boolean {
  return expected !== undefined && JSON.stringify(actual) === JSON.stringify(expected);
}
