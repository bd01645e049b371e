import type { ExchangeView } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import {
  type ActClaim,
  type ClientConfig,
  createTokenCache,
  createTokenExchange,
  type ExchangeOutcome,
  type ForgetFilter,
  type ForgetOptions,
  type TokenExchange,
  TokenExchangeError,
  type TokenServiceConfig,
} from '@onbehalf/token-exchange';
import { nodeCrypto } from '@onbehalf/token-exchange/node';
import type { Audit } from '../audit/index.ts';
import type { Egress } from '../egress/index.ts';
import type { Registry, Stored } from '../store/index.ts';
import { type CredentialSource, openTls, type SecretRef, VaultError } from '../vault/index.ts';
import { type ClientSpec, clientConfigOf, type OpenReference } from './client-config.ts';
import { agentName, serviceConfig } from './dialect.ts';
import { ToolError } from './errors.ts';
import { exchangeFetch } from './exchange-fetch.ts';
import type { PlatformIdentity } from './ports.ts';

type TokenService = Stored<'TokenService'>;

export interface TokenServicesOptions {
  registry: Registry;
  audit: Audit;
  egress: Egress;
  credentials: CredentialSource;
  platform: PlatformIdentity;
  installation: string;
  settings?: ExchangeSettings;
  /** Called for every outcome, cached ones included, in the async context of the call that asked. */
  onView: (view: ExchangeView) => void;
}

/** The section `tokenExchange` of the configuration. Times in milliseconds. */
export interface ExchangeSettings {
  /** For each token service. */
  cacheEntries: number;
  tryTimeout: number;
  timeout: number;
  safetyMargin: number;
  revoke: boolean;
}

export interface TokenServices {
  get(name: string): { exchange: TokenExchange; resource: TokenService };
  all(): TokenExchange[];
  /** @see Tools.forget */
  forget(filter: ForgetFilter, options: ForgetOptions): void;
  close(): void;
}

/** One exchange client per TokenService and version of its resource. Its hooks withhold a token that was not audited. */
export function createTokenServices(options: TokenServicesOptions): TokenServices {
  const { registry, platform, settings } = options;
  const built = new Map<string, { version: string; exchange: TokenExchange; embedded: boolean }>();
  /** The embedded service has aliases; one exchange client serves them all. */
  const own = (service: TokenService) => service.spec.issuer === platform.publicUrl;
  const stop = registry.onChange((changed) => {
    for (const uid of changed) {
      const known = built.get(uid);
      const current = registry.byUid(uid);
      if (known && current?.metadata.generation.toString() !== known.version) {
        // Changed, it is asked again; removed, nobody is to use what it gave out.
        known.exchange.forget({ all: true }, { revoke: current === undefined });
        built.delete(uid);
      }
    }
  });

  function build(service: TokenService): TokenExchange {
    const { spec } = service;
    const embedded = own(service);
    const config: TokenServiceConfig = {
      ...serviceConfig(service.metadata.name, spec),
      client: embedded ? platform.client : clientConfig(service, spec.client),
      ...(spec.clientPerAgent && {
        clientPerAgent: spec.clientPerAgent.map((entry) => ({
          agent: agentName(entry),
          client: clientConfig(service, entry.client),
        })),
      }),
    };
    const exchange: TokenExchange = createTokenExchange({
      tokenService: config,
      installation: options.installation,
      workload: platform.workload,
      ...(settings && {
        cache: createTokenCache({ max: settings.cacheEntries }),
        timeouts: { attempt: settings.tryTimeout, total: settings.timeout },
        margin: settings.safetyMargin / 1_000,
        revoke: settings.revoke,
      }),
      crypto: nodeCrypto,
      fetch: embedded ? platform.fetch : fetchFor(service),
      hooks: {
        onOutcome: async (outcome) => {
          await options.audit.append(auditEntry(outcome));
          options.onView(exchangeView(outcome, spec.profile, exchange.delegation));
        },
        onHit: (outcome) => options.onView(exchangeView(outcome, spec.profile, exchange.delegation)),
      },
    });
    return exchange;
  }

  /** With the authority and the client certificate of its `tls`. */
  const fetchFor = (service: TokenService) =>
    exchangeFetch(options.egress, (origin) => openTls(service.spec.tls, (ref) => opened(service, ref, origin)));

  async function opened(service: TokenService, ref: SecretRef, origin: string): Promise<SecretValue> {
    const { name, uid } = service.metadata;
    const use = { kind: 'TokenService', uid, origin, ...(service.writer && { writer: service.writer }) };
    try {
      return (await options.credentials.open(ref, use)).value;
    } catch (error) {
      if (!(error instanceof VaultError)) throw error;
      const why = `the credential of ${name} cannot be used at ${origin} (${error.code}): ${error.message}`;
      throw new TokenExchangeError('invalid_request_configuration', why);
    }
  }

  function clientConfig(service: TokenService, client: ClientSpec | undefined): ClientConfig {
    const { name, generation } = service.metadata;
    if (!client)
      throw new ToolError(
        'token_service_missing',
        `${name} has no client: set spec.client, or ONBEHALF_STS_CLIENT_ID for the one from the environment`,
        'administrator',
      );
    const broken = (why: string) => new ToolError('credential_unavailable', `${name} ${why}`, 'administrator');
    const open: OpenReference = (ref, endpoint) =>
      opened(service, ref, endpoint === undefined ? originOf(service) : new URL(endpoint).origin);
    return clientConfigOf(client, { keyId: `${generation}`, open, broken });
  }

  return {
    get(name) {
      const found = registry.get('TokenService', undefined, name);
      const resource = found && own(found) ? (registry.get('TokenService', undefined, 'onbehalf') ?? found) : found;
      if (!resource)
        throw new ToolError('token_service_missing', `there is no TokenService ${name}: apply one`, 'administrator');
      const version = resource.metadata.generation.toString();
      let known = built.get(resource.metadata.uid);
      if (known?.version !== version) {
        known = { version, exchange: build(resource), embedded: own(resource) };
        built.set(resource.metadata.uid, known);
      }
      return { exchange: known.exchange, resource };
    },
    all: () => [...built.values()].map(({ exchange }) => exchange),
    forget(filter, { revoke = true }) {
      for (const { exchange, embedded } of built.values())
        exchange.forget(filter, { revoke: revoke && (!embedded || isOfOneLogin(filter)) });
    },
    close: stop,
  };
}

/**
 * Our own token service writes a row for each revoked token, and everything that follows the change log looks at it.
 * That is worth it for one login or one session. A person who is disabled is inactive there anyway, and the tokens of
 * an agent or a server, of which there may be thousands, live five minutes at most.
 */
const isOfOneLogin = ({ session, loginSession }: ForgetFilter) => session !== undefined || loginSession !== undefined;

const originOf = ({ spec }: TokenService) => new URL(spec.endpoint ?? spec.issuer ?? spec.wellKnownUri ?? '').origin;

/** What the exchange viewer, the events and the audit show. Never a token. */
export function exchangeView(
  outcome: ExchangeOutcome,
  profile: string,
  delegation: TokenExchange['delegation'],
): ExchangeView {
  const claims = outcome.granted?.claims;
  return {
    server: outcome.target.name ?? '',
    mode: outcome.kind === 'workload' ? 'Workload' : 'Exchange',
    tokenService: outcome.tokenService,
    profile,
    ...(outcome.kind !== 'workload' && { delegation }),
    result: outcome.result,
    requested: {
      audience: [...outcome.requested.audience],
      resource: [...outcome.requested.resource],
      scopes: [...outcome.requested.scope],
    },
    ...(outcome.code !== undefined && { code: outcome.code }),
    ...(outcome.message !== undefined && { message: outcome.message }),
    ...(outcome.granted && {
      granted: {
        audience: [...outcome.granted.audience],
        ...(outcome.granted.scope !== undefined && { scope: outcome.granted.scope }),
      },
    }),
    ...(outcome.principal && { subject: { issuer: outcome.principal.issuer, subject: outcome.principal.subject } }),
    ...(outcome.actors.length > 0 && { act: [...outcome.actors] }),
    ...(claims && { claims: JSON.parse(JSON.stringify(claims)) as Record<string, unknown> }),
    ms: outcome.ms,
    ...(outcome.expiresAt !== undefined && { expiresAt: new Date(outcome.expiresAt).toISOString() }),
    ...(outcome.jti !== undefined && { jti: outcome.jti }),
    ...(outcome.hash !== undefined && { hash: outcome.hash }),
  };
}

function auditEntry(outcome: ExchangeOutcome): Parameters<Audit['append']>[0] {
  const { context } = outcome;
  return {
    type: 'exchange',
    phase: 'single',
    ...(outcome.principal && { principal: { issuer: outcome.principal.issuer, subject: outcome.principal.subject } }),
    ...(outcome.session !== undefined && { session: outcome.session }),
    ...(context.turn !== undefined && { turn: context.turn }),
    ...(context.callId !== undefined && { call: context.callId }),
    ...(context.step !== undefined && { step: Number(context.step) }),
    ...(context.door !== undefined && { door: context.door }),
    ...(context.requestId !== undefined && { requestId: context.requestId }),
    ...(context.traceId !== undefined && { traceId: context.traceId }),
    ...(outcome.agent && { agent: agentOf(outcome.agent) }),
    chain: chainOf(outcome.granted?.claims?.act),
    target: {
      ...(context.serverUid !== undefined && { kind: 'RemoteMCPServer', uid: context.serverUid }),
      ...(outcome.target.name !== undefined && { server: outcome.target.name }),
      tokenService: outcome.tokenService,
      audience: [...outcome.requested.audience],
      resource: [...outcome.requested.resource],
      scopes: [...outcome.requested.scope],
    },
    outcome: outcome.result,
    latencyMs: Math.round(outcome.ms),
    ...(outcome.code !== undefined && { code: outcome.code }),
    ...(outcome.message !== undefined && { reason: outcome.message }),
    ...tokenOf(outcome),
    data: {
      kind: outcome.kind,
      granted: outcome.granted
        ? { audience: [...outcome.granted.audience], scope: outcome.granted.scope ?? null }
        : null,
      verification: outcome.verification ?? null,
      expiresAt: outcome.expiresAt ?? null,
    },
  };
}

const tokenOf = ({ jti, hash }: Pick<ExchangeOutcome, 'jti' | 'hash'>) =>
  jti === undefined && hash === undefined
    ? {}
    : { token: { ...(jti !== undefined && { jti }), ...(hash !== undefined && { hash }) } };

function chainOf(act: ActClaim | undefined): { agent: string; uid: string }[] {
  return act ? [{ agent: act.sub, uid: act.agent_uid ?? '' }, ...chainOf(act.act)] : [];
}

function agentOf(agent: { uid: string; name: string }) {
  const [namespace = '', name = ''] = agent.name.split('/');
  return { uid: agent.uid, namespace, name };
}
