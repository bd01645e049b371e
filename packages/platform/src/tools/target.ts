import { qualifiedName } from '@onbehalf/resources';
import type { McpServer, ToolCall } from './ports.ts';

/** `namespace/name`: how a tool server is named in evidence, beside its uid. */
export const serverName = ({ metadata }: Pick<McpServer, 'metadata'>): string => qualifiedName(metadata);

/** A resolved target as the exchange takes it. */
export function exchangeTarget(server: McpServer, target: NonNullable<ToolCall['target']>) {
  const stepUp = server.spec.auth?.allowOverride?.scopes ?? server.spec.auth?.scopes ?? [];
  return {
    audience: target.audience,
    resource: target.resource,
    scopes: target.scopes,
    name: serverName(server),
    stepUpScopes: stepUp.filter((scope) => target.scopes.includes(scope)),
    ...(server.spec.url !== undefined && { url: server.spec.url }),
    ...(server.spec.auth?.allowExtraAudiences && { allowExtraAudiences: server.spec.auth.allowExtraAudiences }),
  };
}
