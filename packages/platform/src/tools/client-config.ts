import type { TokenServiceSpec } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import { type ClientConfig, privateKeyJwt } from '@onbehalf/token-exchange';
import { importJWK, type JWK } from 'jose';
import type { SecretRef } from '../vault/index.ts';

/** The `client` block of a TokenService, or of a sign-in at a TrustedIssuer. */
export type ClientSpec = NonNullable<TokenServiceSpec['client']>;

/** `endpoint`: where the value is about to be sent; a private key is sent nowhere. */
export type OpenReference = (ref: SecretRef, endpoint?: string) => Promise<SecretValue>;

/** What the block says, with its credential opened for each use: a rotated one counts from the next request on. */
export function clientConfigOf(
  client: ClientSpec,
  { keyId, open, broken }: { keyId: string; open: OpenReference; broken: (why: string) => Error },
): ClientConfig {
  const opened = async (ref: SecretRef | undefined, endpoint?: string) => {
    if (ref === undefined) throw broken('has no credential');
    return open(ref, endpoint);
  };
  switch (client.auth) {
    case 'SecretBasic':
    case 'SecretPost':
      return { auth: client.auth, id: client.id, keyId, secret: (endpoint) => opened(client.secretRef, endpoint) };
    case 'PrivateKeyJwt':
      return {
        auth: 'PrivateKeyJwt',
        id: client.id,
        keyId,
        sign: async (audience) => {
          const key = await importJWK(JSON.parse((await opened(client.keyRef)).reveal()) as JWK);
          if (!(key instanceof CryptoKey)) throw broken('needs an asymmetric key');
          return privateKeyJwt({ id: client.id, keyId, key }).sign(audience);
        },
      };
    case 'WorkloadToken':
      return { auth: 'WorkloadToken', id: client.id, keyId, assertion: () => opened({ file: client.tokenFile ?? '' }) };
  }
}
