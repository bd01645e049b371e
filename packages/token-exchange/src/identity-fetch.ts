import { missingScopes } from './challenge.ts';
import { misconfigured, TokenExchangeError } from './errors.ts';
import { isToolCall, isWithin, type Outgoing, readOutgoing } from './outgoing.ts';
import type { ActorSource, AgentRef, ExchangedToken, SubjectSource, Target, TokenExchange } from './types.ts';

type Fetch = typeof globalThis.fetch;

/** For whom, through whom and for which tool server requests are made. */
export interface IdentityFetchOptions {
  /** The client of the token service. */
  readonly exchange: TokenExchange;
  /** `url` is required: it bounds where the token goes. */
  readonly target: Target;
  /** Asked for each `tools/call`: a target with the scopes of that tool; `target` where it gives none. */
  readonly callTarget?: () => Target | undefined;
  /** Whose token is exchanged; `agent` or `platform` attach a token that stands for no person, to every request. */
  readonly subject: SubjectSource | 'agent' | 'platform';
  /** As in `TokenRequest`. */
  readonly session?: string;
  /** As in `TokenRequest`. */
  readonly actor?: ActorSource;
  /** As in `TokenRequest`; required with the subject `agent`. */
  readonly agent?: AgentRef;
  /** Ends every wait for a token, beside the request's own. */
  readonly signal?: AbortSignal;
  /** Asked for each token, handed on to the hooks. */
  readonly context?: () => Record<string, string>;
  /**
   * Each token before it is attached, so that it can be redacted from what comes back.
   * @param token as it is sent next
   */
  readonly onToken?: (token: ExchangedToken) => void;
}

const MAX_REDIRECTS = 3;

/**
 * Wraps a `fetch` so that requests within the target's URL carry the exchanged token. Nothing is exchanged before the
 * first `tools/call` or the first 401. Throws `TokenExchangeError` where there is no token to send, and where the tool
 * server refuses the one it got. What a 401 says about authorization servers is not followed.
 * @param options for whom, through whom, for which tool server
 */
export function createIdentityFetch(options: IdentityFetchOptions): (fetch: Fetch) => Fetch {
  const { target, subject } = options;
  if (target.url === undefined || !URL.canParse(target.url)) {
    throw misconfigured('the target has no URL to attach a token within');
  }
  options.exchange.checkTarget(target);
  const base = new URL(target.url);
  const steppedUp = new WeakMap<Target, Map<string, Target>>();
  let attach = typeof subject === 'string';

  const obtain = async (
    wanted: Target,
    rejected: ExchangedToken | undefined,
    own: AbortSignal | null | undefined,
  ): Promise<ExchangedToken> => {
    const { exchange, session, actor, agent, context } = options;
    const signal = own && options.signal ? AbortSignal.any([own, options.signal]) : (own ?? options.signal);
    const asking = {
      target: wanted,
      ...(signal && { signal }),
      ...(context && { context: context() }),
      ...(rejected && { refresh: true, rejected: rejected.hash }),
    };
    const token =
      typeof subject === 'string'
        ? await exchange.workloadToken({ ...asking, agent: subject === 'platform' ? subject : named(agent) })
        : await exchange.token({
            ...asking,
            subject,
            ...(session !== undefined && { session }),
            ...(actor && { actor }),
            ...(agent && { agent }),
          });
    options.onToken?.(token);
    return token;
  };

  /** With the scopes asked for; with all that are declared, where it is not said which. */
  const stepUp = (from: Target, scopes: readonly string[]): Target => {
    const declared = from.stepUpScopes ?? [];
    const asked = scopes.length > 0 ? scopes : declared;
    const missing = asked.filter((scope) => !from.scopes.includes(scope));
    if (missing.length === 0 || !missing.every((scope) => declared.includes(scope))) throw insufficient(scopes, 'asks');
    const name = [...missing].sort().join(' ');
    const known = steppedUp.get(from) ?? new Map<string, Target>();
    const wider = known.get(name) ?? { ...from, scopes: [...from.scopes, ...missing] };
    steppedUp.set(from, known.set(name, wider));
    return wider;
  };

  return (fetch) => async (input, init) => {
    const request = await readOutgoing(input, init);
    if (!isWithin(base, request.url)) return fetch(request.url, { ...request.init, headers: request.headers });
    const isCall = isToolCall(request);
    const own = (isCall ? options.callTarget?.() : undefined) ?? target;
    let wanted = own;
    let token = attach || isCall ? await obtain(wanted, undefined, request.init.signal) : undefined;
    let renewed = false;
    for (;;) {
      const response = await dispatch(fetch, base, request, token);
      if (token !== undefined) attach = true;
      if (response.status === 401) {
        await discard(response);
        if (renewed || request.once) throw unauthorized();
        const next: ExchangedToken = await obtain(wanted, token, request.init.signal);
        if (next.hash === token?.hash) throw unauthorized();
        renewed = token !== undefined;
        token = next;
        continue;
      }
      const scopes = token && missingScopes(response, token.value);
      if (scopes === undefined) return response;
      await discard(response);
      if (wanted !== own || request.once) throw insufficient(scopes, 'still asks');
      wanted = stepUp(own, scopes);
      token = await obtain(wanted, undefined, request.init.signal);
    }
  };
}

/** Follows a redirect only within the target's URL, and only where method and body stay as they are. */
async function dispatch(
  fetch: Fetch,
  base: URL,
  request: Outgoing,
  token: ExchangedToken | undefined,
): Promise<Response> {
  const headers = new Headers(request.headers);
  if (token !== undefined) headers.set('authorization', `Bearer ${token.value.reveal()}`);
  let { url } = request;
  for (let hops = 0; ; hops += 1) {
    const response = await fetch(url, { ...request.init, headers, redirect: 'manual' });
    const location = response.headers.get('location');
    const keeps = response.status === 307 || response.status === 308;
    if (!keeps || location === null || request.once || hops === MAX_REDIRECTS || !URL.canParse(location, url.href)) {
      return response;
    }
    const next = new URL(location, url);
    if (!isWithin(base, next)) return response;
    await discard(response);
    url = next;
  }
}

async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {});
}

function named(agent: AgentRef | undefined): AgentRef {
  if (agent === undefined) throw misconfigured('a token of an agent needs the agent');
  return agent;
}

function unauthorized(): TokenExchangeError {
  return new TokenExchangeError('target_unauthorized', 'the tool server refuses the token that was made for it');
}

function insufficient(scopes: readonly string[], asks: 'asks' | 'still asks'): TokenExchangeError {
  const which = scopes.length > 0 ? `scope ${JSON.stringify(scopes.join(' '))}` : 'more scope, and does not say which';
  return new TokenExchangeError('insufficient_scope', `the tool server ${asks} for ${which}`, { scopes });
}
