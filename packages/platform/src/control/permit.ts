import { namespaceOrDefault, privilegedProperty, type ResourceInput } from '@onbehalf/resources';
import { namespaceOf, type StoredResource } from '../store/index.ts';
import { isOrphaned } from './grants.ts';
import { keyOf } from './laid.ts';
import type { Placed, Planned } from './placed.ts';
import type { Deciding, Writer } from './ports.ts';
import { admission, referencesOf, resolve } from './references.ts';

export const subjectOf = (resource: StoredResource) => ({ kind: resource.kind, uid: resource.metadata.uid });

export const mayRead = (
  { policy }: Pick<Deciding, 'policy'>,
  { principal }: Pick<Writer, 'principal'>,
  resource: StoredResource,
) => policy.decide(principal, 'read', subjectOf(resource)).effect === 'allow';

/** Removing takes what writing takes; a Grant, `admin` on what it is bound to, and ADMIN where that is gone. */
export function decideRemoval(
  { policy, registry }: Deciding,
  { principal }: Pick<Writer, 'principal'>,
  resource: StoredResource,
) {
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
        { kind: 'Namespace', namespace: namespaceOrDefault(resource.metadata) },
        { privileged: true },
      );
}

interface Refusal {
  path: string;
  message: string;
}

/** `admin` on the target; on a namespace, and on what is not there or may not be seen, ADMIN. */
function decideGrant(
  { policy, registry }: Deciding,
  { principal }: Pick<Writer, 'principal'>,
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

/** The writer's verbs on the document itself. */
export function decideWrite(
  ports: Deciding,
  writer: Writer,
  input: ResourceInput,
  before: StoredResource | undefined,
): Refusal | undefined {
  if (input.kind === 'Grant') return decideGrant(ports, writer, input, false);
  const { policy } = ports;
  const { principal } = writer;
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

/** The writer's verbs: on the document itself, on what it refers to, and on the target of a Grant. */
export function permit(
  ports: Deciding,
  writer: Writer,
  at: Placed,
  planned: Planned,
  plans: ReadonlyMap<string, Planned>,
  fail: (at: Placed, path: string, message: string) => void,
): void {
  if (planned.action === 'unchanged') return;
  const { policy, registry } = ports;
  const refuse = (path: string, reason: string) => fail(at, path, `not allowed: ${reason}`);
  if (at.input.kind === 'Grant') {
    // Whoever changes a Grant takes something from its former target, unless that is gone.
    const { before } = planned;
    const removal =
      before?.kind === 'Grant' && !isOrphaned(before, registry) ? decideRemoval(ports, writer, before) : undefined;
    if (removal && removal.effect !== 'allow') refuse('', removal.reason);
    const [target] = referencesOf(at.input);
    const fresh = target && plans.get(keyOf(target.kind, target.namespace ?? '', target.name))?.action === 'created';
    const refusal = decideGrant(ports, writer, at.input, fresh ?? false);
    if (refusal) fail(at, refusal.path, refusal.message);
    return;
  }
  const refusal = decideWrite(ports, writer, at.input, planned.before);
  if (refusal) fail(at, refusal.path, refusal.message);
  for (const ref of referencesOf(at.input)) {
    const target = resolve(registry, ref);
    if (!target || ref.verb === undefined) continue;
    const use = policy.decide(writer.principal, ref.verb, subjectOf(target));
    // What may not be seen is treated as what is not there: the reference stays unresolved.
    if (use.effect === 'hide') continue;
    const refused = admission(ref, target, at.input.metadata);
    if (refused !== undefined) fail(at, ref.path, refused);
    if (use.effect === 'deny' && use.rule !== 'disabled')
      refuse(ref.path, `${use.reason} (${ref.verb} on ${ref.kind} ${ref.name})`);
  }
}
