import { Buffer } from 'node:buffer';
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { SecretValue } from '@onbehalf/secret-value';
import { isTime, leewayOf } from './checks.ts';
import { AccessError } from './errors.ts';
import { type Identity, roleOf } from './identity.ts';
import type { ParsedToken } from './jws.ts';
import { isPublishedSecret } from './published-secrets.ts';
import { type IssuerConfig, isRole, type LegacyHs256 } from './types.ts';

/** RFC 7518 section 3.2: a key at least as long as the hash. */
const MIN_SECRET_BYTES = 32;

const PUBLIC_KEY = /^\s*(-----BEGIN|\{)/;

/** Why a shared secret may not be used, or undefined. Never the secret. */
export function secretProblem(secret: SecretValue): string | undefined {
  const value = secret.reveal();
  if (Buffer.byteLength(value) < MIN_SECRET_BYTES) return 'the shared secret is shorter than 32 bytes';
  if (PUBLIC_KEY.test(value)) return 'the shared secret is a public key';
  return isPublishedSecret(secret)
    ? 'the shared secret is a published default, or a pattern that can be guessed: make one with `openssl rand -base64 48`'
    : undefined;
}

/**
 * The compatibility mode for front ends that already issue HS256 tokens with the claims `sub` (a display name),
 * `userId`, `email`, `role` and `exp`. Identity is (`legacy:NAME`, userId).
 * @throws {AccessError}
 */
export function verifyLegacy(token: ParsedToken, issuer: IssuerConfig, now: number, tokenHash: string): Identity {
  const { legacyHs256: legacy } = issuer;
  const { header, payload } = token;
  if (legacy === undefined || header.alg !== 'HS256') {
    throw new AccessError('algorithm_refused', 'the algorithm is not one of the issuer');
  }
  if (!isSigned(token.compact, legacy)) throw new AccessError('signature_invalid', 'the signature does not match');
  // A token with an issuer or an audience was made for somebody who checks them.
  if ('iss' in payload || 'aud' in payload) throw new AccessError('claims_invalid', 'a token with iss or aud');
  if ('cnf' in payload) throw new AccessError('sender_constrained', 'the token is bound to a key');
  if ('act' in payload) throw new AccessError('claims_invalid', 'a token with act');
  const { exp, iat, nbf, userId, sub, email, role, jti } = payload;
  if (!isTime(exp) || [iat, nbf].some((time) => time !== undefined && !isTime(time))) {
    throw new AccessError('claims_invalid', 'a time claim is missing or not a date');
  }
  const leeway = leewayOf(issuer);
  if (now >= exp + leeway) throw new AccessError('token_expired', 'the token has expired');
  if ([iat, nbf].some((time) => isTime(time) && time > now + leeway)) {
    throw new AccessError('token_not_yet_valid', 'the token is not valid yet');
  }
  const subject = canonicalUserId(userId);
  if (subject === undefined) throw new AccessError('subject_invalid', 'userId is not a positive integer');
  const max = legacy.maxRole ?? 'REGULAR';
  return {
    principal: {
      issuer: legacyIssuer(issuer.name),
      subject,
      kind: 'person',
      ...(typeof sub === 'string' && sub !== '' ? { name: sub } : {}),
      ...(typeof email === 'string' && email !== '' ? { email } : {}),
      groups: [],
      groupsUnknown: true,
      delegated: false,
      credential: {
        kind: 'legacy',
        tokenHash,
        expiresAt: exp * 1000,
        ...(typeof jti === 'string' ? { jti } : {}),
      },
    },
    claimedRole: typeof role === 'string' ? legacyRole(role, issuer, max) : undefined,
    issuedAt: isTime(iat) ? iat : undefined,
  };
}

export function legacyIssuer(name: string): string {
  return `legacy:${name}`;
}

/** For diagnosis: whether a token that is refused would verify with the lower-cased secret. */
export function verifiesWithLowercasedSecret(token: SecretValue, secret: SecretValue): boolean {
  return matches(token.reveal(), secret.reveal().toLowerCase());
}

function legacyRole(role: string, issuer: IssuerConfig, maxRole: LegacyHs256['maxRole'] & string) {
  const roleMap = issuer.roleMap;
  const value = roleMap === undefined && isRole(role.toUpperCase()) ? role.toUpperCase() : role;
  return roleOf(value, roleMap === undefined ? { maxRole } : { roleMap, maxRole });
}

function isSigned(compact: string, legacy: LegacyHs256): boolean {
  const secrets = [legacy.secret, legacy.previousSecret].flatMap((secret) => secret ?? []);
  return secrets.some((secret) => {
    const value = secret.reveal();
    return matches(compact, legacy.lowercaseSecret ? value.toLowerCase() : value);
  });
}

/** RFC 7515 appendix A.1, compared in constant time. */
function matches(compact: string, secret: string): boolean {
  const end = compact.lastIndexOf('.');
  const expected = createHmac('sha256', secret).update(compact.slice(0, end)).digest();
  const actual = Buffer.from(compact.slice(end + 1), 'base64url');
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}

/** A positive integer, or its one decimal spelling: `7` and `'7'` are one person, `'07'` and `7.5` nobody. */
function canonicalUserId(value: unknown): string | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value > 0 ? String(value) : undefined;
  return typeof value === 'string' && /^[1-9]\d{0,19}$/.test(value) ? value : undefined;
}
