/** Why a request did not leave, or why its answer was not read to the end. */
export type EgressErrorCode =
  | 'invalid_url'
  | 'scheme_forbidden'
  | 'credentials_in_url'
  | 'address_forbidden'
  | 'resolve_failed'
  | 'connect_failed'
  | 'redirect_refused'
  | 'too_large'
  | 'line_too_long'
  | 'encoding_refused'
  | 'deadline'
  | 'upstream_failed';

/** The message names the host and the reason, never a path, a query, a header or a byte of the answer. */
export class EgressError extends Error {
  override readonly name = 'EgressError';
  readonly code: EgressErrorCode;

  constructor(code: EgressErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Maps what undici and the sockets throw. Their errors are not kept as `cause`: undici's parser error holds bytes of
 * the answer, and a cause is what a logger prints.
 */
export function toEgressError(error: unknown, host: string): EgressError {
  if (error instanceof EgressError) return error;
  const code = errorCode(error);
  if (code === 'UND_ERR_BODY_TIMEOUT') return new EgressError('deadline', `${host}: nothing received within idleMs`);
  return new EgressError('upstream_failed', `${host}: ${code ?? 'the connection failed'}`);
}

export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
