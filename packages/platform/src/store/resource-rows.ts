import { API_VERSION, kinds, namespaceOrDefault, type Resource } from '@onbehalf/resources';
import type { ResourceRow } from './tables.ts';

/** A resource with who wrote its spec last: references to Secrets open only while that principal may use them. */
export type StoredResource = Resource & { readonly writer: { issuer: string; subject: string } | undefined };

export function toResource(row: ResourceRow): StoredResource {
  const owner = row.owner_iss !== null && row.owner_sub !== null && { issuer: row.owner_iss, subject: row.owner_sub };
  const writer =
    row.writer_iss !== null && row.writer_sub !== null
      ? { issuer: row.writer_iss, subject: row.writer_sub }
      : undefined;
  const labels = textsOf(row.labels);
  const annotations = textsOf(row.annotations);
  return {
    apiVersion: API_VERSION,
    kind: row.kind,
    metadata: {
      name: row.name,
      ...(row.namespace !== '' && { namespace: row.namespace }),
      ...(labels && { labels }),
      ...(annotations && { annotations }),
      uid: row.uid,
      generation: Number(row.generation),
      resourceVersion: String(row.resource_version),
      ...(owner && { owner }),
      managedBy: row.managed_by,
      ...(row.source !== null && { source: row.source }),
      createdAt: new Date(Number(row.created_at)).toISOString(),
      updatedAt: new Date(Number(row.updated_at)).toISOString(),
    },
    spec: JSON.parse(row.spec),
    status: JSON.parse(row.status),
    writer,
  } as StoredResource;
}

const textsOf = (json: string) => (json === '{}' ? undefined : (JSON.parse(json) as Record<string, string>));

/** Cluster-scoped kinds have the empty namespace in the table. */
export function namespaceOf(resource: { kind: Resource['kind']; metadata: { namespace?: string } }): string {
  return kinds[resource.kind].namespaced ? namespaceOrDefault(resource.metadata) : '';
}

export function toRow(resource: Resource, writer: StoredResource['writer']): ResourceRow {
  const { metadata } = resource;
  return {
    uid: metadata.uid,
    kind: resource.kind,
    namespace: namespaceOf(resource),
    name: metadata.name,
    generation: metadata.generation,
    resource_version: Number(metadata.resourceVersion),
    owner_iss: metadata.owner?.issuer ?? null,
    owner_sub: metadata.owner?.subject ?? null,
    managed_by: metadata.managedBy,
    source: metadata.source ?? null,
    writer_iss: writer?.issuer ?? null,
    writer_sub: writer?.subject ?? null,
    labels: JSON.stringify(metadata.labels ?? {}),
    annotations: JSON.stringify(metadata.annotations ?? {}),
    spec: JSON.stringify(resource.spec),
    status: JSON.stringify(resource.status),
    created_at: Date.parse(metadata.createdAt ?? new Date(0).toISOString()),
    updated_at: Date.parse(metadata.updatedAt ?? new Date(0).toISOString()),
  };
}
