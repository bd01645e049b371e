import { Buffer } from 'node:buffer';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { SecretValue } from '@onbehalf/secret-value';
import { type Facts, isTime, LIFETIME_CHECKS, pass, TIME_CHECKS } from './checks.ts';
import { AccessError } from './errors.ts';
import { type Identity, roleOf } from './identity.ts';
import { isPublishedSecret } from './published-secrets.ts';
import { type IssuerConfig, isRole, type LegacyHs256, type SharedSecret } from './types.ts';

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
 * The issuer whose shared secret signed the token. Each has a secret of its own; of two with one, the first.
 * @throws {AccessError} `algorithm_refused`, `issuer_misconfigured`, `keys_unavailable`, `signature_invalid`
 */
export async function signerOf(compact: string, issuers: readonly IssuerConfig[]): Promise<IssuerConfig> {
  let refusal = new AccessError('algorithm_refused', 'the algorithm is not one of any issuer');
  for (const issuer of issuers) {
    const { legacyHs256: legacy } = issuer;
    if (legacy === undefined) continue;
    try {
      if (await isSigned(compact, legacy)) return issuer;
      refusal = new AccessError('signature_invalid', 'the signature does not match');
    } catch (error) {
      if (!(error instanceof AccessError)) throw error;
      if (refusal.code !== 'signature_invalid') refusal = error;
    }
  }
  throw refusal;
}

/**
 * The compatibility mode for front ends that already issue HS256 tokens with the claims `sub` (a display name),
 * `userId`, `email`, `role` and `exp`. Identity is (`legacy:NAME`, userId). The signature was looked at by `signerOf`.
 * @throws {AccessError}
 */
export function readLegacy(facts: Facts, legacy: LegacyHs256, tokenHash: string): Identity {
  const { payload, issuer } = facts;
  // A token with an issuer or an audience was made for somebody who checks them.
  if ('iss' in payload || 'aud' in payload) throw new AccessError('claims_invalid', 'a token with iss or aud');
  if ('cnf' in payload) throw new AccessError('sender_constrained', 'the token is bound to a key');
  if ('act' in payload) throw new AccessError('claims_invalid', 'a token with act');
  pass([...TIME_CHECKS, ...LIFETIME_CHECKS], facts);
  const { exp, iat, userId, sub, email, role, jti } = payload;
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
        expiresAt: Number(exp) * 1000,
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

async function isSigned(compact: string, legacy: LegacyHs256): Promise<boolean> {
  const shared = [legacy.secret, ...(legacy.previousSecret === undefined ? [] : [legacy.previousSecret])];
  const secrets = await Promise.all(shared.map(readSecret));
  return secrets.some((secret) => {
    const value = secret.reveal();
    return matches(compact, legacy.lowercaseSecret ? value.toLowerCase() : value);
  });
}

const problems = new WeakMap<SecretValue, string | false>();

/** @throws {AccessError} for one that cannot be had or must not be used */
async function readSecret(shared: SharedSecret): Promise<SecretValue> {
  const secret = shared instanceof SecretValue ? shared : await shared().catch(() => undefined);
  if (secret === undefined) throw new AccessError('keys_unavailable', 'the shared secret cannot be had');
  let problem = problems.get(secret);
  if (problem === undefined) {
    problem = secretProblem(secret) ?? false;
    problems.set(secret, problem);
  }
  if (problem !== false) throw new AccessError('issuer_misconfigured', 'the issuer cannot be used');
  return secret;
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
