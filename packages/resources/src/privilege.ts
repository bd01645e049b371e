import type { Resource, ResourceInput } from './kinds.ts';
import type { RemoteMcpServerSpec } from './remote-mcp-server.ts';
import { secretReferencesIn } from './secret-references.ts';

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
      return was && sensitive(was) ? 'change of url, auth, tls or headers' : externalReference(after);
    }
    case 'Agent':
      return after.spec.byo?.process
        ? 'byo.process'
        : after.spec.byo?.deployment
          ? 'byo.deployment'
          : externalReference(after);
    case 'Grant':
      return after.spec.on.kind === undefined ? 'a Grant on a namespace' : undefined;
    default:
      return externalReference(after);
  }
}

/** `env:`, `file:` and `vault:` read from outside, so only an administrator may write them. */
function externalReference(document: Pick<ResourceInput, 'kind' | 'spec'>): string | undefined {
  for (const { path, ref } of secretReferencesIn(document))
    for (const source of ['env', 'file', 'vault'] as const)
      if (ref[source] !== undefined) return `${path.slice(path.lastIndexOf('.') + 1)}.${source}`;
  return undefined;
}
