import type { SecretValue } from '@onbehalf/secret-value';
import { compactVerify, createRemoteJWKSet, customFetch, errors, type RemoteJWKSet } from 'jose';
import { readClaims } from './claims.ts';
import { TokenExchangeError, untrusted } from './errors.ts';
import { readText } from './transport.ts';
import type { TokenClaims } from './types.ts';

/** Asymmetric only: a symmetric key would be one that both sides can sign with (RFC 8725 section 3.1). */
const ALGORITHMS = [
  'EdDSA',
  'Ed25519',
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
];

export type Inspect = (token: SecretValue, jwksUri: string, typ: readonly string[] | undefined) => Promise<TokenClaims>;

/** Three parts mean a JWT, and one that does not verify is never treated as an opaque token instead. */
export function isJwt(token: SecretValue): boolean {
  return token.reveal().split('.').length === 3;
}

/**
 * Verifies signatures with the service's keys. An unknown `kid` fetches them again, at once: a rotated key signs from
 * that moment on. Only an answer of the service itself gets here, so nobody else can cause these requests, and those
 * that come together share one.
 */
export function createInspector(fetcher: typeof fetch, timeout: number): Inspect {
  const sets = new Map<string, RemoteJWKSet>();
  return async (token, jwksUri, typ) => {
    let keys = sets.get(jwksUri);
    if (keys === undefined) {
      keys = createRemoteJWKSet(new URL(jwksUri), {
        timeoutDuration: timeout,
        cooldownDuration: 0,
        [customFetch]: (url, init) => boundedFetch(fetcher, url, init),
      });
      sets.set(jwksUri, keys);
    }
    const { payload, protectedHeader } = await verified(token, keys);
    if (typ !== undefined && !typ.includes(String(protectedHeader.typ).toLowerCase())) {
      throw untrusted('the token service issued a token of another kind', { deviation: 'typ' });
    }
    return readClaims(payload);
  };
}

async function verified(token: SecretValue, keys: RemoteJWKSet) {
  try {
    const { payload, protectedHeader } = await compactVerify(token.reveal(), keys, { algorithms: ALGORITHMS });
    const parsed: unknown = JSON.parse(new TextDecoder().decode(payload));
    if (typeof parsed !== 'object' || parsed === null) throw new TypeError('not an object');
    return { payload: parsed as Record<string, unknown>, protectedHeader };
  } catch (error) {
    if (error instanceof KeysUnreachable || error instanceof errors.JWKSTimeout) {
      throw new TokenExchangeError('sts_unavailable', 'the keys of the token service cannot be fetched');
    }
    throw untrusted('the token service issued a token whose signature does not verify', { deviation: 'signature' });
  }
}

class KeysUnreachable extends Error {}

async function boundedFetch(fetcher: typeof fetch, url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  let text: string;
  try {
    response = await fetcher(url, init);
    text = await readText(response);
  } catch {
    throw new KeysUnreachable();
  }
  if (response.status >= 500) throw new KeysUnreachable();
  return new Response(text, { status: response.status === 200 ? 200 : 404 });
}
