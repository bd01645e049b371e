import { SecretValue } from '@onbehalf/secret-value';
import type { CryptoKey } from 'jose';
import { ClientSecretPost, PrivateKeyJwt as signingClient } from 'oauth4webapi';
import { misconfigured } from './errors.ts';
import type { ClientConfig, PrivateKeyJwt } from './types.ts';

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/**
 * Adds the client's credential to a request, anew for each try: an assertion is good once (RFC 7523 section 3). Returns
 * what must not be echoed in an error.
 * @param client who asks
 * @param at the issuer, which is the audience of an assertion, and the address that the request goes to
 * @param body receives what goes into the form
 * @param headers receives what goes into the header
 * @param signal ends the wait for a credential
 */
export async function authenticateClient(
  client: ClientConfig,
  at: { readonly issuer: string; readonly endpoint: string },
  body: URLSearchParams,
  headers: Headers,
  signal: AbortSignal,
): Promise<SecretValue[]> {
  const server = { issuer: at.issuer };
  const self = { client_id: client.id };
  switch (client.auth) {
    case 'SecretBasic':
    case 'SecretPost': {
      const secret = typeof client.secret === 'function' ? await client.secret(at.endpoint) : client.secret;
      if (client.auth === 'SecretBasic') headers.set('authorization', basic(client.id, secret));
      else await ClientSecretPost(secret.reveal())(server, self, body, headers);
      return [secret];
    }
    case 'PrivateKeyJwt':
    case 'WorkloadToken': {
      const assertion =
        client.auth === 'PrivateKeyJwt' ? await client.sign(at.issuer, signal) : await client.assertion(signal);
      body.set('client_id', client.id);
      body.set('client_assertion_type', ASSERTION_TYPE);
      body.set('client_assertion', assertion.reveal());
      return [assertion];
    }
  }
}

/** RFC 6749 section 2.3.1 and appendix B. A hyphen stays: not every service decodes. */
function basic(id: string, secret: SecretValue): string {
  const pair = new TextEncoder().encode(`${formEncoded(id)}:${formEncoded(secret.reveal())}`);
  return `Basic ${btoa(String.fromCharCode(...pair))}`;
}

const formEncoded = (value: string): string => new URLSearchParams([['', value]]).toString().slice(1);

/**
 * `private_key_jwt` (RFC 7523 section 2.2) with a key of WebCrypto. `keyId` is also the `kid` in the assertion.
 * @param options `id`: the client id; `key`: private, for signing; `keyId`: another one after each rotation
 */
export function privateKeyJwt(options: { id: string; key: CryptoKey; keyId: string }): PrivateKeyJwt {
  if (!(options.key instanceof CryptoKey) || options.key.type !== 'private') {
    throw misconfigured('privateKeyJwt needs a private CryptoKey, such as importPKCS8() or importJWK() of jose gives');
  }
  const sign = signingClient({ key: options.key, kid: options.keyId });
  return {
    auth: 'PrivateKeyJwt',
    id: options.id,
    keyId: options.keyId,
    async sign(audience) {
      const body = new URLSearchParams();
      await sign({ issuer: audience }, { client_id: options.id }, body, new Headers());
      return SecretValue.of(body.get('client_assertion') ?? '');
    },
  };
}
