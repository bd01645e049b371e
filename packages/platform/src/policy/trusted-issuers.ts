import { type IssuerConfig, issuerProblems, type KeySource } from '@onbehalf/access';
import { milliseconds } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import type { Egress } from '../egress/index.ts';
import type { Registry, Stored } from '../store/index.ts';
import type { CredentialSource } from '../vault/index.ts';

type TrustedIssuer = Stored<'TrustedIssuer'>;

export interface TrustedIssuersOptions<L = unknown> {
  registry: Registry;
  egress: Egress;
  credentials: CredentialSource;
  /** The embedded issuer: its resource only shows it. */
  embedded: string;
  onProblem: (name: string, problem: string) => void;
  /** An issuer that was read before was written again: its keys are to be fetched anew. */
  onChange: (name: string) => void;
  /** What it says of sign-in there, if people may. */
  loginOf: (resource: TrustedIssuer) => L | undefined;
}

const RETRY_MS = 15_000;
const DEFAULT_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;

interface Built<L> {
  version: string;
  config: IssuerConfig;
  login?: L;
}

/** Turns TrustedIssuer resources into what the verifier asks for. One that cannot be read yet is not trusted yet. */
export function createTrustedIssuers<L>(options: TrustedIssuersOptions<L>) {
  const { registry } = options;
  let built = new Map<string, Built<L>>();
  let current: readonly IssuerConfig[] = [];
  let timer: NodeJS.Timeout | undefined;
  let working = Promise.resolve();
  /** Issuers that were read before. */
  const seen = new Set<string>();
  let closed = false;

  async function rebuild() {
    const next = new Map<string, Built<L>>();
    const changed: string[] = [];
    let again = false;
    for (const resource of registry.list('TrustedIssuer')) {
      if (resource.spec.issuer === options.embedded) continue;
      const version = String(resource.metadata.generation);
      const known = built.get(resource.metadata.uid);
      if (known?.version === version) {
        next.set(resource.metadata.uid, known);
        continue;
      }
      try {
        const config = await configOf(options, resource);
        const problems = issuerProblems(config);
        if (problems.length > 0) options.onProblem(resource.metadata.name, problems.join('; '));
        else {
          const login = options.loginOf(resource);
          next.set(resource.metadata.uid, { version, config, ...(login !== undefined && { login }) });
          if (known !== undefined || seen.has(resource.metadata.uid)) changed.push(config.name);
          seen.add(resource.metadata.uid);
        }
      } catch (error) {
        options.onProblem(resource.metadata.name, error instanceof Error ? error.message : 'cannot be read');
        again = true;
      }
    }
    built = next;
    current = [...next.values()].map(({ config }) => config);
    for (const name of changed) options.onChange(name);
    clearTimeout(timer);
    if (again && !closed) timer = setTimeout(refresh, RETRY_MS).unref();
  }
  function refresh() {
    working = working.then(rebuild).catch((error: unknown) => options.onProblem('all', String(error)));
  }
  const stop = registry.onChange((changed) => {
    for (const uid of changed) {
      const resource = registry.byUid(uid);
      // A removed or changed issuer is distrusted at once, before its new configuration is read.
      if (
        built.has(uid) &&
        (resource?.kind !== 'TrustedIssuer' || String(resource.metadata.generation) !== built.get(uid)?.version)
      ) {
        built.delete(uid);
        current = [...built.values()].map(({ config }) => config);
      }
      if (!resource || resource.kind === 'TrustedIssuer') refresh();
    }
  });
  refresh();

  return {
    /** Without the embedded one. */
    list: () => current,
    /** Those at which people sign in. */
    logins: (): readonly L[] => [...built.values()].flatMap(({ login }) => (login === undefined ? [] : [login])),
    settled: () => working,
    close() {
      closed = true;
      clearTimeout(timer);
      stop();
    },
  };
}

async function configOf(options: TrustedIssuersOptions, resource: TrustedIssuer): Promise<IssuerConfig> {
  const { spec, metadata } = resource;
  const open = (
    ref: NonNullable<NonNullable<TrustedIssuer['spec']['legacyHs256']>['secretRef']>,
  ): Promise<SecretValue> =>
    options.credentials
      .open(ref, { kind: 'TrustedIssuer', uid: metadata.uid, ...(resource.writer && { writer: resource.writer }) })
      .then(({ value }) => value);
  const legacy = spec.legacyHs256;
  return {
    name: metadata.name,
    // Shared-secret tokens name no issuer: their people are those of `legacy:NAME`.
    issuer: legacy ? '' : spec.issuer,
    keys: legacy ? { kind: 'static', jwks: { keys: [] } } : await keysOf(options, spec),
    algorithms: spec.algorithms ?? DEFAULT_ALGORITHMS,
    audiences: spec.audiences ?? {},
    ...(spec.typ && { typ: spec.typ }),
    ...(spec.requiredClaims && { requiredClaims: spec.requiredClaims }),
    ...(spec.tenants && { tenants: spec.tenants }),
    subjectClaims: spec.subjectClaims ?? ['sub'],
    subjectPrefix: spec.subjectPrefix ?? metadata.name,
    ...(spec.claims && { claims: withoutUndefined(spec.claims) }),
    ...(spec.roleMap && { roleMap: spec.roleMap }),
    maxRole: spec.maxRole ?? 'REGULAR',
    ...(spec.maxLifetime !== undefined && { maxLifetime: milliseconds(spec.maxLifetime) / 1_000 }),
    ...(spec.leeway !== undefined && { leeway: milliseconds(spec.leeway) / 1_000 }),
    ...(spec.login && { loginClientId: spec.login.client.id }),
    ...(legacy && {
      legacyHs256: {
        secret: await open(legacy.secretRef),
        ...(legacy.previousSecretRef && { previousSecret: await open(legacy.previousSecretRef) }),
        ...(legacy.lowercaseSecret !== undefined && { lowercaseSecret: legacy.lowercaseSecret }),
        ...(legacy.mintSubject !== undefined && { mintSubject: legacy.mintSubject }),
        maxRole: spec.maxRole ?? 'REGULAR',
      },
    }),
  };
}

async function keysOf({ egress }: TrustedIssuersOptions, spec: TrustedIssuer['spec']): Promise<KeySource> {
  if (spec.keys) return { kind: 'static', jwks: { keys: spec.keys } };
  if (spec.jwksUri !== undefined) return { kind: 'jwks', uri: spec.jwksUri };
  const url = `${spec.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await egress.fetch(url, {
    headers: { accept: 'application/json' },
    limits: { totalMs: 10_000, maxBytes: 262_144 },
  });
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
  const document = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown };
  // OpenID Connect Discovery 1.0 section 4.3: the document must name exactly the issuer that was asked.
  if (document.issuer !== spec.issuer || typeof document.jwks_uri !== 'string')
    throw new Error(`${url} names another issuer or no keys`);
  return { kind: 'jwks', uri: document.jwks_uri };
}

function withoutUndefined(claims: NonNullable<TrustedIssuer['spec']['claims']>) {
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined)) as {
    name?: string;
    email?: string;
    roles?: string;
    groups?: string;
  };
}
