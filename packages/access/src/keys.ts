import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { isObject } from './json.ts';
import type { JsonWebKeySet } from './types.ts';

export interface VerificationKey {
  kid: string | undefined;
  alg: string | undefined;
  key: KeyObject;
}

export interface KeySet {
  keys: readonly VerificationKey[];
  /** Changes exactly when the keys do. */
  id: string;
}

/** RFC 7518 section 3.1 and RFC 8037: what each algorithm needs. Symmetric algorithms and `none` have no row. */
const FITS: Readonly<Record<string, (key: KeyObject) => boolean>> = {
  RS256: isRsa,
  RS384: isRsa,
  RS512: isRsa,
  PS256: isRsa,
  PS384: isRsa,
  PS512: isRsa,
  ES256: (key) => curveOf(key) === 'prime256v1',
  ES384: (key) => curveOf(key) === 'secp384r1',
  ES512: (key) => curveOf(key) === 'secp521r1',
  EdDSA: (key) => key.asymmetricKeyType === 'ed25519',
  Ed25519: (key) => key.asymmetricKeyType === 'ed25519',
};

export function isAsymmetric(alg: string): boolean {
  return Object.hasOwn(FITS, alg);
}

const MAX_KEYS = 100;

/** The usable keys of a set. One that is weak, symmetric, private or not for signatures is left out; the others serve. */
export function loadKeys(jwks: JsonWebKeySet): KeySet {
  const keys = jwks.keys.slice(0, MAX_KEYS).flatMap((jwk) => loadKey(jwk) ?? []);
  const id = keys.map(({ kid, alg, key }) => JSON.stringify([kid, alg, key.export({ format: 'jwk' })])).join('\n');
  return { keys, id };
}

/** The one key for (kid, alg). Without `kid` (RFC 7515 section 4.1.4) only where a single key fits. */
export function selectKey(set: KeySet, kid: string | undefined, alg: string): VerificationKey | undefined {
  const fit = set.keys.filter(
    (key) =>
      (kid === undefined || key.kid === kid) && (key.alg === undefined || key.alg === alg) && FITS[alg]?.(key.key),
  );
  return fit.length === 1 ? fit[0] : undefined;
}

function loadKey(jwk: unknown): VerificationKey | undefined {
  if (!isObject(jwk)) return undefined;
  const { kid, alg, use, key_ops: operations, kty } = jwk;
  // RFC 7517 sections 4.2 and 4.3: a key for encryption, or for another operation, signs nothing here.
  if (use !== undefined && use !== 'sig') return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return undefined;
  // A private or symmetric key in a published set is everybody's.
  if (kty === 'oct' || 'd' in jwk) return undefined;
  if (kid !== undefined && typeof kid !== 'string') return undefined;
  if (alg !== undefined && (typeof alg !== 'string' || !isAsymmetric(alg))) return undefined;
  const key = importPublic(jwk);
  if (key === undefined || !isStrong(key)) return undefined;
  if (alg !== undefined && !FITS[alg]?.(key)) return undefined;
  return { kid, alg, key };
}

function importPublic(jwk: JsonWebKey): KeyObject | undefined {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    return undefined;
  }
}

/** RFC 7518 section 3.3: 2048 bits or more; and an exponent that is not a toy. */
function isStrong(key: KeyObject): boolean {
  if (!isRsa(key)) return ['ec', 'ed25519'].includes(key.asymmetricKeyType ?? '');
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  return modulusLength >= 2048 && publicExponent >= 65_537n;
}

function isRsa(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'rsa';
}

function curveOf(key: KeyObject): string | undefined {
  return key.asymmetricKeyType === 'ec' ? key.asymmetricKeyDetails?.namedCurve : undefined;
}
