import { createVerifier, type IssuerConfig } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import { localAdmin } from '../people/index.ts';
import { createClients } from './clients.ts';
import { countedRefusals } from './counted-refusals.ts';
import { CLI, CONSOLE, doorAudiences, ownIssuerConfig } from './doors.ts';
import { KEY_LIFE, openSigningKeys } from './keys.ts';
import { metadata } from './metadata.ts';
import { createConfirm } from './pages/confirm.ts';
import { createLoginLinks } from './pages/link.ts';
import { createSignIn } from './pages/sign-in.ts';
import { openPlatform } from './platform-client.ts';
import { createProvider } from './provider.ts';
import { refreshAnswers } from './refresh-answers.ts';
import { createRevocation } from './revocation.ts';
import { createRoutes } from './routes.ts';
import { createTokenService } from './token-service/endpoint.ts';
import { answerForm } from './token-service/form.ts';
import { registeredAt } from './token-service/targets.ts';
import type { Issuer, IssuerOptions } from './types.ts';
import { json, localFetch, runHandler, type WireRequest, type WireResponse } from './wire.ts';

/** @throws VaultError, StoreError when what is stored cannot be opened */
export async function createIssuer(options: IssuerOptions): Promise<Issuer> {
  const { publicUrl: issuer, registry, egress, principals, now = Date.now, onError = () => undefined } = options;
  const secureCookies = options.secureCookies ?? new URL(issuer).protocol === 'https:';
  const trusted = options.trustedIssuers ?? (() => []);
  const shared = { ...options, issuer, now, onError, secureCookies };

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
  const provider = createProvider({ ...shared, keys, onRevoked: (sid) => revocation.deny('sid', sid) });
  const revocation = createRevocation({ ...shared, provider });

  const fetch = localFetch(issuer, async (request) => respond(request));
  const { client, platform } = await openPlatform({ ...shared, keys, fetch });
  const clients = createClients({ ...shared, builtIn: client });
  const refusals = countedRefusals(shared);
  const { host, protocol } = new URL(issuer);
  const forwarded = { host, 'x-forwarded-proto': protocol.slice(0, -1) };
  const refreshed = refreshAnswers(shared);
  const tokenService = createTokenService({
    ...shared,
    ...{ keys, own, foreign, trusted, refusals, clients: clients.find },
    targets: registeredAt(issuer, registry),
    doors: doorAudiences(issuer),
    deny: revocation.deny,
    isPublicClient: (id) => id === CONSOLE || id === CLI,
    revokeRefreshToken: async (token, id) => (await revocation.endLogin(token, id)).ended,
    login(request, form) {
      const ask = () =>
        runHandler(provider().callback(), { ...request, headers: { ...request.headers, ...forwarded } });
      return form.has('refresh_token') ? refreshed(form, ask) : ask();
    },
  });
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
      default: {
        const endpoint = options.endpoint?.(request.url);
        return endpoint ? answerForm(request, endpoint) : tokenService.respond(request);
      }
    }
  }

  const links = createLoginLinks({ ...shared, provider });
  const routes = createRoutes({
    ...{ issuer, respond, forwarded, provider, links, onError, limits: options.limits },
    signIn: createSignIn({ ...shared, provider, refusals }),
    confirm: createConfirm({ ...shared, provider }),
  });

  return {
    issuer,
    handle: routes,
    fetch,
    config: () => config,
    verifier: own,
    platform,
    clients,
    loginLinks: { create: (subject, by = localAdmin) => links.create(subject, by) },
    endLogin: (token) => revocation.endConsoleLogin(token, CONSOLE),
    signSubject: (claims) => keys.sign('subject+jwt', claims),
    counts: tokenService.counts,
    rotateKeys: (by = localAdmin) => keys.rotate(by),
    async maintain() {
      if (keys.youngest() + KEY_LIFE <= now()) await keys.rotate({ issuer: 'local', subject: 'platform' });
    },
    async close() {
      await refusals.close();
      own.close();
      others.close();
      keys.close();
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
