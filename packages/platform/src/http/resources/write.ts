import {
  API_VERSION,
  type ApplyResult,
  type DocumentError,
  type Kind,
  type ManagedBy,
  privilegedProperty,
  type Resource,
  type ResourceInput,
} from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import {
  deleteResource,
  insertResource,
  namespaceOf,
  nextVersion,
  replaceResource,
  type Statement,
  type StoredResource,
} from '../../store/index.ts';
import { HttpProblem } from '../problems.ts';
import type { Caller, Services } from '../services.ts';
import { check, type World } from './checks.ts';
import { admission, referencesOf, resolve } from './references.ts';

export interface Placed {
  input: ResourceInput;
  file: string;
  document: number;
  line: number;
}

export interface WriteOptions {
  dryRun?: boolean;
  managedBy?: ManagedBy;
  source?: string;
  /** Take away what an earlier apply of the same source made and this one leaves out. */
  prune?: boolean;
  /** `create`: the name must be free. `replace`: it must not, and `metadata.resourceVersion` is compared. */
  expect?: 'create' | 'replace';
  requestId?: string;
}

interface Planned {
  action: ApplyResult['results'][number]['action'];
  resource: Resource;
  before: StoredResource | undefined;
  secrets: Record<string, string>;
}

/** Writes documents as one unit: all of them with the caller's verbs, or none. */
export async function writeResources(
  services: Services,
  caller: Caller,
  placed: readonly Placed[],
  options: WriteOptions,
): Promise<ApplyResult> {
  const errors: DocumentError[] = [];
  const fail = (at: Placed, path: string, message: string) =>
    void errors.push({ file: at.file, document: at.document, line: at.line, path, message });
  const plans = placed.map((at) => plan(services, caller, at, placed, options, fail));
  const world = worldOf(services, caller, plans);
  for (const [index, at] of placed.entries()) {
    for (const mistake of check(at.input, world)) fail(at, mistake.path, mistake.message);
    const planned = plans[index];
    if (planned) permit(services, caller, at, planned, plans, fail);
  }
  const pruned = options.prune ? leftOut(services, caller, placed, options) : [];
  for (const before of pruned) {
    const decision = decideRemoval(services, caller, before);
    if (decision.effect !== 'allow')
      errors.push({
        file: options.source ?? 'input',
        document: 0,
        line: 0,
        path: '',
        message: `${before.kind} ${before.metadata.name} may not be deleted: ${decision.reason}`,
      });
  }
  if (errors.length > 0) {
    const forbidden = errors.every((error) => error.message.startsWith('not allowed'));
    throw new HttpProblem(
      forbidden ? 'forbidden' : 'invalid_documents',
      forbidden
        ? (errors[0]?.message ?? '')
        : `${errors.length} mistake${errors.length > 1 ? 's' : ''}; nothing was changed`,
      { errors },
    );
  }
  const done = plans.filter((planned) => planned !== undefined);
  if (!options.dryRun) await commit(services, caller, done, pruned, options);
  return {
    dryRun: options.dryRun ?? false,
    results: [
      ...done.map(({ action, resource }) => resultOf(action, resource)),
      ...pruned.map((resource) => resultOf('deleted', resource)),
    ],
  };
}

function resultOf(action: Planned['action'], resource: Resource): ApplyResult['results'][number] {
  const { name, namespace, uid, resourceVersion } = resource.metadata;
  return { kind: resource.kind, name, ...(namespace !== undefined && { namespace }), uid, resourceVersion, action };
}

function plan(
  services: Services,
  caller: Caller,
  at: Placed,
  all: readonly Placed[],
  options: WriteOptions,
  fail: (at: Placed, path: string, message: string) => void,
): Planned | undefined {
  const { input } = at;
  const namespace = namespaceOf(input);
  const same = (other: Placed) =>
    other.input.kind === input.kind &&
    namespaceOf(other.input) === namespace &&
    other.input.metadata.name === input.metadata.name;
  if (all.find(same) !== at) {
    fail(at, 'metadata.name', `${input.kind} ${input.metadata.name} stands here twice`);
    return undefined;
  }
  const before = services.registry.get(input.kind, namespace === '' ? undefined : namespace, input.metadata.name) as
    | StoredResource
    | undefined;
  const managedBy = options.managedBy ?? 'api';
  if (before && !mayRead(services, caller, before)) {
    // A name that is taken by what the caller may not see is answered as one where they may make nothing.
    const refusal = decideWrite(services, caller, input, undefined);
    fail(at, refusal?.path ?? '', refusal?.message ?? 'not allowed: the name is not free');
    return undefined;
  }
  if (before && options.expect === 'create')
    throw new HttpProblem('already_exists', `there is a ${input.kind} ${input.metadata.name} already`);
  if (!before && options.expect === 'replace')
    throw new HttpProblem('not_found', 'there is no such thing, or you may not see it');
  if (before && before.metadata.managedBy !== managedBy && before.metadata.managedBy !== 'api')
    throw new HttpProblem('managed_elsewhere', managedElsewhere(before));
  const wanted = input.metadata.resourceVersion;
  if (before && wanted !== undefined && wanted !== before.metadata.resourceVersion)
    throw new HttpProblem(
      'stale_resource_version',
      `${input.kind} ${input.metadata.name} is at version ${before.metadata.resourceVersion}: read it again`,
    );
  const { spec, secrets } = withoutSecrets(input);
  const now = services.now();
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
      status: {},
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
  if (!specChanged && !metaChanged) return { action: 'unchanged', resource: before, before, secrets };
  const { labels: _labels, annotations: _annotations, ...kept } = nextVersion(before, now, specChanged);
  const metadata = {
    ...kept,
    ...(Object.keys(labels).length > 0 && { labels }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
    ...(options.source !== undefined && { source: options.source }),
  };
  return {
    action: 'configured',
    resource: { ...before, metadata, spec, status: statusFor(input, before) } as Resource,
    before,
    secrets,
  };
}

/** A Grant that is moved to another target lets go of the first one's uid. */
function statusFor(input: ResourceInput, before: StoredResource): StoredResource['status'] {
  if (input.kind !== 'Grant' || before.kind !== 'Grant') return before.status;
  if (JSON.stringify(sorted(input.spec.on)) === JSON.stringify(sorted(before.spec.on))) return before.status;
  const { targetUid: _targetUid, ...status } = before.status;
  return status;
}

/** A Secret's values never reach the resource: they are sealed on their own. */
function withoutSecrets(input: ResourceInput): { spec: ResourceInput['spec']; secrets: Record<string, string> } {
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

const subjectOf = (resource: StoredResource) => ({ kind: resource.kind, uid: resource.metadata.uid });

const mayRead = ({ policy }: Services, { principal }: Caller, resource: StoredResource) =>
  policy.decide(principal, 'read', subjectOf(resource)).effect === 'allow';

/** Removing takes what writing takes; a Grant, `admin` on what it is bound to, and ADMIN where that is gone. */
export function decideRemoval({ policy, registry }: Services, { principal }: Caller, resource: StoredResource) {
  if (resource.kind !== 'Grant')
    return policy.decide(principal, 'write', subjectOf(resource), {
      privileged: privilegedProperty(resource as ResourceInput, resource) !== undefined,
    });
  const { targetUid } = resource.status;
  const target = targetUid === undefined ? undefined : registry.byUid(targetUid);
  return target
    ? policy.decide(principal, 'grant.write', subjectOf(target as StoredResource))
    : policy.decide(
        principal,
        'create',
        { kind: 'Namespace', namespace: resource.metadata.namespace ?? 'default' },
        { privileged: true },
      );
}

interface Refusal {
  path: string;
  message: string;
}

/** `admin` on the target; on a namespace, and on what is not there or may not be seen, ADMIN. */
function decideGrant(
  { policy, registry }: Services,
  { principal }: Caller,
  input: Extract<ResourceInput, { kind: 'Grant' }>,
  fresh: boolean,
): Refusal | undefined {
  const [target] = referencesOf(input);
  const existing = target && resolve(registry, target);
  const onTarget = existing && policy.decide(principal, 'grant.write', subjectOf(existing));
  const decision =
    onTarget && onTarget.effect !== 'hide'
      ? onTarget
      : target && fresh && principal.role !== 'ADMIN'
        ? policy.decide(principal, 'create', { kind: target.kind, namespace: target.namespace ?? '' })
        : policy.decide(
            principal,
            'create',
            { kind: 'Namespace', namespace: input.spec.on.namespace ?? namespaceOf(input) },
            { privileged: true },
          );
  return decision.effect === 'allow' ? undefined : { path: 'spec.on', message: `not allowed: ${decision.reason}` };
}

/** The caller's verbs on the document itself. */
function decideWrite(
  services: Services,
  caller: Caller,
  input: ResourceInput,
  before: StoredResource | undefined,
): Refusal | undefined {
  if (input.kind === 'Grant') return decideGrant(services, caller, input, false);
  const { policy } = services;
  const { principal } = caller;
  const privileged = privilegedProperty(input, before);
  const context = { privileged: privileged !== undefined };
  const decision = before
    ? policy.decide(principal, 'write', subjectOf(before), context)
    : policy.decide(principal, 'create', { kind: input.kind, namespace: namespaceOf(input) }, context);
  if (decision.effect === 'allow') return undefined;
  return privileged === undefined
    ? { path: '', message: `not allowed: ${decision.reason}` }
    : { path: 'spec', message: `not allowed: ${decision.reason} (${privileged})` };
}

/** The caller's verbs: on the document itself, on what it refers to, and on the target of a Grant. */
function permit(
  services: Services,
  caller: Caller,
  at: Placed,
  planned: Planned,
  plans: readonly (Planned | undefined)[],
  fail: (at: Placed, path: string, message: string) => void,
): void {
  if (planned.action === 'unchanged') return;
  const { policy, registry } = services;
  const refuse = (path: string, reason: string) => fail(at, path, `not allowed: ${reason}`);
  if (at.input.kind === 'Grant') {
    // Whoever changes a Grant takes something from its former target.
    const removal = planned.before && decideRemoval(services, caller, planned.before);
    if (removal && removal.effect !== 'allow') refuse('', removal.reason);
    const [target] = referencesOf(at.input);
    const fresh =
      target &&
      plans.some(
        (other) =>
          other?.action === 'created' &&
          other.resource.kind === target.kind &&
          other.resource.metadata.name === target.name &&
          namespaceOf(other.resource) === (target.namespace ?? ''),
      );
    const refusal = decideGrant(services, caller, at.input, fresh ?? false);
    if (refusal) fail(at, refusal.path, refusal.message);
    return;
  }
  const refusal = decideWrite(services, caller, at.input, planned.before);
  if (refusal) fail(at, refusal.path, refusal.message);
  for (const ref of referencesOf(at.input)) {
    const target = resolve(registry, ref);
    if (!target || ref.verb === undefined) continue;
    const use = policy.decide(caller.principal, ref.verb, subjectOf(target));
    // What may not be seen is treated as what is not there: the reference stays unresolved.
    if (use.effect === 'hide') continue;
    const refused = admission(ref, target, at.input.metadata);
    if (refused !== undefined) fail(at, ref.path, refused);
    if (use.effect === 'deny' && use.rule !== 'disabled')
      refuse(ref.path, `${use.reason} (${ref.verb} on ${ref.kind} ${ref.name})`);
  }
}

/** The stored resources with this write's own documents laid over them. What the caller may not see tells nothing. */
function worldOf(services: Services, caller: Caller, plans: readonly (Planned | undefined)[]): World {
  const find = <K extends Kind>(kind: K, namespace: string, name: string) =>
    (plans.find(
      (planned) =>
        planned?.resource.kind === kind &&
        planned.resource.metadata.name === name &&
        namespaceOf(planned.resource) === namespace,
    )?.resource ?? services.registry.get(kind, namespace === '' ? undefined : namespace, name)) as never;
  const ofThisWrite = new Set(plans.flatMap((planned) => planned?.resource.metadata.uid ?? []));
  return {
    services,
    server(namespace, name) {
      const found = find('RemoteMCPServer', namespace, name) as StoredResource | undefined;
      const seen = found && (ofThisWrite.has(found.metadata.uid) || mayRead(services, caller, found));
      return seen && found.kind === 'RemoteMCPServer' ? found : undefined;
    },
    issuers() {
      const written = plans.flatMap((planned) =>
        planned?.resource.kind === 'TrustedIssuer' ? [planned.resource] : [],
      );
      const stored = services.registry.list('TrustedIssuer').filter(({ metadata }) => !ofThisWrite.has(metadata.uid));
      return [...stored, ...written];
    },
    tokenService: (name) => find('TokenService', '', name),
    agent: (namespace, name) => find('Agent', namespace, name),
  };
}

function leftOut(
  services: Services,
  caller: Caller,
  placed: readonly Placed[],
  options: WriteOptions,
): StoredResource[] {
  if (options.source === undefined) return [];
  const kept = new Set(placed.map(({ input }) => `${input.kind}/${namespaceOf(input)}/${input.metadata.name}`));
  return [...services.registry.all()].filter(
    (resource) =>
      resource.metadata.source === options.source &&
      resource.metadata.managedBy === (options.managedBy ?? 'api') &&
      mayRead(services, caller, resource) &&
      !kept.has(`${resource.kind}/${namespaceOf(resource)}/${resource.metadata.name}`),
  );
}

async function commit(
  services: Services,
  caller: Caller,
  plans: readonly Planned[],
  pruned: readonly StoredResource[],
  options: WriteOptions,
): Promise<void> {
  const { store, vault, audit, registry } = services;
  const writer = { issuer: caller.principal.issuer, subject: caller.principal.subject };
  const changed = plans.filter((planned) => planned.action !== 'unchanged');
  const statements: Statement[] = [];
  for (const planned of changed) {
    const owned = planned.before
      ? planned.resource
      : ({ ...planned.resource, metadata: { ...planned.resource.metadata, owner: writer } } as Resource);
    const resource = bindGrant(services, owned, changed);
    planned.resource = resource;
    statements.push(
      planned.before
        ? replaceResource(store, resource, planned.before, writer)
        : insertResource(store, resource, writer),
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
      principal: writer,
      door: 'api',
      address: caller.address,
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
function bindGrant(services: Services, resource: Resource, changed: readonly Planned[]): Resource {
  if (resource.kind !== 'Grant' || resource.status.targetUid !== undefined) return resource;
  const [target] = referencesOf(resource);
  if (!target) return resource;
  const fresh = changed.find(
    ({ resource: other }) =>
      other.kind === target.kind &&
      other.metadata.name === target.name &&
      namespaceOf(other) === (target.namespace ?? ''),
  );
  const uid = fresh?.resource.metadata.uid ?? resolve(services.registry, target)?.metadata.uid;
  return uid === undefined ? resource : { ...resource, status: { ...resource.status, targetUid: uid } };
}

export async function removeResource(
  services: Services,
  caller: Caller,
  resource: StoredResource,
  requestId: string,
): Promise<void> {
  if (resource.metadata.managedBy !== 'api') throw new HttpProblem('managed_elsewhere', managedElsewhere(resource));
  await commit(services, caller, [], [resource], { requestId });
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
