import type { SecretValue } from '@onbehalf/secret-value';
import { type CompactJWSHeaderParameters, type CryptoKey, compactVerify, type FlattenedJWSInput } from 'jose';

/** What a signature check found. */
export interface VerifiedJws {
  /** As it was signed, decoded from base64url. */
  readonly payload: Uint8Array;
  /** The protected header (RFC 7515 section 4). */
  readonly protectedHeader: Readonly<Record<string, unknown>>;
}

/**
 * The public key for a token, of the service's key set; rejects with an error of `jose` where there is none.
 *
 * @param header - The protected header; `alg` and `kid` choose the key.
 * @param token - The whole token, in its parts.
 */
export type JwsKeys = (header: CompactJWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>;

/** How signatures are checked and hashes made. The default is WebCrypto; `nodeCrypto` of `./node` is faster there. */
export interface ExchangeCrypto {
  /**
   * Rejects whatever is not signed by a key of the set with one of the algorithms (RFC 7515 section 5.2).
   *
   * @param jws - Compact serialisation.
   * @param keys - Where the keys are.
   * @param algorithms - All that are allowed, none of them symmetric.
   */
  verify(jws: string, keys: JwsKeys, algorithms: readonly string[]): Promise<VerifiedJws>;
  /**
   * SHA-256 of the UTF-8 value, base64url without padding.
   *
   * @param token - What is hashed.
   */
  sha256(token: SecretValue): string | Promise<string>;
}

/** Runs everywhere. Imported keys are kept by `jose`. */
export const webCrypto: ExchangeCrypto = {
  verify: (jws, keys, algorithms) => compactVerify(jws, keys, { algorithms: [...algorithms] }),
  sha256: (token) => token.sha256(),
};
