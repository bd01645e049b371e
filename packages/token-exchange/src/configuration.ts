import { SecretValue } from '@onbehalf/secret-value';
import { misconfigured, TokenExchangeError } from './errors.ts';
import { issuersOf } from './metadata.ts';
import { hint, unknownKeys } from './nearest.ts';
import { profileNames, profileOf } from './profiles/registry.ts';
import { prepareTarget } from './target.ts';
import { secureUrl } from './transport.ts';
import type { ClientConfig, Delegation, ProfileName, Target, TokenServiceConfig } from './types.ts';

/** One mistake: where it is, what is wrong, and what would be right. */
export interface ConfigurationProblem {
  /** Such as `clientPerAgent[1].agent`. */
  readonly path: string;
  /** What is wrong, and what would be right; it holds no secret. */
  readonly message: string;
}

/** Every field that a configuration can have. `satisfies` makes a forgotten one an error of the compiler. */
const SERVICE = {
  name: 0,
  issuer: 0,
  wellKnownUri: 0,
  endpoint: 0,
  jwksUri: 0,
  revocationEndpoint: 0,
  allowOtherHost: 0,
  profile: 0,
  client: 0,
  clientPerAgent: 0,
  delegation: 0,
  requestedTokenType: 0,
  maxLifetime: 0,
  introspect: 0,
  opaque: 0,
  connectorId: 0,
  subjectTokenType: 0,
  actorTokenType: 0,
} satisfies Record<keyof TokenServiceConfig, 0>;

/** What each way to authenticate needs, and how to get it. */
const CREDENTIAL = {
  SecretBasic: 'secret',
  SecretPost: 'secret',
  PrivateKeyJwt: 'sign',
  WorkloadToken: 'assertion',
} as const;

const NEEDS = {
  secret: 'it must be a SecretValue or a function that gets one, never the secret itself',
  sign: 'PrivateKeyJwt needs a key: make the client with privateKeyJwt()',
  assertion: 'WorkloadToken needs a function that reads the token, such as tokenFile()',
};

/**
 * All that can be found wrong before anything is sent.
 * @param service as it was written
 */
export function configurationProblems(service: TokenServiceConfig): readonly ConfigurationProblem[] {
  const found: ConfigurationProblem[] = [];
  const add = (path: string, message: string) => found.push({ path, message });
  for (const key of unknownKeys(service, Object.keys(SERVICE))) add(key.name, key.message);
  if (service.issuer === undefined && service.wellKnownUri === undefined)
    add('issuer', 'give `issuer` or `wellKnownUri`');
  for (const name of ['issuer', 'wellKnownUri', 'endpoint', 'jwksUri', 'revocationEndpoint'] as const) {
    const value = service[name];
    if (value === undefined) continue;
    const problem =
      messageOf(() => secureUrl(value, 'it'), ': it must be an https:// URL, or http:// on loopback') ??
      (name === 'wellKnownUri' && service.issuer === undefined ? messageOf(() => issuersOf(value)) : undefined);
    if (problem !== undefined) add(name, problem);
  }
  if (!(Number(service.maxLifetime ?? 1) > 0)) add('maxLifetime', 'it must be a number of seconds above 0');
  if (Object.hasOwn(service, 'client')) clientProblem(service.client, 'client', add);
  const seen = new Set<string>();
  for (const [at, { agent, client }] of (service.clientPerAgent ?? []).entries()) {
    if (seen.has(agent)) add(`clientPerAgent[${at}].agent`, `${agent} is named twice: one client for each agent`);
    seen.add(agent);
    clientProblem(client, `clientPerAgent[${at}].client`, add);
  }
  if (!profileNames.includes(service.profile)) {
    add('profile', `${JSON.stringify(service.profile)} is not known: ${hint(String(service.profile), profileNames)}`);
    return found;
  }
  const profile = profileOf(service.profile);
  const { delegation } = service;
  if (delegation !== undefined && !profile.delegations.includes(delegation)) {
    const can = profile.delegations.join(' or ');
    add('delegation', `the profile ${profile.name} cannot name the agent by ${delegation}: use ${can}`);
  }
  const problem = profile.configProblem(service);
  if (problem !== undefined) add('connectorId', problem);
  return found;
}

/**
 * How tokens of this service name the agent: as it is configured, else as its profile does by itself.
 * @param service as it was written; of `clientPerAgent` only whether it holds anybody counts
 */
export function delegationOf(
  service: Pick<TokenServiceConfig, 'profile' | 'delegation'> & { readonly clientPerAgent?: readonly unknown[] },
): Delegation {
  return service.delegation ?? profileOf(service.profile).defaultDelegation(service);
}

/**
 * Why a token for this target can never be asked for in this dialect.
 * @param profile of the token service
 * @param target as it was written
 */
export function targetProblem(profile: ProfileName, target: Target): string | undefined {
  const prepared = prepareTarget(target);
  return prepared.problem ?? profileOf(profile).targetProblem(prepared);
}

/** Throws with all of them. */
export function checkConfiguration(service: TokenServiceConfig): void {
  const problems = configurationProblems(service);
  if (problems.length === 0) return;
  throw misconfigured(problems.map(({ path, message }) => `${path}: ${message}`).join('; '));
}

function messageOf(check: () => unknown, more = ''): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (!(error instanceof TokenExchangeError)) throw error;
    return error.message + more;
  }
}

function clientProblem(client: ClientConfig, path: string, add: (path: string, message: string) => void): void {
  const ways = Object.keys(CREDENTIAL);
  if (typeof client !== 'object' || client === null) {
    add(path, 'it is missing');
    return;
  }
  if (!Object.hasOwn(CREDENTIAL, client.auth)) {
    add(`${path}.auth`, `${JSON.stringify(client.auth)} is not known: ${hint(String(client.auth), ways)}`);
    return;
  }
  if (typeof client.id !== 'string' || client.id === '') add(`${path}.id`, 'it must be the id of the client');
  const field = CREDENTIAL[client.auth];
  const credential = (client as unknown as Record<string, unknown>)[field];
  if (typeof credential === 'function' || (field === 'secret' && credential instanceof SecretValue)) return;
  add(`${path}.${field}`, NEEDS[field]);
}
