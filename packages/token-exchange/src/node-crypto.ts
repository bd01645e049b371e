import { constants, createHash, KeyObject, verify } from 'node:crypto';
import type { CryptoKey } from 'jose';
import type { ExchangeCrypto } from './crypto.ts';

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } as const;

/** RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 9864. */
const ALGORITHMS: Readonly<Record<string, readonly [digest: string | undefined, options?: typeof PSS]>> = {
  ES256: ['sha256'],
  ES384: ['sha384'],
  ES512: ['sha512'],
  PS256: ['sha256', PSS],
  PS384: ['sha384', PSS],
  PS512: ['sha512', PSS],
  RS256: ['sha256'],
  RS384: ['sha384'],
  RS512: ['sha512'],
  EdDSA: [undefined],
  Ed25519: [undefined],
};

const prepared = new WeakMap<CryptoKey, KeyObject>();

/**
 * Checks signatures and makes hashes with `node:crypto`, in the same thread: each hand-over of WebCrypto to another one
 * costs about as much as a signature check itself. The rules are those of `jose` (RFC 7515 section 5.2).
 */
export const nodeCrypto: ExchangeCrypto = {
  async verify(jws, keys, algorithms) {
    const parts = jws.split('.');
    const [protectedPart = '', payload = '', signature = ''] = parts;
    if (parts.length !== 3 || !parts.every((part) => /^[\w-]+$/.test(part))) throw new TypeError('no compact JWS');
    const header = JSON.parse(Buffer.from(protectedPart, 'base64url').toString()) as Record<string, unknown>;
    const { alg } = header;
    if (typeof alg !== 'string' || !algorithms.includes(alg)) throw new TypeError('the algorithm is not allowed');
    // No extension is understood here, that of an unencoded payload (RFC 7797) included.
    if (header.crit !== undefined || header.b64 !== undefined) throw new TypeError('an extension is not understood');
    const found = Object.hasOwn(ALGORITHMS, alg) ? ALGORITHMS[alg] : undefined;
    if (found === undefined) throw new TypeError('the algorithm is not known');
    const [digest, options] = found;
    const key = keyObject(await keys({ ...header, alg }, { protected: protectedPart, payload, signature }));
    const signed = Buffer.from(`${protectedPart}.${payload}`, 'latin1');
    if (!verify(digest, signed, options ? { key, ...options } : key, Buffer.from(signature, 'base64url'))) {
      throw new TypeError('the signature does not verify');
    }
    return { payload: Buffer.from(payload, 'base64url'), protectedHeader: header };
  },
  sha256: (token) => createHash('sha256').update(token.reveal()).digest('base64url'),
};

/** RFC 7518 section 3.3: 2048 bits at least. */
function keyObject(key: CryptoKey): KeyObject {
  const known = prepared.get(key);
  if (known !== undefined) return known;
  if (key.type !== 'public') throw new TypeError('the key may not be used');
  const made = KeyObject.from(key);
  const { modulusLength = 2048 } = made.asymmetricKeyDetails ?? {};
  if (modulusLength < 2048) throw new TypeError('the key may not be used');
  // RFC 7518 section 3.4: R and S side by side, not in DER. Said by the key itself, which saves node:crypto from finding
  // out each time that a pair of key and options is no key: a seventh of the time of a signature.
  if (made.asymmetricKeyType === 'ec') Object.assign(made, { dsaEncoding: 'ieee-p1363' });
  prepared.set(key, made);
  return made;
}
