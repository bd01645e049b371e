import type { McpServer, ToolCall } from './ports.ts';

/** A resolved target as the exchange takes it. */
export function exchangeTarget(server: McpServer, target: NonNullable<ToolCall['target']>) {
  const stepUp = server.spec.auth?.allowOverride?.scopes ?? server.spec.auth?.scopes ?? [];
  return {
    audience: target.audience,
    resource: target.resource,
    scopes: target.scopes,
    name: `${server.metadata.namespace ?? 'default'}/${server.metadata.name}`,
    stepUpScopes: stepUp.filter((scope) => target.scopes.includes(scope)),
    ...(server.spec.url !== undefined && { url: server.spec.url }),
    ...(server.spec.auth?.allowExtraAudiences && { allowExtraAudiences: server.spec.auth.allowExtraAudiences }),
  };
}
