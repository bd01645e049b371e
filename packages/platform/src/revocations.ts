import type { Services } from './http/index.ts';

/** What is revoked reaches turns, exchanged tokens and connections through the change log and the policy. */
export function followRevocations(
  store: Services['store'],
  registry: Services['registry'],
  policy: Services['policy'] & { refresh(): void },
  tools: Services['tools'],
  runtime: Services['runtime'],
): () => void {
  const stopPolicy = policy.onChange(() => runtime.reconsider());
  const generations = new Map(
    [...registry.all()].map((resource) => [resource.metadata.uid, resource.metadata.generation]),
  );
  const stopRegistry = registry.onChange((changed) => {
    for (const uid of changed) {
      const resource = registry.byUid(uid);
      const before = generations.get(uid);
      if (resource) generations.set(uid, resource.metadata.generation);
      else generations.delete(uid);
      if (resource && before === resource.metadata.generation) continue;
      if (!resource || resource.kind === 'Agent') tools.forget({ agent: uid });
      if (!resource || resource.kind === 'RemoteMCPServer') tools.forget({ server: uid });
      // Whose tokens a removed or changed grant covered is not worth finding out: they are exchanged again.
      if (!resource || resource.kind === 'Grant') tools.forget({ all: true });
    }
  });
  const watch = store.watch(store.revision(), (changes) => {
    for (const { kind, key } of changes) {
      if (kind === 'Session') tools.forget({ session: key });
      else if (kind === 'LoginSession') tools.forget({ loginSession: key });
      else if (kind === 'Principal') tools.forget({ subject: pair(key) });
      else if (kind === 'Deny') tools.forget(deniedFilter(key));
      // Open sockets ask again whether their login still stands.
      if (kind === 'LoginSession' || kind === 'Deny') queueMicrotask(() => policy.refresh());
    }
  });
  return () => {
    stopPolicy();
    stopRegistry();
    watch.close();
  };
}

/** `iss sub` */
function pair(key: string) {
  const space = key.indexOf(' ');
  return { issuer: key.slice(0, space), subject: key.slice(space + 1) };
}

/** `iss claim value` */
function deniedFilter(key: string) {
  const [issuer = '', claim, value = ''] = key.split(' ');
  if (claim === 'sid') return { loginSession: value };
  return claim === 'sub' ? { subject: { issuer, subject: value } } : {};
}
