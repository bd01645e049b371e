import type { AgentSpec } from './agent.ts';
import type { TargetOverride } from './primitives.ts';
import type { RemoteMcpServerSpec } from './remote-mcp-server.ts';

export type TargetField = 'audience' | 'resource' | 'scopes';
export type Origin = 'binding' | 'server' | 'agent' | 'none';

/** What a tool call's token is for, and where each value came from. `expectedAudience` is what its `aud` must equal. */
export interface ResolvedTarget {
  audience: readonly string[];
  resource: readonly string[];
  scopes: readonly string[];
  expectedAudience: readonly string[];
  origin: Record<TargetField, Origin>;
}

export interface TargetProblem {
  level: 'binding' | 'server';
  field: TargetField;
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
  return { audience: all('audience'), resource: all('resource'), scopes: all('scopes') };
}

/**
 * Resolves the target of one tool binding, field by field: binding > server > agent > none. An absent list inherits, an
 * empty one clears. A binding may only choose from what the server allows; an agent's default applies where it is allowed.
 */
export function resolveTarget(
  server: RemoteMcpServerSpec,
  binding: TargetOverride | undefined,
  agent: AgentSpec['auth'],
): { target: ResolvedTarget } | { problems: TargetProblem[] } {
  const own = serverTarget(server);
  const problems: TargetProblem[] = [];
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
    if (stray !== undefined)
      problems.push({
        level,
        field,
        message: `"${stray}" is not allowed by the server: ${allowed.length > 0 ? `choose from ${allowed.join(', ')}` : `its allowOverride lists no ${field}`}`,
      });
  }
  if (values.audience.length === 0 && values.resource.length === 0)
    problems.push({
      level: origin.resource === 'binding' || origin.audience === 'binding' ? 'binding' : 'server',
      field: 'resource',
      message: 'audience and resource are both empty: a token needs a target',
    });
  if (problems.length > 0) return { problems };
  const expectedAudience = values.audience.length > 0 ? values.audience : values.resource;
  return { target: { ...values, expectedAudience, origin } };
}
