import type { PrincipalLookup } from '@onbehalf/access';
import {
  type Configuration,
  errors,
  type FindAccount,
  interactionPolicy,
  type KoaContextWithOIDC,
  Provider,
} from 'oidc-provider';
import { hashOf } from '../people/index.ts';
import type { Store } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';
import { adapterFactory } from './adapter.ts';
import { CLI, CONSOLE, doorAudiences } from './doors.ts';
import { ALG, type SigningKeys } from './keys.ts';
import { errorPage, logoutPage, signedOutPage } from './pages/pages.ts';

/** Seconds. */
export const ACCESS_TOKEN_LIFE = 600;
const DAY = 86_400;

export interface ProviderOptions {
  issuer: string;
  cookiePrefix: string;
  secureCookies: boolean;
  store: Store;
  vault: Vault;
  keys: SigningKeys;
  principals: PrincipalLookup;
  now: () => number;
  /** A grant has ended: what carries its `sid` is worth nothing any more. */
  onRevoked(sid: string): Promise<void>;
  onError(error: unknown): void;
}

/** A login: what belongs to one grant carries this `sid`. */
export const sidOf = (grantId: string): string => hashOf(`sid ${grantId}`).slice(0, 22);

/** oidc-provider takes its keys when it is built, so another one is built when they change; the rows are shared. */
export function createProvider(o: ProviderOptions): () => Provider {
  let built: { keys: string; provider: Provider } | undefined;
  return () => {
    const { keys, id } = o.keys.privateJwks();
    if (built?.keys === id) return built.provider;
    const provider = new Provider(o.issuer, { ...configuration(o), jwks: { keys } });
    provider.proxy = o.secureCookies;
    // What fails is told through `server_error`; Koa would print it.
    provider.silent = true;
    provider.on('server_error', (_ctx, error) => o.onError(error));
    provider.on('grant.revoked', (_ctx, grantId) => o.onRevoked(sidOf(grantId)).catch(o.onError));
    built = { keys: id, provider };
    return provider;
  };
}

function configuration(o: ProviderOptions): Configuration {
  const { issuer, cookiePrefix, secureCookies, vault, principals } = o;
  const audiences: readonly string[] = Object.values(doorAudiences(issuer));
  const host = secureCookies ? '__Host-' : '';
  const secure = secureCookies ? '__Secure-' : '';
  const short = { httpOnly: true, sameSite: 'lax' } as const;
  return {
    adapter: adapterFactory(o),
    clients: clients(issuer),
    clientDefaults: { id_token_signed_response_alg: ALG, grant_types: ['authorization_code', 'refresh_token'] },
    clientAuthMethods: ['none'],
    responseTypes: ['code'],
    scopes: ['openid', 'offline_access', 'profile', 'email'],
    claims: { openid: ['sub'], profile: ['name'], email: ['email'], acr: null, sid: null, auth_time: null, iss: null },
    pkce: { required: () => true },
    cookies: {
      names: {
        session: `${host}${cookiePrefix}_op`,
        interaction: `${secure}${cookiePrefix}_sign_in`,
        resume: `${secure}${cookiePrefix}_resume`,
      },
      keys: [vault.derive('oidc-cookies').toString('base64url')],
      long: short,
      short,
    },
    routes: { authorization: '/oidc/auth', end_session: '/oidc/session/end', token: '/sts/token', jwks: '/jwks' },
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      userinfo: { enabled: false },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => render(ctx, logoutPage(form)),
        postLogoutSuccessSource: (ctx) => render(ctx, signedOutPage()),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_ctx, _client, oneOf) => oneOf?.[0] ?? `${issuer}/api`,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) => {
          if (!audiences.includes(resource)) throw new errors.InvalidTarget('the resource is none of this server');
          return {
            scope: '',
            audience: resource,
            accessTokenFormat: 'jwt',
            accessTokenTTL: ACCESS_TOKEN_LIFE,
            jwt: { sign: { alg: ALG } },
          };
        },
      },
    },
    extraTokenClaims: (ctx, token) => ({
      sub_id: { format: 'iss_sub', iss: issuer, sub: 'accountId' in token ? token.accountId : token.clientId },
      ...('grantId' in token && token.grantId !== undefined && { sid: sidOf(token.grantId) }),
      ...authentication(ctx),
    }),
    interactions: {
      policy: policy(),
      url: (_ctx, { uid, prompt }) => `/login/${prompt.name === 'consent' ? 'confirm' : 'sign-in'}/${uid}`,
    },
    findAccount: findAccount(issuer, principals),
    // First-party clients ask for no scopes; a grant of its own for each login, so that each ends alone.
    loadExistingGrant: async (ctx) => {
      const { client, session, params, result } = ctx.oidc;
      if (client === undefined || session?.accountId === undefined) return undefined;
      if (client.applicationType === 'native' && result?.consent === undefined) return undefined;
      const grant = new ctx.oidc.provider.Grant({ accountId: session.accountId, clientId: client.clientId });
      grant.addOIDCScope(String(params?.scope ?? 'openid'));
      await grant.save();
      return grant;
    },
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: () => true,
    expiresWithSession: async () => false,
    renderError: (ctx, out) => render(ctx, errorPage(out.error_description ?? out.error)),
    ttl: {
      AccessToken: ACCESS_TOKEN_LIFE,
      AuthorizationCode: 60,
      IdToken: ACCESS_TOKEN_LIFE,
      Interaction: 3_600,
      RefreshToken: 7 * DAY,
      Grant: 30 * DAY,
      Session: DAY / 2,
    },
  };
}

function clients(issuer: string) {
  const common = {
    token_endpoint_auth_method: 'none',
    response_types: ['code'],
    response_modes: ['query'],
    scope: 'openid offline_access profile email',
  } as const;
  return [
    {
      ...common,
      client_id: CONSOLE,
      redirect_uris: [`${issuer}/login/callback`],
      post_logout_redirect_uris: [`${issuer}/ui/`],
    },
    {
      ...common,
      client_id: CLI,
      application_type: 'native' as const,
      // Whatever the port (RFC 8252 section 7.3). Not `[::1]`: no `form-action` can name it (CSP level 3, host-source).
      redirect_uris: ['http://127.0.0.1/callback'],
    },
  ];
}

/**
 * Signing in is asked for, also of whoever was disabled, or had to sign in anew, since the session began; and of the
 * command line, each time, that its person confirms it (RFC 8252 section 8.6): nobody knows which program listens there.
 */
function policy() {
  const prompts = interactionPolicy.base();
  const consent = prompts.get('consent');
  const native = consent?.checks.get('native_client_prompt');
  if (consent === undefined || native === undefined)
    throw new TypeError('oidc-provider has no prompt for native clients');
  consent.checks.clear();
  consent.checks.add(native);
  const gone = (ctx: KoaContextWithOIDC) => ctx.oidc.session?.accountId !== undefined && ctx.oidc.account === undefined;
  prompts
    .get('login')
    ?.checks.add(new interactionPolicy.Check('account_gone', 'End-User authentication is required', gone));
  return prompts;
}

function findAccount(issuer: string, principals: PrincipalLookup): FindAccount {
  return (ctx, sub, token) => {
    const record = principals.lookup(issuer, sub);
    if (record === undefined || record.disabled) return undefined;
    const since = token === undefined ? ctx.oidc.session?.loginTs : token.iat;
    if (since !== undefined && since < (record.notBefore ?? 0)) return undefined;
    return {
      accountId: sub,
      claims: () => ({
        sub,
        ...(record.name !== undefined && { name: record.name }),
        ...(record.email !== undefined && { email: record.email }),
      }),
    };
  };
}

function authentication(ctx: KoaContextWithOIDC | undefined) {
  const { AuthorizationCode: code, RefreshToken: refresh } = ctx?.oidc.entities ?? {};
  const authTime = code?.authTime ?? refresh?.authTime;
  const amr = code?.amr ?? refresh?.amr;
  return { ...(authTime !== undefined && { auth_time: authTime }), ...(amr !== undefined && { amr }) };
}

function render(ctx: KoaContextWithOIDC, html: string): void {
  ctx.type = 'html';
  ctx.body = html;
}
