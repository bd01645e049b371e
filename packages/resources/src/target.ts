import type { AgentSpec, McpServerBinding } from './agent.ts';
import type { TargetOverride } from './primitives.ts';
import type { RemoteMcpServerSpec } from './remote-mcp-server.ts';

type BindingAuth = McpServerBinding['auth'];

export type TargetField = 'audience' | 'resource' | 'scopes';
export type Origin = 'binding' | 'server' | 'agent' | 'none';

/** What a tool call's token is for, and where each value came from. `expectedAudience` is what its `aud` must equal. */
export interface ResolvedTarget {
  audience: readonly string[];
  resource: readonly string[];
  /** Of this tool: those of `toolScopes` where it names the tool, else those of the connection. */
  scopes: readonly string[];
  /** Of the requests that call no tool. */
  connectionScopes: readonly string[];
  /** What the token may have at most, after the tool server asked for more. */
  stepUpScopes: readonly string[];
  expectedAudience: readonly string[];
  origin: Record<TargetField, Origin>;
  /** The scopes are those of this tool alone. */
  ofTool: boolean;
}

export interface TargetProblem {
  level: 'binding' | 'server';
  field: TargetField | 'toolScopes';
  message: string;
}

const FIELDS = ['audience', 'resource', 'scopes'] as const;

/** The server's own values: what it registers, `resourceFrom: ServerURL` included. */
export function serverTarget(server: RemoteMcpServerSpec): TargetOverride {
  const auth = server.auth ?? {};
  const resource =
    auth.resource ?? (auth.resourceFrom === 'ServerURL' && server.url !== undefined ? [server.url] : undefined);
  return {
    ...(auth.audience && { audience: auth.audience }),
    ...(resource && { resource }),
    ...(auth.scopes && { scopes: auth.scopes }),
  };
}

/** What a binding or an agent may choose from: `allowOverride`, field by field, else the server's own values. */
export function allowedValues(server: RemoteMcpServerSpec, field: TargetField): readonly string[] {
  return server.auth?.allowOverride?.[field] ?? serverTarget(server)[field] ?? [];
}

/** Every scope that the server itself asks for, for one tool or another. */
export function serverScopes(server: RemoteMcpServerSpec): readonly string[] {
  return [...new Set([...(server.auth?.scopes ?? []), ...Object.values(server.auth?.toolScopes ?? {}).flat()])];
}

/** Every value that this server registers as a target at its token service. */
export function registeredTargets(server: RemoteMcpServerSpec): {
  audience: string[];
  resource: string[];
  scopes: string[];
} {
  const own = serverTarget(server);
  const all = (field: TargetField) => [
    ...new Set([...(own[field] ?? []), ...(server.auth?.allowOverride?.[field] ?? [])]),
  ];
  const scopes = [...new Set([...serverScopes(server), ...all('scopes')])];
  return { audience: all('audience'), resource: all('resource'), scopes };
}

/**
 * Resolves the target of one tool of a binding, field by field: binding > server > agent > none. An absent list inherits,
 * an empty one clears. A binding may only choose from what the server allows; an agent's default applies where it is
 * allowed. Without `tool`, of what is no call of one.
 */
export function resolveTarget(
  server: RemoteMcpServerSpec,
  binding: BindingAuth,
  agent: AgentSpec['auth'],
  tool?: string,
): { target: ResolvedTarget } | { problems: TargetProblem[] } {
  const own = serverTarget(server);
  const problems: TargetProblem[] = toolScopeProblems(server, binding);
  const origin: Record<TargetField, Origin> = { audience: 'none', resource: 'none', scopes: 'none' };
  const values: Record<TargetField, readonly string[]> = { audience: [], resource: [], scopes: [] };
  for (const field of FIELDS) {
    const allowed = allowedValues(server, field);
    const levels = [
      ['binding', binding?.[field]],
      ['server', own[field]],
      // A default for those of the agent's servers that name none and allow it; for the others it does not exist.
      ['agent', agent?.[field]?.every((value) => allowed.includes(value)) ? agent[field] : undefined],
    ] as const;
    const found = levels.find(([, value]) => value !== undefined);
    if (!found?.[1]) continue;
    const [level, chosen] = found;
    origin[field] = level;
    values[field] = chosen;
    if (level !== 'binding') continue;
    const stray = chosen.find((value) => !allowed.includes(value));
    if (stray !== undefined) problems.push({ level, field, message: notAllowed(stray, allowed, field) });
  }
  if (values.audience.length === 0 && values.resource.length === 0)
    problems.push({
      level: origin.resource === 'binding' || origin.audience === 'binding' ? 'binding' : 'server',
      field: 'resource',
      message: 'audience and resource are both empty: a token needs a target',
    });
  if (problems.length > 0) return { problems };
  const expectedAudience = values.audience.length > 0 ? values.audience : values.resource;
  const connectionScopes = values.scopes;
  const [level, scopes] = scopesOfTool(server, binding, tool);
  if (scopes !== undefined) {
    values.scopes = scopes;
    origin.scopes = level;
  }
  const ofTool = scopes !== undefined;
  const stepUpScopes = stepUpOf(server, binding, [...connectionScopes, ...values.scopes]);
  return { target: { ...values, connectionScopes, stepUpScopes, expectedAudience, origin, ofTool } };
}

const notAllowed = (stray: string, allowed: readonly string[], field: string) =>
  `"${stray}" is not allowed by the server: ${allowed.length > 0 ? `choose from ${allowed.join(', ')}` : `its allowOverride lists no ${field}`}`;

const entryOf = <T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined =>
  record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;

/** Those that are named for the tool itself, and by whom. */
function scopesOfTool(
  server: RemoteMcpServerSpec,
  binding: BindingAuth,
  tool: string | undefined,
): readonly [Origin, readonly string[] | undefined] {
  if (tool === undefined) return ['none', undefined];
  const chosen = entryOf(binding?.toolScopes, tool);
  return chosen === undefined ? ['server', entryOf(server.auth?.toolScopes, tool)] : ['binding', chosen];
}

/** A binding chooses for a tool from `allowOverride.scopes`, else from what the server itself asks for. */
function toolScopeProblems(server: RemoteMcpServerSpec, binding: BindingAuth): TargetProblem[] {
  return Object.entries(binding?.toolScopes ?? {}).flatMap(([tool, chosen]): TargetProblem[] => {
    const allowed = server.auth?.allowOverride?.scopes ?? [
      ...new Set([...(server.auth?.scopes ?? []), ...(entryOf(server.auth?.toolScopes, tool) ?? [])]),
    ];
    const stray = chosen.find((value) => !allowed.includes(value));
    if (stray === undefined) return [];
    return [{ level: 'binding', field: 'toolScopes', message: `${tool}: ${notAllowed(stray, allowed, 'scopes')}` }];
  });
}

/**
 * Never beyond the scopes of the connection and those of the tool. Where nobody has said anything for single tools or
 * chosen anything, all that the server allows is what it declares.
 */
function stepUpOf(server: RemoteMcpServerSpec, binding: BindingAuth, declared: readonly string[]): readonly string[] {
  const chosen = binding?.scopes ?? binding?.toolScopes ?? server.auth?.toolScopes;
  return [...new Set(chosen === undefined ? [...declared, ...allowedValues(server, 'scopes')] : declared)];
}
