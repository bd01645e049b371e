import {
  ALGORITHM_CHECKS,
  type Check,
  IDENTITY_CHECKS,
  isIdentifier,
  isTime,
  lacks,
  leewayOf,
  stringList,
  TIME_CHECKS,
  typeOf,
} from './checks.ts';
import { subjectOf } from './identity.ts';
import { isObject, type JsonObject } from './json.ts';
import type { IssuerConfig } from './types.ts';

/** The checks of a kind of token that opens no door. */
export interface TokenKind {
  /** The signature. */
  before: readonly Check[];
  after: readonly Check[];
}

/** What ended at an issuer. Without a `sid`: every login of the subject. */
export interface LogoutToken {
  issuer: string;
  subject?: string;
  sid?: string;
  jti: string;
  /** Milliseconds since the epoch: until then the `jti` must be remembered. */
  expiresAt: number;
}

const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';
/** Seconds. An old logout token is a found one. */
const LOGOUT_LIFE = 600;

/** OpenID Connect Core 1.0 section 3.1.3.7 point 3 to 5: for the client of our sign-in, and for no other. */
const FOR_THE_LOGIN_CLIENT: Check = {
  name: 'audience_is_the_login_client',
  code: 'audience_mismatch',
  says: 'the token is for another client',
  passes: ({ payload, issuer: { loginClientId } }) => {
    const audience = stringList(payload.aud) ?? [];
    if (loginClientId === undefined || !audience.includes(loginClientId)) return false;
    return audience.length === 1
      ? [undefined, loginClientId].some((own) => own === payload.azp)
      : payload.azp === loginClientId;
  },
};

const typed = (kind: string, headers: readonly string[], payloads: readonly string[]): Check => ({
  name: `type_of_${kind}`,
  code: 'type_refused',
  says: 'the token is of another type',
  passes: ({ header, payload }) =>
    headers.includes(typeOf(header)) &&
    (payload.typ === undefined || payloads.includes(String(payload.typ).toLowerCase())),
});

/** What the issuer's configuration says of an ID token, whenever it is asked. */
export const ID_TOKEN_CLAIMS: readonly Check[] = [FOR_THE_LOGIN_CLIENT, ...IDENTITY_CHECKS];

export const idToken = (nonce: string | undefined): TokenKind => ({
  before: [...ALGORITHM_CHECKS, typed('id_token', ['', 'jwt'], ['id'])],
  after: [
    ...ID_TOKEN_CLAIMS,
    ...TIME_CHECKS,
    {
      name: 'no_event',
      code: 'type_refused',
      says: 'the token is of another type',
      passes: ({ payload }) => lacks(payload, ['events', 'act']),
    },
    {
      // Section 3.1.2.1: the answer belongs to the request that this browser made.
      name: 'nonce',
      code: 'claims_invalid',
      says: 'the token answers another sign-in',
      passes: ({ payload }) => nonce === undefined || payload.nonce === nonce,
    },
  ],
});

/** OpenID Connect Back-Channel Logout 1.0 sections 2.4 and 2.6. */
export const LOGOUT_TOKEN: TokenKind = {
  before: [...ALGORITHM_CHECKS, typed('logout_token', ['logout+jwt', 'jwt', ''], ['logout'])],
  after: [
    FOR_THE_LOGIN_CLIENT,
    ...TIME_CHECKS,
    {
      name: 'recent',
      code: 'token_expired',
      says: 'the logout is too old',
      passes: ({ payload, issuer, now }) => isTime(payload.iat) && now - payload.iat < LOGOUT_LIFE + leewayOf(issuer),
    },
    {
      name: 'logout_event',
      code: 'claims_invalid',
      says: 'the token names no logout',
      passes: ({ payload }) => isObject(payload.events) && isObject(payload.events[LOGOUT_EVENT]),
    },
    {
      // An ID token must never pass for a logout.
      name: 'no_nonce',
      code: 'claims_invalid',
      says: 'a logout has no nonce',
      passes: ({ payload }) => lacks(payload, ['nonce']),
    },
    {
      name: 'names_what_ends',
      code: 'claims_invalid',
      says: 'the token names no jti, or neither sid nor sub',
      passes: ({ payload: { jti, sid, sub } }) =>
        isIdentifier(jti) &&
        [sid, sub].every((value) => value === undefined || isIdentifier(value)) &&
        (sid ?? sub) !== undefined,
    },
    {
      // Without a session the subject must be the one that we know people by.
      name: 'subject_is_known',
      code: 'subject_invalid',
      says: 'the token names neither a session nor the claims that are the subject',
      passes: ({ payload, issuer }) => payload.sid !== undefined || hasSubject(payload, issuer),
    },
  ],
};

export function logoutOf(payload: JsonObject, issuer: IssuerConfig): LogoutToken {
  return {
    issuer: String(payload.iss),
    jti: String(payload.jti),
    // Whatever end it gives itself: after the first of both it is refused without its `jti`.
    expiresAt: (Math.min(Number(payload.exp), Number(payload.iat) + LOGOUT_LIFE) + leewayOf(issuer)) * 1000,
    ...(typeof payload.sid === 'string' && { sid: payload.sid }),
    ...(hasSubject(payload, issuer) && { subject: subjectOf(payload, issuer) }),
  };
}

function hasSubject(payload: JsonObject, { subjectClaims }: IssuerConfig): boolean {
  return subjectClaims.every((name) => isIdentifier(payload[name]));
}
