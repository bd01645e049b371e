import { type IssuerConfig, issuerProblems, type KeySource, secretProblem } from '@onbehalf/access';
import { milliseconds } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import type { Egress } from '../egress/index.ts';
import type { Registry, Stored } from '../store/index.ts';
import type { SecretRef } from '../vault/index.ts';
import type { SharedSecrets } from './shared-secrets.ts';

type TrustedIssuer = Stored<'TrustedIssuer'>;

export interface TrustedIssuersOptions<L = unknown> {
  registry: Registry;
  egress: Egress;
  sharedSecrets: SharedSecrets;
  /** The embedded issuer: its resource only shows it. */
  embedded: string;
  onProblem: (name: string, problem: string) => void;
  /** An issuer that was read before was written again: its keys are to be fetched anew. */
  onChange: (name: string) => void;
  /** What it says of sign-in there, if people may. */
  loginOf: (resource: TrustedIssuer) => L | undefined;
  /** Of these `problemOf` may say something else now. */
  onJudged: (uids: readonly string[]) => void;
}

/** Why a TrustedIssuer is not trusted: the reason of its condition `Accepted`, and what to do. */
export interface IssuerProblem {
  reason: 'SecretShared' | 'SecretRefused' | 'NotUsable' | 'NotReadable';
  message: string;
}

const RETRY_MS = 15_000;
/** Seconds, where the resource names none. */
const DEFAULT_MAX_LIFETIME = 86_400;
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
  let problems = new Map<string, IssuerProblem>();
  /** Claims of an issuer that held something besides texts, since it was written last. */
  const odd = new Map<string, { version: string; claims: Set<string> }>();
  let closed = false;

  async function rebuild() {
    const next = new Map<string, Built<L>>();
    const changed: string[] = [];
    const found = new Map<string, IssuerProblem>();
    const secrets = new Map<string, string>();
    let again = false;
    for (const resource of registry.list('TrustedIssuer').sort(byAge)) {
      if (resource.spec.issuer === options.embedded) continue;
      const { uid, name, generation } = resource.metadata;
      const version = String(generation);
      const known = built.get(uid);
      const refuse = (problem: IssuerProblem) => {
        found.set(uid, problem);
        if (problems.get(uid)?.message !== problem.message) options.onProblem(name, problem.message);
      };
      try {
        const refused = await secretProblemOf(options, resource, secrets);
        if (refused !== undefined) {
          refuse(refused);
          continue;
        }
        if (known?.version === version) {
          next.set(uid, known);
          continue;
        }
        const noteOdd = (claim: string) => {
          const noted = odd.get(uid)?.version === version ? odd.get(uid) : undefined;
          if (noted?.claims.has(claim)) return;
          odd.set(uid, { version, claims: new Set([...(noted?.claims ?? []), claim]) });
          options.onJudged([uid]);
        };
        const config = { ...(await configOf(options, resource)), onOddClaim: noteOdd };
        const mistakes = issuerProblems(config);
        if (mistakes.length > 0) refuse({ reason: 'NotUsable', message: mistakes.join('; ') });
        else {
          const login = options.loginOf(resource);
          next.set(uid, { version, config, ...(login !== undefined && { login }) });
          if (known !== undefined || seen.has(uid)) changed.push(config.name);
          seen.add(uid);
        }
      } catch (error) {
        const why = error instanceof Error ? error.message : 'no answer';
        const what = resource.spec.legacyHs256 ? '' : 'its metadata cannot be read: ';
        refuse({ reason: 'NotReadable', message: `${what}${why}` });
        again = true;
      }
    }
    const judged = [...found.keys(), ...problems.keys()].filter(
      (uid) => found.get(uid)?.message !== problems.get(uid)?.message,
    );
    // Whoever was removed or written again while others were read is not trusted for what was read before.
    for (const [uid, { version }] of next)
      if (String(registry.byUid(uid)?.metadata.generation) !== version) next.delete(uid);
    problems = found;
    for (const uid of odd.keys()) if (!next.has(uid)) odd.delete(uid);
    built = next;
    current = [...next.values()].map(({ config }) => config);
    for (const name of changed) options.onChange(name);
    if (judged.length > 0) options.onJudged(judged);
    clearTimeout(timer);
    if (again && !closed) timer = setTimeout(refresh, RETRY_MS).unref();
  }
  function refresh() {
    working = working.then(rebuild).catch((error: unknown) => options.onProblem('all', String(error)));
  }
  const stop = registry.onChange((changed) => {
    let another = false;
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
      if (!resource || resource.kind === 'TrustedIssuer') another = true;
      // Another secret may be a published one, or somebody else's.
      else if (resource.kind === 'Secret' && registry.list('TrustedIssuer').some(({ spec }) => spec.legacyHs256))
        another = true;
    }
    if (another) refresh();
  });
  refresh();

  return {
    /** Without the embedded one. */
    list: () => current,
    /** Those at which people sign in. */
    logins: (): readonly L[] => [...built.values()].flatMap(({ login }) => (login === undefined ? [] : [login])),
    settled: () => working,
    problemOf: (uid: string): IssuerProblem | undefined => problems.get(uid),
    /** What its tokens hold that could not be used, though they were good. */
    noticeOf(uid: string): string | undefined {
      const noted = odd.get(uid);
      if (noted === undefined || noted.version !== built.get(uid)?.version) return undefined;
      return `entries that are no text were left out of ${[...noted.claims].join(' and ')}`;
    },
    close() {
      closed = true;
      clearTimeout(timer);
      stop();
    },
  };
}

/** The first of two with one secret stays: who came later would speak for people that are not theirs. */
const byAge = (a: TrustedIssuer, b: TrustedIssuer) =>
  (a.metadata.createdAt ?? '').localeCompare(b.metadata.createdAt ?? '') ||
  a.metadata.uid.localeCompare(b.metadata.uid);

const useOf = ({ metadata, writer }: TrustedIssuer) => ({
  kind: 'TrustedIssuer',
  uid: metadata.uid,
  ...(writer && { writer }),
});

/** `taken`: by which issuer each secret is used, by its hash; this one's are added. */
async function secretProblemOf(
  { sharedSecrets }: Pick<TrustedIssuersOptions, 'sharedSecrets'>,
  resource: TrustedIssuer,
  taken: Map<string, string>,
): Promise<IssuerProblem | undefined> {
  const { legacyHs256: legacy } = resource.spec;
  if (legacy === undefined) return undefined;
  const refs = [legacy.secretRef, ...(legacy.previousSecretRef ? [legacy.previousSecretRef] : [])];
  const secrets = await Promise.all(refs.map((ref) => sharedSecrets.read(ref, useOf(resource))));
  const weak = secrets.map(secretProblem).find((problem) => problem !== undefined);
  if (weak !== undefined) return { reason: 'SecretRefused', message: weak };
  const own = await Promise.all(secrets.map((secret) => hashOf(secret, legacy.lowercaseSecret === true)));
  const other = own.map((hash) => taken.get(hash)).find((name) => name !== undefined);
  if (other !== undefined) {
    const message = `its secret is that of the TrustedIssuer ${other}: give it one of its own`;
    return { reason: 'SecretShared', message };
  }
  for (const hash of own) taken.set(hash, resource.metadata.name);
  return undefined;
}

const hashOf = (secret: SecretValue, lowercase: boolean): Promise<string> =>
  (lowercase ? SecretValue.of(secret.reveal().toLowerCase()) : secret).sha256();

async function configOf(options: TrustedIssuersOptions, resource: TrustedIssuer): Promise<IssuerConfig> {
  const { spec, metadata } = resource;
  const read = (ref: SecretRef) => () => options.sharedSecrets.read(ref, useOf(resource));
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
    // Shared-secret tokens live for days, and say nothing of when they were issued.
    ...(spec.maxLifetime !== undefined
      ? { maxLifetime: milliseconds(spec.maxLifetime) / 1_000 }
      : legacy === undefined && { maxLifetime: DEFAULT_MAX_LIFETIME }),
    ...(spec.leeway !== undefined && { leeway: milliseconds(spec.leeway) / 1_000 }),
    ...(spec.login && { loginClientId: spec.login.client.id }),
    ...(legacy && {
      legacyHs256: {
        secret: read(legacy.secretRef),
        ...(legacy.previousSecretRef && { previousSecret: read(legacy.previousSecretRef) }),
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
  const text = await response.text();
  const { issuer, jwks_uri: uri } = metadataOf(text) ?? {};
  // OpenID Connect Discovery 1.0 section 4.3: the document must name exactly the issuer that was asked.
  if (typeof issuer !== 'string') throw new Error(`${url} is not the metadata of an issuer`);
  if (issuer !== spec.issuer) throw new Error(`${url} names another issuer${named(issuer, spec.issuer)}`);
  if (typeof uri !== 'string') throw new Error(`${url} names no keys: set jwksUri`);
  return { kind: 'jwks', uri };
}

function metadataOf(text: string): { issuer?: unknown; jwks_uri?: unknown } | undefined {
  try {
    return (JSON.parse(text) ?? undefined) as { issuer?: unknown; jwks_uri?: unknown };
  } catch {
    return undefined;
  }
}

/** A slash at the end is the difference that nobody sees. */
function named(found: string, wanted: string): string {
  if (!/^https?:[\x21-\x7e]{1,300}$/.test(found)) return '';
  return found.replace(/\/$/, '') === wanted.replace(/\/$/, '')
    ? `: ${found}. Write spec.issuer like that, ${found.endsWith('/') ? 'with' : 'without'} the slash at its end`
    : `: ${found}`;
}

function withoutUndefined(claims: NonNullable<TrustedIssuer['spec']['claims']>) {
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined)) as {
    name?: string;
    email?: string;
    roles?: string;
    groups?: string;
  };
}
