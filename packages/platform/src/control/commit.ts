import type { Resource } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import {
  deleteResource,
  insertResource,
  namespaceOf,
  replaceResource,
  type Statement,
  type StoredResource,
} from '../store/index.ts';
import type { Planned, WriteOptions } from './placed.ts';
import type { ControlPorts, Writer } from './ports.ts';
import { referencesOf, resolve } from './references.ts';

export async function commit(
  ports: ControlPorts,
  writer: Writer,
  plans: readonly Planned[],
  pruned: readonly StoredResource[],
  options: WriteOptions,
): Promise<void> {
  const { store, vault, audit, registry } = ports;
  const by = { issuer: writer.principal.issuer, subject: writer.principal.subject };
  const changed = plans.filter((planned) => planned.action !== 'unchanged');
  const statements: Statement[] = [];
  for (const planned of changed) {
    const owned = planned.before
      ? planned.resource
      : ({ ...planned.resource, metadata: { ...planned.resource.metadata, owner: by } } as Resource);
    const resource = bindGrant(ports, owned, changed);
    planned.resource = resource;
    statements.push(
      planned.before ? replaceResource(store, resource, planned.before, by) : insertResource(store, resource, by),
    );
    for (const [field, value] of Object.entries(planned.secrets))
      statements.push(
        ...(await vault.seal({ kind: 'Secret', uid: resource.metadata.uid, field }, SecretValue.of(value))),
      );
  }
  for (const before of pruned)
    statements.push(
      deleteResource(store, before),
      ...(before.kind === 'Secret' ? vault.remove(before.metadata.uid) : []),
    );
  if (statements.length === 0) return;
  const line = (resource: Resource, action: string) =>
    audit.line({
      type: 'change',
      phase: 'single',
      principal: by,
      door: 'api',
      address: writer.address,
      ...(options.requestId !== undefined && { requestId: options.requestId }),
      target: {
        kind: resource.kind,
        uid: resource.metadata.uid,
        namespace: namespaceOf(resource),
        name: resource.metadata.name,
      },
      outcome: action,
      data: { generation: resource.metadata.generation, resourceVersion: resource.metadata.resourceVersion },
    });
  const { revision } = await store.commit({
    statements,
    changes: [
      ...changed.map(({ resource }) => ({ kind: resource.kind, key: resource.metadata.uid, op: 'put' as const })),
      ...pruned.map((resource) => ({ kind: resource.kind, key: resource.metadata.uid, op: 'delete' as const })),
    ],
    audit: [
      ...changed.map(({ resource, action }) => line(resource, action)),
      ...pruned.map((resource) => line(resource, 'deleted')),
    ],
  });
  await registry.settled(revision);
}

/** A Grant holds its target's uid from its first resolution on: what is made again under the name does not have it. */
function bindGrant(ports: ControlPorts, resource: Resource, changed: readonly Planned[]): Resource {
  if (resource.kind !== 'Grant' || resource.status.targetUid !== undefined) return resource;
  const [target] = referencesOf(resource);
  if (!target) return resource;
  const fresh = changed.find(
    ({ resource: other }) =>
      other.kind === target.kind &&
      other.metadata.name === target.name &&
      namespaceOf(other) === (target.namespace ?? ''),
  );
  const uid = fresh?.resource.metadata.uid ?? resolve(ports.registry, target)?.metadata.uid;
  return uid === undefined ? resource : { ...resource, status: { ...resource.status, targetUid: uid } };
}
