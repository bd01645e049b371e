import { qualifiedName } from '@onbehalf/resources';
import type { ForgetFilter } from '@onbehalf/token-exchange';
import { deniedBy, type Principals } from '../people/index.ts';
import type { Change, Registry, Store } from '../store/index.ts';
import type { Policy } from './types.ts';

/** How long open sockets wait before they ask, so that what ends in one go is asked about once. */
const TOGETHER_MS = 20;

/**
 * What is revoked reaches turns, exchanged tokens and connections through the change log and the policy. Where somebody
 * or something has lost a right, the tokens are ended at their service too; where a resource merely changed, they are
 * only asked for again.
 */
export function followRevocations(o: {
  store: Pick<Store, 'watch' | 'revision'>;
  registry: Registry;
  policy: Pick<Policy, 'onChange' | 'refresh'>;
  principals: Pick<Principals, 'onChange'>;
  tools: { forget(filter: ForgetFilter & { server?: string }, how?: { revoke?: boolean }): void };
  /** Turns that are under way ask again whether they may go on. */
  runtime: { reconsider(): void };
}): () => void {
  const { store, registry, policy, principals, tools, runtime } = o;
  const stopPolicy = policy.onChange(() => runtime.reconsider());
  const known = new Map([...registry.all()].map((resource) => [resource.metadata.uid, knownOf(resource)]));
  const stopRegistry = registry.onChange((changed) => {
    for (const uid of changed) {
      const resource = registry.byUid(uid);
      const before = known.get(uid);
      if (resource) known.set(uid, knownOf(resource));
      else known.delete(uid);
      if (resource && before?.generation === resource.metadata.generation) continue;
      const kind = before?.kind ?? resource?.kind;
      const revoke = resource === undefined || ('enabled' in resource.spec && resource.spec.enabled === false);
      if (kind === 'Agent') tools.forget({ agent: uid }, { revoke });
      if (kind === 'RemoteMCPServer' && before) tools.forget({ server: uid, target: before.target }, { revoke });
      // Whose tokens a grant or an issuer covered is not worth finding out: those that still may exchange again.
      if (kind === 'Grant' || kind === 'TrustedIssuer') tools.forget({ all: true }, { revoke: false });
    }
  });
  // Disabled, or signed out everywhere.
  const stopPrincipals = principals.onChange((ended) => {
    for (const subject of ended) tools.forget({ subject });
  });
  let asking: NodeJS.Timeout | undefined;
  const watch = store.watch(store.revision(), (changes) => {
    for (const { kind, key } of changes) if (kind === 'Session') tools.forget({ session: key });
    const ended = changes.flatMap((change) => endedBy(change) ?? []);
    for (const filter of ended) tools.forget(filter);
    // Open sockets ask again whether their login still stands: once for all that end together.
    if (ended.length > 0)
      asking ??= setTimeout(() => {
        asking = undefined;
        policy.refresh();
      }, TOGETHER_MS).unref();
  });
  return () => {
    stopPolicy();
    stopRegistry();
    stopPrincipals();
    watch.close();
    clearTimeout(asking);
  };
}

type Resource = NonNullable<ReturnType<Registry['byUid']>>;

/** What is still needed of a resource when it is gone. */
function knownOf({ kind, metadata }: Resource) {
  const name = qualifiedName(metadata);
  return { kind, generation: metadata.generation, target: { name, audience: [], resource: [] } };
}

/** The tokens that end with a login, or with what is denied. Of a single token (`jti`) none are known. */
function endedBy({ kind, key, op }: Change): ForgetFilter | undefined {
  if (kind === 'LoginSession' && op === 'delete') return { loginSession: key };
  if (kind !== 'Deny' || op !== 'put') return undefined;
  const { issuer, claim, value } = deniedBy(key);
  if (claim === 'sid') return { loginSession: value };
  return claim === 'sub' ? { subject: { issuer, subject: value } } : {};
}
