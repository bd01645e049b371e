import { createHash } from 'node:crypto';
import {
  bindingsOf,
  type DiscoveredTool,
  type McpServerBinding,
  type MissingTool,
  milliseconds,
  modelConfigRefOf,
  namespaceOrDefault,
  placeOf,
  qualifiedName,
  type ResolvedTarget,
  resolveTarget,
} from '@onbehalf/resources';
import type { Registry, Stored } from '../store/index.ts';

type McpServer = Stored<'RemoteMCPServer'>;

/** One tool that is bound to an agent, as it stands now. `problem`: why it cannot be offered. */
export interface BoundTool {
  /** What the model calls it: prefixed by its server, so that two servers cannot shadow each other. */
  name: string;
  server: McpServer | undefined;
  serverName: string;
  /** `namespace/name`, also of one that is not there. */
  serverRef: string;
  tool: string;
  found: DiscoveredTool | undefined;
  target: ResolvedTarget | undefined;
  requireApproval: boolean;
  idempotent: boolean;
  timeoutMs?: number;
  offered: boolean;
  problem?: string;
}

const MODEL_NAME_LIMIT = 64;

type Agent = Pick<Stored<'Agent'>, 'metadata' | 'spec' | 'writer'>;

/**
 * Whether the last writer of an agent may `use` what it refers to. Asked anew each time, for a reference may have been
 * written before its target was there, and a grant may have gone since.
 */
export type WriterMayUse = (
  writer: Stored<'Agent'>['writer'],
  target: { kind: 'RemoteMCPServer' | 'ModelConfig'; uid: string },
) => 'allow' | 'deny' | 'hide';

/** The ModelConfig of an agent. One that its last writer may not use, or that does not admit it, is none. */
export function resolveModel(
  agent: Agent,
  registry: Registry,
  mayUse: WriterMayUse,
): Stored<'ModelConfig'> | undefined {
  const ref = modelConfigRefOf(agent.spec);
  const home = namespaceOrDefault(agent.metadata);
  const found = ref && registry.get('ModelConfig', ref.namespace ?? home, ref.name);
  if (!found || !admits(found, agent)) return undefined;
  return mayUse(agent.writer, { kind: 'ModelConfig', uid: found.metadata.uid }) === 'allow' ? found : undefined;
}

/** Every tool that the agent's bindings name, resolved against the servers and their catalogues. */
export function resolveTools(agent: Agent, registry: Registry, mayUse: WriterMayUse): BoundTool[] {
  return resolveBindings(agent, registry, mayUse).flatMap(({ tools }) => tools());
}

/**
 * What the agent is bound to and does not have now, and why: a whole server where none of its tools is there, else each
 * tool. Its turns say so, and it is not `Ready`.
 */
export function missingTools(agent: Agent, registry: Registry, mayUse: WriterMayUse): MissingTool[] {
  return resolveBindings(agent, registry, mayUse).flatMap(({ name, server, refused, ...binding }): MissingTool[] => {
    const tools = binding.tools();
    const some = tools.some(({ offered }) => offered);
    const whole =
      refused ?? switchedOff(server) ?? notListed(server) ?? (tools.length === 0 ? 'it offers no tool' : '');
    if (!some && whole !== '') return [{ server: name, problem: whole }];
    return tools.flatMap(({ tool, problem }) => (problem === undefined ? [] : [{ server: name, tool, problem }]));
  });
}

/** The servers that the agent may reach by its bindings, whatever they offer at the moment. */
export function resolveServers(agent: Agent, registry: Registry, mayUse: WriterMayUse): McpServer[] {
  return resolveBindings(agent, registry, mayUse).flatMap(({ server, refused }) =>
    server && refused === undefined && switchedOff(server) === undefined ? [server] : [],
  );
}

function resolveBindings(agent: Agent, registry: Registry, mayUse: WriterMayUse) {
  const home = namespaceOrDefault(agent.metadata);
  const bindings = bindingsOf(agent.spec).flatMap((binding) => (binding.mcpServer ? [binding.mcpServer] : []));
  const counts = new Map<string, number>();
  for (const { name } of bindings) counts.set(name, (counts.get(name) ?? 0) + 1);
  return bindings.map((binding) => {
    const namespace = binding.namespace ?? home;
    const found = registry.get('RemoteMCPServer', namespace, binding.name);
    const use = found && mayUse(agent.writer, { kind: 'RemoteMCPServer', uid: found.metadata.uid });
    const server = use === 'hide' ? undefined : found;
    const prefix = (counts.get(binding.name) ?? 0) > 1 ? `${namespace}_${binding.name}` : binding.name;
    const refused = serverProblem(agent, binding, server, use === 'allow');
    /** Resolved for those who ask for them: who asks for the servers does not. */
    const tools = () => {
      const moved = server !== undefined && server.status.approvedFor !== placeOf(server.spec);
      return namesOf(binding, server).map((tool) => bound(agent, binding, server, { refused, moved }, prefix, tool));
    };
    return { name: binding.name, server, refused, tools };
  });
}

/** Why nothing of this server is there for the agent, whatever it offers. */
function serverProblem(agent: Agent, { name }: McpServerBinding, server: McpServer | undefined, usable: boolean) {
  if (!server) return `there is no RemoteMCPServer ${name}`;
  if (!admits(server, agent)) return `${name} does not admit agents of this namespace`;
  return usable ? undefined : `the last writer of this agent may not use ${name}`;
}

const switchedOff = (server: McpServer | undefined) =>
  server?.spec.enabled === false ? `${server.metadata.name} is switched off` : undefined;

function notListed(server: McpServer | undefined): string | undefined {
  const listing = server?.status.conditions?.find(({ type }) => type === 'ToolsDiscovered');
  if (listing?.status === 'True') return undefined;
  return `its tools could not be listed: ${listing?.message ?? 'it has not been asked yet'}`;
}

/** A binding without names means everything that the server offers. */
function namesOf(binding: McpServerBinding, server: McpServer | undefined): string[] {
  return binding.toolNames ?? server?.spec.toolNames ?? server?.status.tools?.map((tool) => tool.name) ?? [];
}

function bound(
  agent: Agent,
  binding: McpServerBinding,
  server: McpServer | undefined,
  { refused, moved }: { refused: string | undefined; moved: boolean },
  prefix: string,
  tool: string,
): BoundTool {
  const found = server?.status.tools?.find((known) => known.name === tool);
  const mode = server?.spec.auth?.mode ?? 'None';
  const resolved =
    server && refused === undefined && (mode === 'Exchange' || mode === 'Workload')
      ? resolveTarget(server.spec, binding.auth, agent.spec.auth, tool)
      : undefined;
  const problem =
    refused ??
    switchedOff(server) ??
    toolProblem(binding, server, found, tool, moved) ??
    (resolved && 'problems' in resolved ? resolved.problems.map((entry) => entry.message).join('; ') : undefined);
  const timeout = binding.timeouts?.tool;
  return {
    name: modelName(prefix, tool),
    server,
    serverName: binding.name,
    serverRef: qualifiedName({ name: binding.name, namespace: binding.namespace ?? agent.metadata.namespace }),
    tool,
    found,
    target: resolved && 'target' in resolved ? resolved.target : undefined,
    requireApproval: needsApproval(binding, server, tool),
    idempotent: binding.idempotent?.includes(tool) ?? false,
    ...(timeout !== undefined && { timeoutMs: milliseconds(timeout) }),
    offered: problem === undefined,
    ...(problem !== undefined && { problem }),
  };
}

/** Why this one tool is not there, of a server that is. What was approved at another address is not approved here. */
function toolProblem(
  { name }: McpServerBinding,
  server: McpServer | undefined,
  found: DiscoveredTool | undefined,
  tool: string,
  moved: boolean,
): string | undefined {
  if (!server || !found) return `${name} has not been found to offer ${tool}`;
  if (moved)
    return `the address or auth of ${name} has changed since ${tool} was approved, and its tools could not be listed there yet`;
  if (!found.approved) return `${tool} is new or has changed and waits for approval`;
  if (server.spec.toolNames && !server.spec.toolNames.includes(tool)) return `${name} does not offer ${tool}`;
  return undefined;
}

/** In its own namespace always; elsewhere as `consumers` says. */
function admits({ metadata, spec }: McpServer | Stored<'ModelConfig'>, agent: Agent): boolean {
  if (metadata.namespace === agent.metadata.namespace || spec.consumers?.from === 'All') return true;
  const wanted = spec.consumers?.from === 'Selector' ? Object.entries(spec.consumers.selector?.matchLabels ?? {}) : [];
  return wanted.length > 0 && wanted.every(([key, value]) => agent.metadata.labels?.[key] === value);
}

function needsApproval(binding: McpServerBinding, server: McpServer | undefined, tool: string): boolean {
  return (
    (binding.requireApproval?.includes(tool) ?? false) ||
    (binding.approval?.some((rule) => rule.tool === tool) ?? false) ||
    (server?.spec.requireApproval?.includes(tool) ?? false)
  );
}

/**
 * Letters, digits, `_` and `-`, at most 64: what every provider accepts. What had to be changed ends with a hash of the
 * name, so that `a.b` and `a_b` are two.
 */
function modelName(prefix: string, tool: string): string {
  const name = `${prefix}__${tool}`;
  const safe = name.replaceAll(/[^A-Za-z0-9_-]/g, '_');
  if (safe === name && name.length <= MODEL_NAME_LIMIT) return name;
  const hash = createHash('sha256').update(name).digest('base64url').replaceAll('-', '_').slice(0, 10);
  return `${safe.slice(0, MODEL_NAME_LIMIT - 11)}_${hash}`;
}
