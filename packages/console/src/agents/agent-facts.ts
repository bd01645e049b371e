import type { AgentSpec } from '@onbehalf/resources';

export function modelName(spec: AgentSpec): string {
  const reference = spec.declarative?.modelConfigRef ?? spec.byo?.modelConfigRef ?? spec.modelConfigRef;
  return reference?.name ?? 'no model';
}

/** How many tools are bound by name; a binding without names counts as one, for it takes whatever its server has. */
export function bindingCount(spec: AgentSpec): number {
  const bindings = spec.declarative?.tools ?? spec.byo?.tools ?? [];
  return bindings.reduce((sum, { mcpServer }) => sum + (mcpServer?.toolNames?.length ?? 1), 0);
}
