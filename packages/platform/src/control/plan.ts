import { API_VERSION, granteeAt, placeOf, type Resource, type ResourceInput } from '@onbehalf/resources';
import { namespaceOf, nextVersion, type StoredResource } from '../store/index.ts';
import { ControlError } from './error.ts';
import { isOrphaned, unbound } from './grants.ts';
import { keyOfNamed } from './laid.ts';
import { decideWrite, mayRead } from './permit.ts';
import type { Placed, Planned, WriteOptions } from './placed.ts';
import type { ControlPorts, Deciding, Writer } from './ports.ts';

/** Hidden and missing read the same. */
export const notThere = ({ kind, metadata }: Pick<ResourceInput, 'kind' | 'metadata'>) =>
  new ControlError('not_found', `there is no ${kind} ${metadata.name}, or you may not see it`);

export function plan(
  ports: Deciding & Pick<ControlPorts, 'now' | 'embedded'>,
  writer: Writer,
  at: Placed,
  first: ReadonlyMap<string, Placed>,
  options: WriteOptions,
  fail: (at: Placed, path: string, message: string) => void,
): Planned | undefined {
  const { input } = at;
  const namespace = namespaceOf(input);
  if (first.get(keyOfNamed(input)) !== at) {
    fail(at, 'metadata.name', `${input.kind} ${input.metadata.name} stands here twice`);
    return undefined;
  }
  const before = ports.registry.get(input.kind, namespace === '' ? undefined : namespace, input.metadata.name) as
    | StoredResource
    | undefined;
  const managedBy = options.managedBy ?? 'api';
  if (before && !mayRead(ports, writer, before)) {
    // A name that is taken by what the writer may not see is answered as one where they may make nothing.
    const refusal = decideWrite(ports, writer, input, undefined);
    fail(at, refusal?.path ?? '', refusal?.message ?? 'not allowed: the name is not free');
    return undefined;
  }
  if (before && options.expect === 'create')
    throw new ControlError('already_exists', `there is a ${input.kind} ${input.metadata.name} already`);
  if (!before && options.expect === 'replace') throw notThere(input);
  if (before && before.metadata.managedBy !== managedBy && before.metadata.managedBy !== 'api')
    throw new ControlError('managed_elsewhere', managedElsewhere(before));
  const wanted = input.metadata.resourceVersion;
  if (before && wanted !== undefined && wanted !== before.metadata.resourceVersion)
    throw new ControlError(
      'stale_resource_version',
      `${input.kind} ${input.metadata.name} is at version ${before.metadata.resourceVersion}: read it again`,
    );
  const { spec, secrets } = toKeep(input, ports.embedded.issuer);
  const now = ports.now();
  if (!before) {
    const resource = {
      apiVersion: API_VERSION,
      kind: input.kind,
      metadata: {
        name: input.metadata.name,
        ...(namespace !== '' && { namespace }),
        ...(input.metadata.labels && { labels: input.metadata.labels }),
        ...(input.metadata.annotations && { annotations: input.metadata.annotations }),
        uid: crypto.randomUUID(),
        generation: 1,
        resourceVersion: '1',
        managedBy,
        ...(options.source !== undefined && { source: options.source }),
        createdAt: new Date(now).toISOString(),
        updatedAt: new Date(now).toISOString(),
      },
      spec,
      status: statusFor(input, undefined, writer),
    } as Resource;
    return { action: 'created', resource, before, secrets };
  }
  const labels = input.metadata.labels ?? {};
  const annotations = input.metadata.annotations ?? {};
  const specChanged =
    JSON.stringify(sorted(spec)) !== JSON.stringify(sorted(before.spec)) || Object.keys(secrets).length > 0;
  const metaChanged =
    JSON.stringify(sorted(labels)) !== JSON.stringify(sorted(before.metadata.labels ?? {})) ||
    JSON.stringify(sorted(annotations)) !== JSON.stringify(sorted(before.metadata.annotations ?? {}));
  // An unchanged document hands nothing to whoever made its target again, unless that is asked for.
  const rebound = options.rebind === true && before.kind === 'Grant' && isOrphaned(before, ports.registry);
  if (!specChanged && !metaChanged && !rebound) return { action: 'unchanged', resource: before, before, secrets };
  const { labels: _labels, annotations: _annotations, ...kept } = nextVersion(before, now, specChanged);
  const metadata = {
    ...kept,
    ...(Object.keys(labels).length > 0 && { labels }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
    ...(options.source !== undefined && { source: options.source }),
  };
  return {
    action: 'configured',
    resource: {
      ...{ ...before, metadata, spec },
      status: rebound ? unbound(before.status) : statusFor(input, before, writer),
    } as Resource,
    before,
    secrets,
  };
}

/**
 * A Grant that is moved to another target lets go of the first one's uid. A tool server that is moved, or called with
 * another credential, notes who moved it, and nothing that was approved there is approved any more.
 */
function statusFor(
  input: ResourceInput,
  before: StoredResource | undefined,
  { principal: { issuer, subject } }: Writer,
): Resource['status'] {
  if (input.kind === 'RemoteMCPServer' && (before === undefined || before.kind === input.kind)) {
    if (before && placeOf(input.spec) === placeOf(before.spec)) return before.status;
    const { approvedFor: _approvedFor, ...status } = before?.status ?? {};
    const tools = status.tools?.map((tool) => ({ ...tool, approved: false }));
    return { ...status, ...(tools && { tools }), placedBy: { issuer, subject } };
  }
  if (before === undefined) return {};
  if (input.kind !== 'Grant' || before.kind !== 'Grant') return before.status;
  if (JSON.stringify(sorted(input.spec.on)) === JSON.stringify(sorted(before.spec.on))) return before.status;
  return unbound(before.status);
}

/**
 * What is stored of a document. A Secret's values never reach the resource: they are sealed on their own. People whose
 * issuer a Grant leaves out are this installation's.
 */
function toKeep(input: ResourceInput, own: string): { spec: Resource['spec']; secrets: Record<string, string> } {
  if (input.kind === 'Grant') return { spec: { ...input.spec, to: granteeAt(own, input.spec.to) }, secrets: {} };
  if (input.kind !== 'Secret') return { spec: input.spec, secrets: {} };
  const { data = {}, ...spec } = input.spec;
  return { spec, secrets: data };
}

export function managedElsewhere(resource: StoredResource): string {
  const { kind, metadata } = resource;
  if (metadata.managedBy === 'environment')
    return `${kind} ${metadata.name} comes from the server's environment: change it there`;
  if (metadata.managedBy === 'cluster')
    return `${kind} ${metadata.name} is managed on the cluster: kubectl edit ${kind.toLowerCase()} ${metadata.name}`;
  return `${kind} ${metadata.name} is managed by ${metadata.source ?? 'a file'}: change it there`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}
