import { createHash } from 'node:crypto';
import {
  bindingsOf,
  type DiscoveredTool,
  type McpServerBinding,
  milliseconds,
  modelConfigRefOf,
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
  const home = agent.metadata.namespace ?? 'default';
  const found = ref && registry.get('ModelConfig', ref.namespace ?? home, ref.name);
  if (!found || !admits(found, agent)) return undefined;
  return mayUse(agent.writer, { kind: 'ModelConfig', uid: found.metadata.uid }) === 'allow' ? found : undefined;
}

/** Every tool that the agent's bindings name, resolved against the servers and their catalogues. */
export function resolveTools(agent: Agent, registry: Registry, mayUse: WriterMayUse): BoundTool[] {
  const home = agent.metadata.namespace ?? 'default';
  const bindings = bindingsOf(agent.spec).flatMap((binding) => (binding.mcpServer ? [binding.mcpServer] : []));
  const counts = new Map<string, number>();
  for (const { name } of bindings) counts.set(name, (counts.get(name) ?? 0) + 1);
  return bindings.flatMap((binding) => {
    const namespace = binding.namespace ?? home;
    const found = registry.get('RemoteMCPServer', namespace, binding.name);
    const use = found && mayUse(agent.writer, { kind: 'RemoteMCPServer', uid: found.metadata.uid });
    const server = use === 'hide' ? undefined : found;
    const prefix = (counts.get(binding.name) ?? 0) > 1 ? `${namespace}_${binding.name}` : binding.name;
    return namesOf(binding, server).map((tool) => bound(agent, binding, server, use === 'allow', prefix, tool));
  });
}

/** A binding without names means everything that the server offers. */
function namesOf(binding: McpServerBinding, server: McpServer | undefined): string[] {
  return binding.toolNames ?? server?.spec.toolNames ?? server?.status.tools?.map((tool) => tool.name) ?? [];
}

function bound(
  agent: Agent,
  binding: McpServerBinding,
  server: McpServer | undefined,
  usable: boolean,
  prefix: string,
  tool: string,
): BoundTool {
  const found = server?.status.tools?.find((known) => known.name === tool);
  const listed = server?.spec.toolNames === undefined || server.spec.toolNames.includes(tool);
  const mode = server?.spec.auth?.mode ?? 'None';
  const admitted = server !== undefined && admits(server, agent);
  const resolved =
    admitted && usable && (mode === 'Exchange' || mode === 'Workload')
      ? resolveTarget(server.spec, binding.auth, agent.spec.auth)
      : undefined;
  const problem = !server
    ? `there is no RemoteMCPServer ${binding.name}`
    : !admitted
      ? `${binding.name} does not admit agents of this namespace`
      : !usable
        ? `the last writer of this agent may not use ${binding.name}`
        : server.spec.enabled === false
          ? `${binding.name} is switched off`
          : !found
            ? `${binding.name} has not been found to offer ${tool}`
            : !found.approved
              ? `${tool} is new or has changed and waits for approval`
              : !listed
                ? `${binding.name} does not offer ${tool}`
                : resolved && 'problems' in resolved
                  ? resolved.problems.map((entry) => entry.message).join('; ')
                  : undefined;
  const timeout = binding.timeouts?.tool;
  return {
    name: modelName(prefix, tool),
    server,
    serverName: binding.name,
    serverRef: `${binding.namespace ?? agent.metadata.namespace ?? 'default'}/${binding.name}`,
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

/** Letters, digits, `_` and `-`, at most 64: what every provider accepts. */
function modelName(prefix: string, tool: string): string {
  const name = `${prefix}__${tool.replaceAll('.', '_')}`;
  if (name.length <= MODEL_NAME_LIMIT) return name;
  const hash = createHash('sha256').update(name).digest('base64url').replaceAll('-', '_').slice(0, 10);
  return `${name.slice(0, MODEL_NAME_LIMIT - 11)}_${hash}`;
}
