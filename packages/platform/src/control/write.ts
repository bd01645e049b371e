import type { ApplyResult, DocumentError, Kind, Resource } from '@onbehalf/resources';
import { inSlices, type StoredResource } from '../store/index.ts';
import { again } from './again.ts';
import { check, type World } from './checks.ts';
import { commit } from './commit.ts';
import { referenceProblems } from './conditions.ts';
import { ControlError } from './error.ts';
import { rebindingOf } from './grants.ts';
import { firstOfEach, keyOf, keyOfNamed, plansByName } from './laid.ts';
import { decideRemoval, mayRead, permit } from './permit.ts';
import type { Placed, Planned, WriteOptions } from './placed.ts';
import { managedElsewhere, notThere, plan } from './plan.ts';
import type { ControlPorts, Writer } from './ports.ts';

const TRIES = 4;

/**
 * Writes documents as one unit: all of them with the writer's verbs, or none. What names no version is laid over what is
 * there, so a status that is written in between is no conflict.
 */
export async function writeResources(
  ports: ControlPorts,
  writer: Writer,
  placed: readonly Placed[],
  options: WriteOptions,
): Promise<ApplyResult> {
  const anyVersion = placed.every(({ input }) => input.metadata.resourceVersion === undefined);
  return again(ports, anyVersion ? TRIES : 1, () => writeOnce(ports, writer, placed, options));
}

async function writeOnce(
  ports: ControlPorts,
  writer: Writer,
  placed: readonly Placed[],
  options: WriteOptions,
): Promise<ApplyResult> {
  const asked = ports.policy.table().revision;
  const errors: DocumentError[] = [];
  const fail = (at: Placed, path: string, message: string) =>
    errors.push({ file: at.file, document: at.document, line: at.lineOf(path), path, message });
  const breathe = inSlices();
  const first = firstOfEach(placed);
  const plans: (Planned | undefined)[] = [];
  for (const at of placed) {
    await breathe();
    plans.push(plan(ports, writer, at, first, options, fail));
  }
  const byName = plansByName(plans);
  const world = worldOf(ports, writer, byName);
  for (const [index, at] of placed.entries()) {
    await breathe();
    for (const mistake of check(at.input, world)) fail(at, mistake.path, mistake.message);
    const planned = plans[index];
    if (planned) permit(ports, writer, at, planned, byName, fail);
  }
  const pruned = options.prune ? leftOut(ports, writer, placed, options) : [];
  for (const before of pruned) {
    const decision = decideRemoval(ports, writer, before);
    if (decision.effect !== 'allow')
      errors.push({
        file: options.source ?? 'input',
        document: 0,
        line: 0,
        path: '',
        message: `not allowed: ${before.kind} ${before.metadata.name} may not be deleted: ${decision.reason}`,
      });
  }
  if (errors.length > 0) {
    const forbidden = errors.every((error) => error.message.startsWith('not allowed'));
    throw new ControlError(
      forbidden ? 'forbidden' : 'invalid_documents',
      forbidden
        ? (errors[0]?.message ?? '')
        : `${errors.length} mistake${errors.length > 1 ? 's' : ''}; nothing was changed`,
      errors,
    );
  }
  const done = plans.filter((planned) => planned !== undefined);
  if (!options.dryRun) await commit(ports, writer, done, pruned, options, asked);
  return {
    dryRun: options.dryRun ?? false,
    results: [
      ...done.map((planned) => {
        const rebind = rebindingOf(planned, ports.registry, byName);
        const successor = rebind && ports.registry.byUid(rebind.to);
        const told = successor === undefined || mayRead(ports, writer, successor);
        return {
          ...resultOf(planned.action, planned.resource),
          ...unresolvedOf(ports, planned.resource),
          ...(rebind && told && { rebind }),
        };
      }),
      ...pruned.map((resource) => resultOf('deleted', resource)),
    ],
  };
}

function unresolvedOf(ports: ControlPorts, { metadata }: Resource) {
  const stored = ports.registry.byUid(metadata.uid);
  const unresolved = stored ? referenceProblems(ports, stored) : [];
  return unresolved.length > 0 ? { unresolved } : {};
}

function resultOf(action: Planned['action'], resource: Resource): ApplyResult['results'][number] {
  const { name, namespace, uid, resourceVersion } = resource.metadata;
  return { kind: resource.kind, name, ...(namespace !== undefined && { namespace }), uid, resourceVersion, action };
}

/** The stored resources with this write's own documents laid over them. What the writer may not see tells nothing. */
function worldOf(ports: ControlPorts, writer: Writer, plans: ReadonlyMap<string, Planned>): World {
  const find = <K extends Kind>(kind: K, namespace: string, name: string) =>
    (plans.get(keyOf(kind, namespace, name))?.resource ??
      ports.registry.get(kind, namespace === '' ? undefined : namespace, name)) as never;
  const ofThisWrite = new Set([...plans.values()].map(({ resource }) => resource.metadata.uid));
  let issuers: ReturnType<World['issuers']> | undefined;
  return {
    embedded: ports.embedded,
    server(namespace, name) {
      const found = find('RemoteMCPServer', namespace, name) as StoredResource | undefined;
      const seen = found && (ofThisWrite.has(found.metadata.uid) || mayRead(ports, writer, found));
      return seen && found.kind === 'RemoteMCPServer' ? found : undefined;
    },
    issuers() {
      if (issuers) return issuers;
      const written = [...plans.values()].flatMap(({ resource }) =>
        resource.kind === 'TrustedIssuer' ? [resource] : [],
      );
      const stored = ports.registry.list('TrustedIssuer').filter(({ metadata }) => !ofThisWrite.has(metadata.uid));
      issuers = [...stored, ...written];
      return issuers;
    },
    tokenService: (name) => find('TokenService', '', name),
    agent: (namespace, name) => find('Agent', namespace, name),
  };
}

function leftOut(
  ports: ControlPorts,
  writer: Writer,
  placed: readonly Placed[],
  options: WriteOptions,
): StoredResource[] {
  if (options.source === undefined) return [];
  const kept = new Set(placed.map(({ input }) => keyOfNamed(input)));
  return [...ports.registry.all()].filter(
    (resource) =>
      resource.metadata.source === options.source &&
      resource.metadata.managedBy === (options.managedBy ?? 'api') &&
      mayRead(ports, writer, resource) &&
      !kept.has(keyOfNamed(resource)),
  );
}

/** Asked of what is there at that moment: it may have become something else since it was read. */
export async function removeResource(
  ports: ControlPorts,
  writer: Writer,
  resource: StoredResource,
  requestId: string,
): Promise<void> {
  await again(ports, TRIES, async () => {
    const asked = ports.policy.table().revision;
    const current = ports.registry.byUid(resource.metadata.uid);
    if (!current) return;
    if (current.metadata.managedBy !== 'api') throw new ControlError('managed_elsewhere', managedElsewhere(current));
    const decision = decideRemoval(ports, writer, current);
    if (decision.effect === 'hide') throw notThere(current);
    if (decision.effect === 'deny') throw new ControlError('forbidden', decision.reason);
    await commit(ports, writer, [], [current], { requestId }, asked);
  });
}
