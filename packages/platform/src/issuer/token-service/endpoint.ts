import { addressKey } from '../../limits/index.ts';
import type { CountedRefusals } from '../counted-refusals.ts';
import type { TokenServiceCounts } from '../types.ts';
import { json, pathOf, type WireRequest, type WireResponse } from '../wire.ts';
import { authenticateClient, type ClientAuthOptions } from './client-auth.ts';
import { errorAnswer, orSlower, TokenError } from './errors.ts';
import { type ExchangeOptions, exchange } from './exchange.ts';
import { type Form, parseForm, required } from './form.ts';
import { type IntrospectionOptions, introspect, revoke } from './introspection.ts';
import { recordRefusal, type Trail } from './issue.ts';
import { workload } from './workload.ts';

export const GRANTS = {
  exchange: 'urn:ietf:params:oauth:grant-type:token-exchange',
  jwtBearer: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
  clientCredentials: 'client_credentials',
} as const;

export const DELEGATED = ['authorization_code', 'refresh_token'] as const;

export interface TokenServiceOptions extends ExchangeOptions, IntrospectionOptions {
  clients: ClientAuthOptions['find'];
  refusals: Pick<CountedRefusals, 'count'>;
  /** The grants of a login are oidc-provider's; it gets the same bytes. */
  login(request: WireRequest, form: Form): Promise<WireResponse>;
  onError(error: unknown): void;
}

export interface TokenService {
  /** Undefined where the path is none of ours. */
  respond(request: WireRequest): Promise<WireResponse> | undefined;
  counts(): TokenServiceCounts;
}

/** The token, introspection (RFC 7662) and revocation (RFC 7009) endpoints. */
export function createTokenService(o: TokenServiceOptions): TokenService {
  const counts: TokenServiceCounts = { exchanges: 0, delegations: 0, workloads: 0, refused: 0 };
  const authentication = { issuer: o.issuer, find: o.clients, now: o.now };

  async function grant(form: Form, request: WireRequest, trail: Trail): Promise<WireResponse> {
    const type = required(form, 'grant_type');
    trail.grant = type;
    if (DELEGATED.some((delegated) => delegated === type)) return o.login(request, form);
    if (!Object.values<string>(GRANTS).includes(type))
      throw new TokenError('unsupported_grant_type', 'grant_known', 'the grant type is not supported');
    const { client, used } = await authenticateClient(form, request.headers.authorization, authentication);
    trail.client = client.id;
    trail.used.push(...used);
    switch (type) {
      case GRANTS.exchange: {
        if (form.has('delegate')) counts.delegations += 1;
        else counts.exchanges += 1;
        return json(200, await exchange(form, client, trail, o));
      }
      default: {
        counts.workloads += 1;
        const kind = type === GRANTS.jwtBearer ? 'jwt-bearer' : 'client_credentials';
        return json(200, await workload(form, kind, client, trail, o));
      }
    }
  }

  /** Of refusals alone: however many there were, a request that is right is answered. */
  function overBudget(address: string | undefined, client = ''): TokenError | undefined {
    if (address === undefined) return undefined;
    const from = addressKey(address);
    try {
      o.limits.take('tokenRefusals', from);
      o.limits.take('tokenRefusalsOfClient', `${from}\n${client}`);
      return undefined;
    } catch (error) {
      const slower = orSlower(error);
      if (slower instanceof TokenError) return slower;
      throw error;
    }
  }

  async function guarded(request: WireRequest, trail: Trail, run: (form: Form) => Promise<WireResponse>) {
    try {
      return await run(parseForm(request));
    } catch (error) {
      counts.refused += 1;
      const known = error instanceof TokenError ? error : undefined;
      if (known === undefined) o.onError(error);
      const refusal = known ?? new TokenError('server_error', 'failure', 'the token service failed');
      trail.used = known?.check === 'assertion_once' ? [] : trail.used;
      const beyond = overBudget(request.address, trail.client);
      // A flood of bad requests must not fill the audit: beyond the budget it is counted, not written.
      if (beyond === undefined) await recordRefusal(o, refusal, trail, request.address).catch(o.onError);
      else if (request.address !== undefined) o.refusals.count(request.address);
      return errorAnswer(beyond ?? refusal, request.headers.authorization !== undefined);
    }
  }

  return {
    respond(request) {
      const trail: Trail = { grant: '', used: [] };
      switch (pathOf(request.url)) {
        case '/sts/token':
          return guarded(request, trail, (form) => grant(form, request, trail));
        case '/sts/introspect':
          trail.grant = 'introspection';
          return guarded(request, trail, async (form) => {
            const { client, used } = await authenticateClient(form, request.headers.authorization, authentication);
            trail.client = client.id;
            return introspect(form, client, used, o);
          });
        case '/sts/revoke':
          trail.grant = 'revocation';
          return guarded(request, trail, (form) => revoke(form, request.headers.authorization, authentication, o));
        default:
          return undefined;
      }
    },
    counts: () => ({ ...counts }),
  };
}
