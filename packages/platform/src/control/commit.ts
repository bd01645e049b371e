import type { Resource } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import {
  type AuditBody,
  deleteResource,
  inSlices,
  insertResource,
  namespaceOf,
  replaceResource,
  type Statement,
  type StoredResource,
  StoreError,
} from '../store/index.ts';
import { rebindingOf, targetOf } from './grants.ts';
import { plansByName } from './laid.ts';
import type { Planned, WriteOptions } from './placed.ts';
import type { ControlPorts, Writer } from './ports.ts';

export async function commit(
  ports: ControlPorts,
  writer: Writer,
  plans: readonly Planned[],
  pruned: readonly StoredResource[],
  options: WriteOptions,
  /** Of the policy, when it was asked. */
  asked: number,
): Promise<void> {
  const { store, vault, audit, registry } = ports;
  const by = { issuer: writer.principal.issuer, subject: writer.principal.subject };
  const changed = plans.filter((planned) => planned.action !== 'unchanged');
  const byName = plansByName(changed);
  const line = (resource: Resource, action: string, rebound?: { from: string; to: string }) =>
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
      data: {
        generation: resource.metadata.generation,
        resourceVersion: resource.metadata.resourceVersion,
        ...(rebound && { reboundFrom: rebound.from, reboundTo: rebound.to }),
      },
    });
  const breathe = inSlices();
  const statements: Statement[] = [];
  const lines: AuditBody[] = [];
  for (const planned of changed) {
    await breathe();
    const owned = planned.before
      ? planned.resource
      : ({ ...planned.resource, metadata: { ...planned.resource.metadata, owner: by } } as Resource);
    const resource = bindGrant(ports, owned, byName);
    planned.resource = resource;
    statements.push(
      planned.before ? replaceResource(store, resource, planned.before, by) : insertResource(store, resource, by),
    );
    for (const [field, value] of Object.entries(planned.secrets))
      statements.push(
        ...(await vault.seal({ kind: 'Secret', uid: resource.metadata.uid, field }, SecretValue.of(value))),
      );
    lines.push(line(resource, planned.action, rebindingOf(planned, registry, byName)));
  }
  for (const before of pruned) {
    await breathe();
    statements.push(
      deleteResource(store, before),
      ...(before.kind === 'Secret' ? vault.remove(before.metadata.uid) : []),
    );
    lines.push(line(before, 'deleted'));
  }
  if (statements.length === 0) return;
  // If the policy has moved while others were let in, all is asked again.
  if (ports.policy.table().revision !== asked) throw new StoreError('precondition_failed', 'the policy has changed');
  const { revision } = await store.commit({
    statements,
    changes: [
      ...changed.map(({ resource }) => ({ kind: resource.kind, key: resource.metadata.uid, op: 'put' as const })),
      ...pruned.map((resource) => ({ kind: resource.kind, key: resource.metadata.uid, op: 'delete' as const })),
    ],
    audit: lines,
  });
  await registry.settled(revision);
}

/** A Grant holds its target's uid from its first resolution on: what is made again under the name does not have it. */
function bindGrant({ registry }: ControlPorts, resource: Resource, written: ReadonlyMap<string, Planned>): Resource {
  if (resource.kind !== 'Grant' || resource.status.targetUid !== undefined) return resource;
  const targetUid = targetOf(resource, registry, written);
  return targetUid === undefined ? resource : { ...resource, status: { ...resource.status, targetUid } };
}
