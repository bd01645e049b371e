import type { SecretValue } from '@onbehalf/secret-value';
import { base64url, createRemoteJWKSet, customFetch, errors, type RemoteJWKSet } from 'jose';
import { readClaims } from './claims.ts';
import type { ExchangeCrypto } from './crypto.ts';
import { TokenExchangeError, untrusted } from './errors.ts';
import { objectOf, parseStrict } from './json.ts';
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

export type Inspect = (token: SecretValue, jwksUri: string, typ: readonly string[]) => Promise<TokenClaims>;

/** Three parts mean a JWT, and one that does not verify is never treated as an opaque token instead. */
export function isJwt(token: SecretValue): boolean {
  return token.reveal().split('.').length === 3;
}

/** Milliseconds in which a service that signs with keys it does not publish makes this many requests at most. */
const LOOKUP_WINDOW = 30_000;
const LOOKUPS = 3;

/**
 * Verifies signatures with the service's keys. An unknown `kid` fetches them again at once, because a rotated key may
 * sign from the moment it exists, but only a few times in 30 s.
 */
export function createInspector(
  fetcher: typeof fetch,
  timeout: number,
  monotonic: () => number,
  verify: ExchangeCrypto['verify'],
): Inspect {
  const sets = new Map<string, ServiceKeys>();
  return async (token, jwksUri, typ) => {
    let keys = sets.get(jwksUri);
    if (keys === undefined) {
      keys = new ServiceKeys(fetcher, jwksUri, timeout, monotonic, verify);
      sets.set(jwksUri, keys);
    }
    const { payload, header } = await keys.verify(token);
    if (!typ.includes(mediaType(header.typ))) {
      throw untrusted('the token service issued a token of another kind', { deviation: 'typ' });
    }
    return readClaims(payload);
  };
}

/** RFC 7515 section 4.1.9: `application/` is left out, and media types know no case. Empty where there is none. */
function mediaType(typ: unknown): string {
  return String(typ ?? '')
    .toLowerCase()
    .replace(/^application\//, '');
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** RFC 8725 section 2.4: of two members of one name, the tool server may go by the other one. */
function readObject(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value = objectOf(parseStrict(utf8.decode(bytes)));
    if (value !== undefined) return value;
  } catch {
    // refused below
  }
  throw untrusted('the token service issued a token that is no JSON of distinct names', { deviation: 'json' });
}

class ServiceKeys {
  readonly #set: RemoteJWKSet;
  readonly #monotonic: () => number;
  readonly #verify: ExchangeCrypto['verify'];
  #lookups: readonly number[] = [];
  #header: { readonly part: string; readonly value: Record<string, unknown> } | undefined;

  constructor(
    fetcher: typeof fetch,
    uri: string,
    timeout: number,
    monotonic: () => number,
    verify: ExchangeCrypto['verify'],
  ) {
    this.#verify = verify;
    this.#set = createRemoteJWKSet(new URL(uri), {
      timeoutDuration: timeout,
      cooldownDuration: LOOKUP_WINDOW,
      [customFetch]: (url, init) => boundedFetch(fetcher, url, init),
    });
    this.#monotonic = monotonic;
  }

  async verify(token: SecretValue) {
    const payload = await this.#verified(token);
    const [part = ''] = token.reveal().split('.', 1);
    if (this.#header?.part !== part) this.#header = { part, value: readObject(base64url.decode(part)) };
    return { payload: readObject(payload), header: this.#header.value };
  }

  async #verified(token: SecretValue): Promise<Uint8Array> {
    try {
      return (await this.#signed(token)).payload;
    } catch (error) {
      if (error instanceof KeysUnreachable || error instanceof errors.JWKSTimeout) {
        throw new TokenExchangeError('sts_unavailable', 'the keys of the token service cannot be fetched');
      }
      throw untrusted('the token service issued a token whose signature does not verify', { deviation: 'signature' });
    }
  }

  async #signed(token: SecretValue) {
    const attempt = () => this.#verify(token.reveal(), this.#set, ALGORITHMS);
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !this.#mayLookAgain()) throw error;
      await this.#set.reload();
      return attempt();
    }
  }

  #mayLookAgain(): boolean {
    // A fetch that is under way is shared, and costs nothing.
    if (this.#set.reloading) return true;
    const now = this.#monotonic();
    const recent = this.#lookups.filter((time) => now - time < LOOKUP_WINDOW);
    if (recent.length >= LOOKUPS) return false;
    this.#lookups = [...recent, now];
    return true;
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
