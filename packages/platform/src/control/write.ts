import type { ApplyResult, DocumentError, Kind, Resource } from '@onbehalf/resources';
import { HttpProblem } from '../http/problems.ts';
import type { Caller, Services } from '../http/services.ts';
import { namespaceOf, type StoredResource, StoreError } from '../store/index.ts';
import { check, type World } from './checks.ts';
import { commit } from './commit.ts';
import { referenceProblems } from './conditions.ts';
import { decideRemoval, mayRead, permit } from './permit.ts';
import type { Placed, Planned, WriteOptions } from './placed.ts';
import { managedElsewhere, plan } from './plan.ts';

const TRIES = 4;

/**
 * Writes documents as one unit: all of them with the caller's verbs, or none. What names no version is laid over what is
 * there, so a status that is written in between is no conflict.
 */
export async function writeResources(
  services: Services,
  caller: Caller,
  placed: readonly Placed[],
  options: WriteOptions,
): Promise<ApplyResult> {
  const anyVersion = placed.every(({ input }) => input.metadata.resourceVersion === undefined);
  for (let tries = 1; ; tries++) {
    try {
      return await writeOnce(services, caller, placed, options);
    } catch (error) {
      const moved = error instanceof StoreError && error.code === 'precondition_failed';
      if (!moved || !anyVersion || tries === TRIES) throw error;
      await services.registry.settled(services.store.revision());
    }
  }
}

async function writeOnce(
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
      ...done.map(({ action, resource }) => ({ ...resultOf(action, resource), ...unresolvedOf(services, resource) })),
      ...pruned.map((resource) => resultOf('deleted', resource)),
    ],
  };
}

function unresolvedOf(services: Services, { metadata }: Resource) {
  const stored = services.registry.byUid(metadata.uid);
  const unresolved = stored ? referenceProblems(services, stored) : [];
  return unresolved.length > 0 ? { unresolved } : {};
}

function resultOf(action: Planned['action'], resource: Resource): ApplyResult['results'][number] {
  const { name, namespace, uid, resourceVersion } = resource.metadata;
  return { kind: resource.kind, name, ...(namespace !== undefined && { namespace }), uid, resourceVersion, action };
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

export async function removeResource(
  services: Services,
  caller: Caller,
  resource: StoredResource,
  requestId: string,
): Promise<void> {
  if (resource.metadata.managedBy !== 'api') throw new HttpProblem('managed_elsewhere', managedElsewhere(resource));
  await commit(services, caller, [], [resource], { requestId });
}
