import type { SecretValue } from '@onbehalf/secret-value';
import type { TlsSettings } from '../egress/index.ts';
import type { SecretRef } from './credential.ts';

/**
 * The `tls` block of a resource, opened for one request: whom to trust (`caRef`), and as whom to appear
 * (`clientCertRef`: PEM, the certificate and its private key in one). A rotated one counts from the next request on.
 */
export async function openTls(
  block: { caRef?: SecretRef; clientCertRef?: SecretRef } | undefined,
  open: (ref: SecretRef) => Promise<SecretValue>,
): Promise<TlsSettings | undefined> {
  if (block?.caRef === undefined && block?.clientCertRef === undefined) return undefined;
  const { caRef, clientCertRef } = block;
  const ca = caRef && (await open(caRef)).reveal();
  const identity = clientCertRef && (await open(clientCertRef)).reveal();
  return { ...(ca !== undefined && { ca }), ...(identity !== undefined && { identity }) };
}
