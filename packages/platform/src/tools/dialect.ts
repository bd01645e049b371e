import { milliseconds, qualifiedName, type TokenServiceSpec } from '@onbehalf/resources';
import {
  type ConfigurationProblem,
  configurationProblems,
  SecretValue,
  type Target,
  type TokenServiceConfig,
  targetProblem,
} from '@onbehalf/token-exchange';

/** What the exchange client takes of a TokenService as it stands there; clients need credentials beside it. */
export function serviceConfig(name: string, spec: TokenServiceSpec): Omit<TokenServiceConfig, 'client'> {
  return {
    name,
    profile: spec.profile,
    ...(spec.issuer !== undefined && { issuer: spec.issuer }),
    ...(spec.wellKnownUri !== undefined && { wellKnownUri: spec.wellKnownUri }),
    ...(spec.endpoint !== undefined && { endpoint: spec.endpoint }),
    ...(spec.allowOtherHost !== undefined && { allowOtherHost: spec.allowOtherHost }),
    ...(spec.delegation && { delegation: spec.delegation }),
    ...(spec.requestedTokenType !== undefined && { requestedTokenType: spec.requestedTokenType }),
    ...(spec.subjectTokenType !== undefined && { subjectTokenType: spec.subjectTokenType }),
    ...(spec.actorTokenType !== undefined && { actorTokenType: spec.actorTokenType }),
    ...(spec.connectorId !== undefined && { connectorId: spec.connectorId }),
    ...(spec.maxLifetime !== undefined && { maxLifetime: milliseconds(spec.maxLifetime) / 1_000 }),
    ...(spec.introspect !== undefined && { introspect: spec.introspect }),
    ...(spec.opaque && { opaque: spec.opaque }),
  };
}

type ClientPerAgent = NonNullable<TokenServiceSpec['clientPerAgent']>[number];

export const agentName = ({ agent }: ClientPerAgent) => qualifiedName(agent);

/** Mistakes of a TokenService that its exchange client would refuse. Nothing is sent, and no credential is opened. */
export function serviceMistakes(name: string, spec: TokenServiceSpec): readonly ConfigurationProblem[] {
  const secret = SecretValue.of('not looked at');
  const clientPerAgent = (spec.clientPerAgent ?? []).map((entry) => ({
    agent: agentName(entry),
    client: { auth: 'SecretBasic' as const, id: entry.client.id, keyId: '', secret },
  }));
  const config = { ...serviceConfig(name, spec), clientPerAgent };
  return configurationProblems(config as typeof config & Pick<TokenServiceConfig, 'client'>);
}

/** Why this token service can never make a token for that target. */
export function targetMistake(
  { profile }: TokenServiceSpec,
  target: { [Field in 'audience' | 'resource' | 'scopes']?: readonly string[] },
): string | undefined {
  const { audience = [], resource = [], scopes = [] } = target;
  return targetProblem(profile, { audience, resource, scopes } satisfies Target);
}
