import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';

/** A key pair for signing. */
export interface Keys {
  /** `kid` of the header. */
  readonly kid: string;
  /** JWS algorithm, such as `ES256`. */
  readonly alg: string;
  /** Of WebCrypto, extractable. */
  readonly privateKey: CryptoKey;
  /** As a JWKS lists it. */
  readonly publicJwk: JWK;
}

/**
 * A new pair.
 * @param kid its name
 * @param alg JWS algorithm; default `ES256`
 */
export async function makeKeys(kid: string, alg = 'ES256'): Promise<Keys> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

/**
 * A token whose header and payload are exactly these texts, for what no library would write.
 * @param keys ES256
 * @param header JSON
 * @param payload JSON
 */
export async function signText(keys: Keys, header: string, payload: string): Promise<string> {
  const input = [header, payload].map((text) => Buffer.from(text).toString('base64url')).join('.');
  const algorithm = { name: 'ECDSA', hash: 'SHA-256' };
  const signature = await crypto.subtle.sign(algorithm, keys.privateKey, Buffer.from(input));
  return `${input}.${Buffer.from(signature).toString('base64url')}`;
}

export function signWith(keys: Keys, claims: JWTPayload, typ: string, kid = keys.kid): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: keys.alg, kid, typ }).sign(keys.privateKey);
}
