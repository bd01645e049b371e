import { type Call, contextOf } from './call.ts';
import { actorChain } from './claims.ts';
import type { TokenExchangeError } from './errors.ts';
import type { ExchangedToken, ExchangeOutcome } from './types.ts';

/** What the hooks hear: of a token, or of the error that came instead of one. */
export function outcomeOf(
  call: Call,
  tokenService: string,
  result: ExchangeOutcome['result'],
  ms: number,
  token: ExchangedToken | undefined,
  error?: TokenExchangeError,
): ExchangeOutcome {
  const { audience, resource, scopes: scope } = call.target;
  const claims = (token ?? error)?.claims;
  return {
    ...contextOf(call, tokenService),
    result,
    requested: { audience, resource, scope },
    granted: (token ?? claims) && { audience: claims?.aud ?? [], scope: (token ?? claims)?.scope, claims },
    actors: actorChain(claims?.act),
    verification: token?.verification,
    code: error?.code,
    message: error?.message,
    serviceError: error?.serviceError,
    ms,
    expiresAt: token?.expiresAt,
    jti: claims?.jti,
    hash: (token ?? error)?.hash,
  };
}
