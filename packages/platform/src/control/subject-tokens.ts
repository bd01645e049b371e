import { setCondition, tokenServiceNameOf } from '@onbehalf/resources';
import type { Registry, Stored } from '../store/index.ts';
import type { ControlPorts } from './ports.ts';

type TokenService = Stored<'TokenService'>;

/** Milliseconds: of a token that lives shorter, little is left when a tool is called. */
const SHORTEST_LIFE = 30_000;

interface Problem {
  reason: 'Opaque' | 'RequesterNotInAudience' | 'ShortLived' | 'NotAccepted';
  message: string;
}

/** What decides whether a login's access token can be a subject at a token service. */
export interface SubjectTokenFacts {
  /** `aud`; undefined of an opaque one, which only its issuer can read. */
  audience: readonly string[] | undefined;
  /** Milliseconds, from when it was issued. */
  lifetime: number;
}

/**
 * Says at the TrustedIssuer whether what people get when they sign in there can be exchanged at the token services of
 * the agents; where it cannot, which mapper or scope is missing. `found`: the token of a login that worked, or why one
 * was refused. Written only when it changes.
 */
export async function noteSubjectToken(
  ports: Pick<ControlPorts, 'registry' | 'embedded' | 'now'>,
  name: string,
  found: SubjectTokenFacts | string,
) {
  const { registry } = ports;
  const issuer = registry.get('TrustedIssuer', undefined, name);
  if (issuer === undefined || issuer.spec.issuer === ports.embedded.issuer) return;
  const problems: Problem[] =
    typeof found === 'string' ? [{ reason: 'NotAccepted', message: found }] : problemsOf(ports, found);
  const [first] = problems;
  const next = {
    type: 'SubjectTokenUnusable' as const,
    status: first === undefined ? ('False' as const) : ('True' as const),
    reason: first?.reason ?? 'Usable',
    message:
      problems
        .map(({ message }) => message)
        .join('; ')
        .slice(0, 1_000) || 'what people sign in with can be exchanged at the token services in use',
    observedGeneration: issuer.metadata.generation,
  };
  const known = issuer.status.conditions?.find(({ type }) => type === next.type);
  if (known?.status === next.status && known.reason === next.reason && known.message === next.message) return;
  const at = new Date(ports.now()).toISOString();
  await registry.updateStatus(issuer.metadata.uid, (status) => ({
    ...status,
    conditions: setCondition(status.conditions ?? [], next, at),
  }));
}

function problemsOf(
  { registry, embedded }: Pick<ControlPorts, 'registry' | 'embedded'>,
  token: SubjectTokenFacts,
): Problem[] {
  const problems = servicesInUse(registry).flatMap((service) => problemAt(service, token, embedded.issuer) ?? []);
  if (token.lifetime < SHORTEST_LIFE)
    problems.push({
      reason: 'ShortLived',
      message: `access tokens live ${Math.round(token.lifetime / 1000)} s: give them at least a minute`,
    });
  return problems;
}

/** Token services at which some tool server exchanges. */
function servicesInUse(registry: Registry): TokenService[] {
  const names = registry
    .list('RemoteMCPServer')
    .flatMap(({ spec }) => (spec.auth?.mode === 'Exchange' ? [tokenServiceNameOf(spec)] : []));
  return [...new Set(names)].flatMap((name) => registry.get('TokenService', undefined, name) ?? []);
}

/** Who must be in `aud` is known of these token services only; of others the first exchange says it. */
function problemAt({ metadata, spec }: TokenService, token: SubjectTokenFacts, embedded: string): Problem | undefined {
  const own = spec.issuer === embedded;
  const readsAudience = own || spec.profile === 'keycloak' || spec.profile === 'entra-obo';
  if (!readsAudience) return undefined;
  const { audience } = token;
  if (audience === undefined)
    return {
      reason: 'Opaque',
      message: `access tokens are opaque, and TokenService ${metadata.name} takes none: set login.audience or login.resource so that the issuer answers with a JWT`,
    };
  if (own) {
    if (audience.includes(embedded) || audience.includes('platform')) return undefined;
    return {
      reason: 'RequesterNotInAudience',
      message: `TokenService ${metadata.name} takes tokens whose \`aud\` holds ${embedded} or platform: add an audience mapper for one of them to the client that people sign in with`,
    };
  }
  const requesters = [spec.client, ...(spec.clientPerAgent ?? []).map(({ client }) => client)].flatMap(
    (client) => client?.id ?? [],
  );
  const missing = requesters.filter((id) => !audience.some((value) => value === id || value === `api://${id}`));
  // One that no agent uses need not be there.
  if (missing.length === 0 || (spec.clientPerAgent === undefined && missing.length < requesters.length))
    return undefined;
  return {
    reason: 'RequesterNotInAudience',
    message: `TokenService ${metadata.name} exchanges as ${missing.join(', ')}, which \`aud\` does not hold: add an audience mapper for each to the client that people sign in with, or ask for the scope that does`,
  };
}
