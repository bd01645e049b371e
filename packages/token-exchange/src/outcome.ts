import { type Call, contextOf } from './call.ts';
import { actorChain } from './claims.ts';
import { TokenExchangeError } from './errors.ts';
import type { ExchangedToken, ExchangeOutcome } from './types.ts';

/** What the hooks hear when there is a token. */
export function granted(
  call: Call,
  tokenService: string,
  token: ExchangedToken,
  result: 'exchanged' | 'cached' | 'joined',
  ms: number,
): ExchangeOutcome {
  const { claims } = token;
  return {
    ...contextOf(call, tokenService),
    result,
    requested: requested(call),
    granted: { audience: claims?.aud ?? [], scope: token.scope, claims },
    actors: actorChain(claims?.act),
    verification: token.verification,
    code: undefined,
    message: undefined,
    serviceError: undefined,
    ms,
    expiresAt: token.expiresAt,
    jti: claims?.jti,
    hash: token.hash,
  };
}

export function refused(call: Call, tokenService: string, error: unknown, ms: number): ExchangeOutcome {
  const known = error instanceof TokenExchangeError ? error : undefined;
  const claims = known?.claims;
  return {
    ...contextOf(call, tokenService),
    result: 'refused',
    requested: requested(call),
    granted: claims && { audience: claims.aud, scope: claims.scope, claims },
    actors: actorChain(claims?.act),
    verification: undefined,
    code: known?.code,
    message: known?.message,
    serviceError: known?.serviceError,
    ms,
    expiresAt: undefined,
    jti: claims?.jti,
    hash: known?.hash,
  };
}

function requested({ target }: Call): ExchangeOutcome['requested'] {
  return { audience: target.audience, resource: target.resource, scope: target.scopes };
}
