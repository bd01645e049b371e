import type { SecretReference, TokenServiceSpec } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import type { ClientConfig } from '@onbehalf/token-exchange';
import type { Stored } from '../store/index.ts';
import type { CredentialSource } from '../vault/index.ts';
import { LoginError } from './error.ts';
import type { LoginIssuer } from './types.ts';

/** How a client is configured, and how it proves itself (RFC 6749 section 2.3): the same as at token services. */
export interface ClientPorts<C extends { id: string } = ClientConfig> {
  clientConfigOf(
    client: NonNullable<TokenServiceSpec['client']>,
    how: {
      keyId: string;
      open(ref: SecretReference, endpoint?: string): Promise<SecretValue>;
      broken(why: string): Error;
    },
  ): C;
  authenticateClient(
    client: C,
    at: { readonly issuer: string; readonly endpoint: string },
    form: URLSearchParams,
    headers: Headers,
    signal: AbortSignal,
  ): Promise<unknown>;
}

/**
 * What a TrustedIssuer says of sign-in there. The credential is opened for each use, for the endpoint that it goes to: a
 * Secret's `hosts` must name that.
 */
export function loginIssuerOf(
  { spec, metadata, writer }: Stored<'TrustedIssuer'>,
  { credentials, clientConfigOf, authenticateClient }: ClientPorts & { credentials: CredentialSource },
): LoginIssuer | undefined {
  const { login, issuer } = spec;
  if (login === undefined || spec.legacyHs256) return undefined;
  const use = { kind: 'TrustedIssuer', uid: metadata.uid, ...(writer && { writer }) };
  const client = clientConfigOf(login.client, {
    keyId: `${metadata.generation}`,
    open: (ref, endpoint = issuer) =>
      credentials.open(ref, { ...use, origin: new URL(endpoint).origin }).then(({ value }) => value),
    broken: (why) => new LoginError('login_unavailable', `the sign-in of ${metadata.name} ${why}`),
  });
  return {
    name: metadata.name,
    issuer,
    clientId: client.id,
    async authenticate(endpoint, form, headers, signal) {
      await authenticateClient(client, { issuer, endpoint }, form, headers, signal);
    },
    scopes: login.scopes ?? ['openid', 'profile', 'email'],
    resource: login.resource ?? [],
    audience: login.audience ?? [],
  };
}
