import type { Resource, ResourceInput } from './kinds.ts';
import type { RemoteMcpServerSpec } from './remote-mcp-server.ts';

const TOKEN_MODES: ReadonlySet<string> = new Set(['Exchange', 'Workload', 'Forward']);

const sensitive = (spec: RemoteMcpServerSpec) =>
  TOKEN_MODES.has(spec.auth?.mode ?? 'None') || spec.protocol === 'Stdio';

/** What makes a write one for administrators only, or nothing. `before` is the stored resource, if there is one. */
export function privilegedProperty(after: ResourceInput, before?: Resource): string | undefined {
  switch (after.kind) {
    case 'TrustedIssuer':
    case 'TokenService':
      return after.kind;
    case 'RemoteMCPServer': {
      if (sensitive(after.spec))
        return after.spec.protocol === 'Stdio' ? 'protocol Stdio' : `mode ${after.spec.auth?.mode}`;
      const was = before?.kind === 'RemoteMCPServer' ? before.spec : undefined;
      return was && sensitive(was) ? 'change of url, auth, tls or headers' : externalReference(after.spec);
    }
    case 'Agent':
      return after.spec.byo?.process
        ? 'byo.process'
        : after.spec.byo?.deployment
          ? 'byo.deployment'
          : externalReference(after.spec);
    case 'Grant':
      return after.spec.on.kind === undefined ? 'a Grant on a namespace' : undefined;
    default:
      return externalReference(after.spec);
  }
}

/** `env:`, `file:` and `vault:` read from outside, so only an administrator may write them. */
function externalReference(value: unknown): string | undefined {
  if (Array.isArray(value)) return value.map(externalReference).find((found) => found !== undefined);
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    if (/Ref$/.test(key) && typeof inner === 'object' && inner !== null)
      for (const source of ['env', 'file', 'vault']) if (source in inner) return `${key}.${source}`;
    const found = externalReference(inner);
    if (found) return found;
  }
  return undefined;
}
