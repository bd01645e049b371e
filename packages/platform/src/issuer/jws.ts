import {
  constants,
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt, decodeProtectedHeader, type JSONWebKeySet, type JWK, type JWTPayload } from 'jose';

/**
 * Signatures with keys that were imported once. Every exchange makes one and looks at several: node:crypto does each in
 * one call, where an import, a thread and back cost more than the signature itself.
 */

type Prepared = Parameters<typeof verify>[2];

/**
 * RFC 7518 section 3.4: R and S side by side, not in DER. Said by the key itself: for a pair of key and options node:crypto
 * spends a seventh of the time of a signature on finding out that the pair is no key.
 */
const joseForm = (key: KeyObject): KeyObject =>
  key.asymmetricKeyType === 'ec' ? Object.assign(key, { dsaEncoding: 'ieee-p1363' }) : key;

/** RFC 7518 section 3 and RFC 8037 section 3.1: how node:crypto is told each algorithm, and which keys it takes. */
const ALGORITHMS: Readonly<
  Record<string, { digest: string | null; fits(key: KeyObject): boolean; options?: Record<string, unknown> }>
> = {
  ES256: { digest: 'sha256', fits: (key) => key.asymmetricKeyDetails?.namedCurve === 'prime256v1' },
  EdDSA: { digest: null, fits: isEd25519 },
  Ed25519: { digest: null, fits: isEd25519 },
  PS256: {
    digest: 'sha256',
    fits: isStrongRsa,
    options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
  },
  RS256: { digest: 'sha256', fits: isStrongRsa },
};

function isEd25519({ asymmetricKeyType }: KeyObject): boolean {
  return asymmetricKeyType === 'ed25519';
}

/** Section 3.3: 2048 bits or more. */
function isStrongRsa({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  return asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= 2_048;
}

/** A signer of one key: ES256. The header of each `typ` is written once. */
export function signer(jwk: JWK, kid: string): (typ: string, payload: JWTPayload) => SecretValue {
  const key = joseForm(createPrivateKey({ key: jwk as JsonWebKey, format: 'jwk' }));
  const headers = new Map<string, string>();
  return (typ, payload) => {
    const header = headers.get(typ) ?? encode({ alg: 'ES256', kid, typ });
    headers.set(typ, header);
    const input = `${header}.${encode(payload)}`;
    const signature = sign('sha256', Buffer.from(input), key);
    return SecretValue.of(`${input}.${signature.toString('base64url')}`);
  };
}

/** A public key of a set. */
export interface PublicKey {
  kid: string | undefined;
  key: KeyObject;
  /** The algorithms that it may be used with: those of its type and strength, or of these the one that it names. */
  algorithms: readonly string[];
}

/** Those that can be read; a set that is the same object is read once. */
export function publicKeysOf(jwks: JSONWebKeySet): readonly PublicKey[] {
  const known = sets.get(jwks);
  if (known !== undefined) return known;
  const keys = jwks.keys.flatMap((jwk) => {
    try {
      const { kid, alg } = jwk;
      const key = joseForm(createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }));
      const fit = Object.keys(ALGORITHMS).filter((name) => ALGORITHMS[name]?.fits(key));
      return [{ kid, key, algorithms: fit.filter((name) => alg === undefined || alg === name) }];
    } catch {
      return [];
    }
  });
  sets.set(jwks, keys);
  return keys;
}
const sets = new WeakMap<JSONWebKeySet, readonly PublicKey[]>();

export interface Signed {
  /** `typ` of the header as it stands there (RFC 7515 section 4.1.9). */
  typ: string | undefined;
  payload: JWTPayload;
}

/**
 * What the signature is over, if one of these algorithms and exactly one of these keys made it. Nothing is said of its
 * claims. Throws where it did not.
 */
export function openJws(token: string, keys: readonly PublicKey[], algorithms: readonly string[]): Signed {
  const { alg = '', kid, typ, crit, b64 } = decodeProtectedHeader(token) as Record<string, unknown> & { alg?: string };
  const how = algorithms.includes(alg) && Object.hasOwn(ALGORITHMS, alg) ? ALGORITHMS[alg] : undefined;
  // RFC 7515 section 4.1.11, RFC 7797 section 3: there is no extension that we understand.
  if (how === undefined || crit !== undefined || b64 !== undefined)
    throw new TypeError('the algorithm is not one of these');
  const fit = keys.filter((known) => (kid === undefined || known.kid === kid) && known.algorithms.includes(alg));
  const [first] = fit;
  if (first === undefined || fit.length > 1) throw new TypeError('no key of these, or more than one');
  const dot = token.lastIndexOf('.');
  const signature = Buffer.from(token.slice(dot + 1), 'base64url');
  // One value has one spelling, so that a hash names one token.
  const spelled = signature.toString('base64url') === token.slice(dot + 1);
  const prepared = how.options === undefined ? first.key : ({ key: first.key, ...how.options } as Prepared);
  if (!spelled || !verify(how.digest, Buffer.from(token.slice(0, dot)), prepared, signature))
    throw new TypeError('the signature does not match');
  return { typ: typeof typ === 'string' ? typ : undefined, payload: decodeJwt(token) };
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
