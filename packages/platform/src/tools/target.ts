import { qualifiedName } from '@onbehalf/resources';
import type { Target } from '@onbehalf/token-exchange';
import type { McpServer, ToolCall } from './ports.ts';

/** `namespace/name`: how a tool server is named in evidence, beside its uid. */
export const serverName = ({ metadata }: Pick<McpServer, 'metadata'>): string => qualifiedName(metadata);

type Resolved = NonNullable<ToolCall['target']>;

/** A resolved target as the exchange takes it, with the scopes of its tool. */
export function exchangeTarget(server: McpServer, target: Resolved): Target {
  return {
    audience: target.audience,
    resource: target.resource,
    scopes: target.scopes,
    name: serverName(server),
    stepUpScopes: target.stepUpScopes,
    ...(server.spec.url !== undefined && { url: server.spec.url }),
    ...(server.spec.auth?.allowExtraAudiences && { allowExtraAudiences: server.spec.auth.allowExtraAudiences }),
  };
}

const MOST = 1_000;

/** The same object for the same target: what is computed of one, such as its part of a cache key, is computed once. */
export function createTargets() {
  const known = new Map<string, Target>();
  const of = (server: McpServer, target: Resolved): Target => {
    const { uid, generation } = server.metadata;
    const { audience, resource, scopes, stepUpScopes } = target;
    const key = JSON.stringify([uid, generation, audience, resource, scopes, stepUpScopes]);
    let found = known.get(key);
    if (found === undefined) {
      if (known.size === MOST) known.clear();
      found = exchangeTarget(server, target);
      known.set(key, found);
    }
    return found;
  };
  return {
    /** Of the call of a tool. */
    ofCall: of,
    /** Of the requests of a connection that call none. */
    ofConnection: (server: McpServer, target: Resolved) => of(server, { ...target, scopes: target.connectionScopes }),
  };
}
