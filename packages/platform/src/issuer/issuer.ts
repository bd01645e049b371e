import type { IncomingMessage, ServerResponse } from 'node:http';
import { createVerifier, type IssuerConfig } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import { BACKCHANNEL, createBackchannelLogout } from '../login/backchannel-logout.ts';
import { createLogins } from '../login/logins.ts';
import { createNativeLogins } from '../login/native-logins.ts';
import { ownLogin } from '../login/own-login.ts';
import { createLoginSessions } from '../login/sessions.ts';
import { loginSources } from '../login/sources.ts';
import { subjectOfBearer, subjectOfLegacy } from '../login/subjects.ts';
import { keepHouse } from '../people/housekeeping.ts';
import { followPrincipals } from '../people/principals.ts';
import { createTickets } from '../people/tickets.ts';
import { createUsers, localAdmin } from '../people/users.ts';
import { createClients } from './clients.ts';
import { doorAudiences, ownIssuerConfig } from './doors.ts';
import { KEY_LIFE, openSigningKeys } from './keys.ts';
import { metadata } from './metadata.ts';
import { createLoginLinks } from './pages/link.ts';
import { createSignIn } from './pages/sign-in.ts';
import { openPlatform } from './platform-client.ts';
import { CLI, CONSOLE, createProvider } from './provider.ts';
import { createRevocation } from './revocation.ts';
import { createRoutes } from './routes.ts';
import { createTokenService } from './token-service/endpoint.ts';
import { createLimits } from './token-service/limits.ts';
import { registeredAt } from './token-service/targets.ts';
import type { Identity, IdentityOptions } from './types.ts';
import { json, localFetch, runHandler, type WireRequest, type WireResponse } from './wire.ts';

/** @throws VaultError, StoreError when what is stored cannot be opened */
export async function createIdentity(options: IdentityOptions): Promise<Identity> {
  const {
    publicUrl: issuer,
    store,
    vault,
    audit,
    registry,
    egress,
    now = Date.now,
    onError = () => undefined,
  } = options;
  const secureCookies = options.secureCookies ?? new URL(issuer).protocol === 'https:';
  const cookiePrefix = `onbehalf_${options.installation.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 12)}`;
  const trusted = (): readonly IssuerConfig[] =>
    (options.trustedIssuers?.() ?? []).filter((config) => config.issuer !== issuer);
  const shared = { issuer, store, vault, audit, registry, now, onError, cookiePrefix, secureCookies };

  const principals = await followPrincipals(store);
  const keys = await openSigningKeys(shared);
  const config = ownIssuerConfig(issuer, keys);
  const own = createVerifier({ issuers: () => [config], principals, now });
  const audiences = [issuer];
  const others = createVerifier({
    issuers: subjectIssuers(trusted, audiences),
    fetch: egress.fetch as typeof globalThis.fetch,
    principals,
    now,
  });
  const foreign = (token: SecretValue, clientId: string) => {
    if (!audiences.includes(clientId)) audiences.push(clientId);
    return others.verify(token, 'api');
  };
  const doors = createVerifier({
    issuers: () => [config, ...trusted()],
    fetch: egress.fetch as typeof globalThis.fetch,
    principals,
    now,
  });
  const provider = createProvider({ ...shared, keys, principals, onRevoked: (sid) => revocation.deny('sid', sid) });
  const revocation = createRevocation({ ...shared, principals, provider });
  const users = createUsers({ ...shared, principals });

  const fetch = localFetch(issuer, async (request) => respond(request));
  const { client, platform } = await openPlatform({ ...shared, keys, fetch });
  const clients = createClients({ ...shared, builtIn: client });
  const { admits } = createLimits(now);
  const tokenService = createTokenService({
    ...shared,
    ...{ keys, principals, own, foreign, trusted, admits, clients: clients.find },
    authorizeTarget: options.authorizeTarget,
    targets: registeredAt(issuer, registry),
    doors: doorAudiences(issuer),
    deny: revocation.deny,
    isPublicClient: (id) => id === CONSOLE || id === CLI,
    revokeRefreshToken: async (token, id) => (await revocation.endLogin(token, id)).ended,
    login: (request) =>
      runHandler(provider().callback(), { ...request, headers: { ...request.headers, ...forwarded } }),
  });
  const { host, protocol } = new URL(issuer);
  const forwarded = { host, 'x-forwarded-proto': protocol.slice(0, -1) };
  const about = metadata(issuer);

  /** The endpoints that programs use, over a socket or in process. */
  function respond(request: WireRequest): Promise<WireResponse> | WireResponse | undefined {
    const get = request.method === 'GET' || request.method === 'HEAD';
    switch (request.url) {
      case '/jwks':
        return get ? json(200, keys.jwks(), { 'cache-control': 'public, max-age=30' }) : undefined;
      case '/.well-known/openid-configuration':
      case '/.well-known/oauth-authorization-server':
        return get ? json(200, about, { 'cache-control': 'public, max-age=300' }) : undefined;
      case '/login/cli/token':
      case '/login/cli/revoke':
        return native.respond(request);
      default:
        return BACKCHANNEL.test(request.url) ? backchannelLogout(request) : tokenService.respond(request);
    }
  }

  const links = createLoginLinks({ ...shared, provider, principals });
  const sources = loginSources({
    ...{ publicUrl: issuer, egress, now, verifier: doors },
    own: ownLogin({
      ...{ issuer, verifier: own, fetch, now },
      endLogin: (token) => revocation.endConsoleLogin(token, CONSOLE),
    }),
    hasPeople: () => principals.has(issuer),
    others: options.loginIssuers ?? (() => []),
  });
  const logins = createLogins({ ...shared, sources });
  const native = createNativeLogins({ ...shared, logins });
  const sessions = createLoginSessions({ ...shared, sources, logins, native });
  const backchannelLogout = createBackchannelLogout({
    ...shared,
    verifier: doors,
    issuer: (name) => trusted().find((known) => known.name === name && known.loginClientId !== undefined),
  });
  const tickets = createTickets({ ...shared, principals, session: sessions.byHash });
  const routes = createRoutes({
    issuer,
    respond,
    forwarded,
    provider,
    links,
    signIn: createSignIn({ ...shared, provider, principals }),
    onError,
  });
  const house = keepHouse({
    ...shared,
    work: async () => {
      if (keys.youngest() + KEY_LIFE <= now()) await keys.rotate({ issuer: 'local', subject: 'platform' });
    },
  });

  return {
    issuer,
    handle: (request: IncomingMessage, response: ServerResponse) => routes(request, response),
    fetch,
    issuerConfig: () => config,
    verifier: doors,
    principals,
    platform,
    users,
    clients,
    loginLinks: { create: (subject, by = localAdmin) => links.create(subject, by) },
    sessions,
    tickets,
    subjectOfBearer: (principal, token) =>
      subjectOfBearer(principal, token, { now, verify: (presented) => doors.verify(presented, 'api') }),
    subjectOfLegacy: (principal) =>
      subjectOfLegacy(principal, { ...shared, keys, trusted: options.trustedIssuers ?? (() => []) }),
    noteSeen: users.noteSeen,
    counts: tokenService.counts,
    rotateKeys: (by = localAdmin) => keys.rotate(by),
    async close() {
      house.close();
      own.close();
      doors.close();
      others.close();
      keys.close();
      principals.close();
    },
  };
}

/** The same issuers, for tokens that are meant for this service or one of its clients. One object for each. */
function subjectIssuers(trusted: () => readonly IssuerConfig[], audiences: readonly string[]) {
  const made = new WeakMap<IssuerConfig, IssuerConfig>();
  return (): readonly IssuerConfig[] =>
    trusted().flatMap((config) => {
      if (config.issuer === '') return [];
      const known = made.get(config) ?? { ...config, audiences: { api: audiences } };
      made.set(config, known);
      return [known];
    });
}
