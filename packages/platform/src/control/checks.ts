import {
  allowedValues,
  bindingsOf,
  type ResourceInput,
  type ResourceOf,
  registeredTargets,
  resolveTarget,
  serverTarget,
  tokenServiceNameOf,
} from '@onbehalf/resources';
import { namespaceOf, type Stored } from '../store/index.ts';
import { serviceMistakes, targetMistake } from '../tools/index.ts';
import type { Embedded } from './ports.ts';

/** A mistake that only shows beside other resources. */
export interface Mistake {
  path: string;
  message: string;
}

/** What a check may look at: the stored resources with this apply's own documents laid over them. */
export interface World {
  embedded: Embedded;
  server(namespace: string, name: string): Pick<Stored<'RemoteMCPServer'>, 'spec'> | undefined;
  tokenService(name: string): Pick<Stored<'TokenService'>, 'spec'> | undefined;
  agent(namespace: string, name: string): Pick<Stored<'Agent'>, 'spec'> | undefined;
  issuers(): readonly ResourceOf<'TrustedIssuer'>[];
}

/** Named checks over one document, each answering for one sentence of the rules. */
const CHECKS: readonly ((document: ResourceInput, world: World) => Mistake[])[] = [
  ownDoors,
  dialect,
  oneTarget,
  bindingsWithinServer,
  agentDefaults,
  noLoop,
  distinctIssuers,
];

export function check(document: ResourceInput, world: World): Mistake[] {
  return CHECKS.flatMap((one) => one(document, world));
}

/** This machine, in every spelling that a parsed URL may still have. */
const LOOPBACK = /^(localhost\.?|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[::1?\]|\[::ffff:(7f[0-9a-f]{2}:[0-9a-f]{1,4}|0:0)\])$/;

/** Our own doors are never a target and never a tool server: a token for them would be a token for everything. */
function ownDoors(document: ResourceInput, { embedded }: World): Mistake[] {
  if (document.kind !== 'RemoteMCPServer') return [];
  const own = new URL(embedded.issuer);
  const ownPort = own.port || (own.protocol === 'https:' ? '443' : '80');
  const isOurs = (value: string) => {
    if (embedded.doorAudiences.includes(value)) return true;
    if (!URL.canParse(value)) return false;
    const url = new URL(value);
    const port = url.port || (url.protocol === 'https:' ? '443' : '80');
    const sameHost =
      url.hostname.replace(/\.$/, '') === own.hostname || (LOOPBACK.test(url.hostname) && LOOPBACK.test(own.hostname));
    return sameHost && port === ownPort;
  };
  const targets = registeredTargets(document.spec);
  const mistakes: Mistake[] = [];
  if (document.spec.url !== undefined && isOurs(document.spec.url))
    mistakes.push({ path: 'spec.url', message: 'is this server itself: it cannot be its own tool server' });
  for (const field of ['audience', 'resource'] as const)
    if (targets[field].some(isOurs))
      mistakes.push({
        path: `spec.auth.${field}`,
        message: 'is an entry point of this server: it is never a target of an exchange',
      });
  return mistakes;
}

/** What the token service's client would refuse before it sends anything. */
function dialect(document: ResourceInput, world: World): Mistake[] {
  if (document.kind === 'TokenService')
    return serviceMistakes(document.metadata.name, document.spec).map(({ path, message }) => ({
      path: `spec.${path}`,
      message,
    }));
  if (document.kind !== 'RemoteMCPServer' || !EXCHANGED.has(document.spec.auth?.mode ?? 'None')) return [];
  const service = world.tokenService(tokenServiceNameOf(document.spec));
  if (!service || service.spec.profile === 'onbehalf') return [];
  const target = serverTarget(document.spec);
  // A binding may bring the scopes that the server itself leaves out.
  const scopes = target.scopes?.length ? target.scopes : document.spec.auth?.allowOverride?.scopes;
  const problem = targetMistake(service.spec, { ...target, ...(scopes && { scopes }) });
  return problem === undefined ? [] : [{ path: 'spec.auth', message: `${problem} (profile ${service.spec.profile})` }];
}

/** The embedded token service takes one target per request. */
function oneTarget(document: ResourceInput, world: World): Mistake[] {
  if (document.kind !== 'RemoteMCPServer') return [];
  const { auth } = document.spec;
  if (auth?.mode !== 'Exchange' && auth?.mode !== 'Workload') return [];
  const service = world.tokenService(tokenServiceNameOf({ auth }));
  if (service?.spec.profile !== 'onbehalf') return [];
  const own = serverTarget(document.spec);
  return (['audience', 'resource'] as const)
    .filter((field) => (own[field]?.length ?? 0) > 1)
    .map((field) => ({
      path: `spec.auth.${field}`,
      message: 'holds more than one value: profile onbehalf takes one target per request',
    }));
}

/** A binding or an agent may only choose from what the server lists. */
function bindingsWithinServer(document: ResourceInput, world: World): Mistake[] {
  if (document.kind !== 'Agent') return [];
  const list = document.spec.type === 'BYO' ? 'byo' : 'declarative';
  return bindingsOf(document.spec).flatMap((binding, index) => {
    if (!binding.mcpServer) return [];
    const server = world.server(binding.mcpServer.namespace ?? namespaceOf(document), binding.mcpServer.name);
    const mode = server?.spec.auth?.mode;
    const path = `spec.${list}.tools[${index}].mcpServer.auth`;
    if (!server) return [];
    if (mode !== 'Exchange' && mode !== 'Workload')
      return binding.mcpServer.auth
        ? [{ path, message: `has no meaning: the server's mode is ${mode ?? 'None'}` }]
        : [];
    const resolved = resolveTarget(server.spec, binding.mcpServer.auth, document.spec.auth);
    if ('target' in resolved) {
      const service = world.tokenService(tokenServiceNameOf(server.spec));
      const many =
        service?.spec.profile === 'onbehalf' &&
        (resolved.target.audience.length > 1 || resolved.target.resource.length > 1);
      if (many)
        return [{ path, message: 'chooses more than one value: profile onbehalf takes one target per request' }];
      const problem = service && targetMistake(service.spec, resolved.target);
      return problem === undefined ? [] : [{ path, message: `${problem} (profile ${service?.spec.profile})` }];
    }
    return resolved.problems.map((problem) => ({ path: `${path}.${problem.field}`, message: problem.message }));
  });
}

/** An agent's default that none of its servers can take is a mistake, not a default. */
function agentDefaults(document: ResourceInput, world: World): Mistake[] {
  if (document.kind !== 'Agent' || !document.spec.auth) return [];
  const servers = bindingsOf(document.spec).flatMap(({ mcpServer }) => {
    const server = mcpServer && world.server(mcpServer.namespace ?? namespaceOf(document), mcpServer.name);
    return server && EXCHANGED.has(server.spec.auth?.mode ?? 'None') ? [server.spec] : [];
  });
  if (servers.length === 0) return [];
  return (['audience', 'resource', 'scopes'] as const).flatMap((field) => {
    const stray = document.spec.auth?.[field]?.find(
      (value) => !servers.some((server) => allowedValues(server, field).includes(value)),
    );
    return stray === undefined
      ? []
      : [{ path: `spec.auth.${field}`, message: `"${stray}" is not allowed by any of the agent's servers` }];
  });
}

const EXCHANGED: ReadonlySet<string> = new Set(['Exchange', 'Workload']);

/** Agents that call one another in a circle would never end. */
function noLoop(document: ResourceInput, world: World): Mistake[] {
  if (document.kind !== 'Agent') return [];
  const self = `${namespaceOf(document)}/${document.metadata.name}`;
  const list = document.spec.type === 'BYO' ? 'byo' : 'declarative';
  const seen = new Set<string>();
  // A list, not a call in a call: there may be thousands, one behind the other.
  const open = [{ namespace: namespaceOf(document), spec: document.spec }];
  for (let at = open.pop(); at !== undefined; at = open.pop())
    for (const { agent } of bindingsOf(at.spec)) {
      if (!agent) continue;
      const namespace = agent.namespace ?? at.namespace;
      const next = `${namespace}/${agent.name}`;
      if (next === self)
        return [{ path: `spec.${list}.tools`, message: 'leads back to this agent: take the loop out' }];
      if (seen.has(next)) continue;
      seen.add(next);
      const found = world.agent(namespace, agent.name);
      if (found) open.push({ namespace, spec: found.spec });
    }
  return [];
}

/** First words of `sub` that say something else than the issuer of a person. */
const RESERVED_PREFIXES = new Set(['agent', 'client', 'legacy']);

/** Two issuers never write the same `sub`, and none takes the name of what is no issuer. */
function distinctIssuers(document: ResourceInput, world: World): Mistake[] {
  if (document.kind !== 'TrustedIssuer') return [];
  const { name } = document.metadata;
  const { spec } = document;
  const mistakes: Mistake[] = [];
  const others = world.issuers().filter(({ metadata }) => metadata.name !== name);
  if (spec.issuer === 'local' || (spec.issuer.startsWith('legacy:') && !spec.legacyHs256))
    mistakes.push({ path: 'spec.issuer', message: `${spec.issuer} is the name of people of this server` });
  if (others.some((other) => other.spec.issuer === spec.issuer))
    mistakes.push({ path: 'spec.issuer', message: 'another TrustedIssuer has it: change that one' });
  const prefix = spec.subjectPrefix ?? name;
  if (prefix.includes(':') || RESERVED_PREFIXES.has(prefix))
    mistakes.push({
      path: spec.subjectPrefix === undefined ? 'metadata.name' : 'spec.subjectPrefix',
      message: `"${prefix}" cannot begin a subject: choose another subjectPrefix, without a colon`,
    });
  // The embedded issuer's own people have no prefix.
  if (others.some((other) => other.spec.issuer !== world.embedded.issuer && prefixOf(other) === prefix))
    mistakes.push({
      path: 'spec.subjectPrefix',
      message: `another TrustedIssuer has "${prefix}": two people would be one`,
    });
  return mistakes;
}

const prefixOf = ({ metadata, spec }: ResourceOf<'TrustedIssuer'>) => spec.subjectPrefix ?? metadata.name;
