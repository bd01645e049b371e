import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';

export interface Keys {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

export async function makeKeys(kid: string, alg = 'ES256'): Promise<Keys> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

export function signWith(keys: Keys, claims: JWTPayload, typ: string, kid = keys.kid): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: keys.alg, kid, typ }).sign(keys.privateKey);
}
