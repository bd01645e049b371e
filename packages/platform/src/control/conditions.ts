import {
  type Condition,
  missingText,
  NOT_YET_HONOURED,
  notYetHonoured,
  type Resource,
  setCondition,
  tokenServiceNameOf,
} from '@onbehalf/resources';
import { delegationOf } from '@onbehalf/token-exchange';
import { hasClient } from '../models/index.ts';
import { missingTools } from '../policy/index.ts';
import type { StoredResource } from '../store/index.ts';
import { grantConditions } from './grant-conditions.ts';
import type { ControlPorts, Deciding } from './ports.ts';
import { admission, referencesOf, resolve } from './references.ts';

export type ConditionPorts = Deciding &
  Pick<ControlPorts, 'now' | 'people' | 'embedded' | 'issuerProblem' | 'issuerNotice'>;

const TOOLS = 'spec.declarative.tools[';

/** Recomputes what depends on other resources. Returns the new list, or the same one when nothing changed. */
export function computeConditions(ports: ConditionPorts, resource: StoredResource): Condition[] {
  const at = new Date(ports.now()).toISOString();
  const observedGeneration = resource.metadata.generation;
  let conditions = resource.status.conditions ?? [];
  const set = (type: Condition['type'], good: boolean, reason: string, message: string) => {
    const known = conditions.find((condition) => condition.type === type);
    const status = good ? 'True' : 'False';
    if (
      known?.status === status &&
      known.reason === reason &&
      known.message === message &&
      known.observedGeneration === observedGeneration
    )
      return;
    conditions = setCondition(conditions, { type, status, reason, message, observedGeneration }, at);
  };
  /** For what cannot be said of it any more: somebody has changed what it depends on. */
  const drop = (type: Condition['type']) => {
    if (conditions.some((condition) => condition.type === type))
      conditions = conditions.filter((condition) => condition.type !== type);
  };
  const refused = resource.kind === 'TrustedIssuer' ? ports.issuerProblem?.(resource.metadata.uid) : undefined;
  const notice = resource.kind === 'TrustedIssuer' ? ports.issuerNotice?.(resource.metadata.uid) : undefined;
  const accepted = refused ?? (notice ? { reason: 'ClaimsLeftOut', message: notice } : acceptance(resource));
  set('Accepted', refused === undefined, accepted.reason, accepted.message);
  const problems = referenceProblems(ports, resource);
  set(
    'ResolvedRefs',
    problems.length === 0,
    problems.length === 0 ? 'Resolved' : 'NotResolved',
    problems.length === 0 ? 'every reference resolves' : problems.join('; ').slice(0, 1_000),
  );
  if (resource.kind === 'Agent') {
    const [good, reason, message] = readiness(ports, resource, problems);
    set('Ready', good, reason, message.slice(0, 1_000));
  }
  if (resource.kind === 'Grant') grantConditions(ports, resource, set);
  if (resource.kind === 'ModelConfig') {
    const runs = hasClient(resource.spec.provider);
    set(
      'Ready',
      runs && problems.length === 0,
      !runs ? 'NotSupported' : problems.length > 0 ? 'WaitsForReferences' : 'Ready',
      runs
        ? (problems[0] ?? 'can be used').slice(0, 1_000)
        : `this version has no client for the provider ${resource.spec.provider}`,
    );
  }
  if (resource.kind === 'RemoteMCPServer') {
    if (resource.spec.protocol === 'Stdio')
      set('Ready', false, 'NotSupported', 'stdio servers do not run in this version');
    else drop('Ready');
    const delegation = delegationAt(ports, resource);
    if (delegation !== undefined)
      set(
        'ActorNotBound',
        delegation === 'none',
        delegation === 'none' ? 'DelegationNone' : 'Bound',
        delegation === 'none'
          ? 'the tokens of this server do not name the agent'
          : `tokens name the agent (${delegation})`,
      );
    else drop('ActorNotBound');
    if (resource.spec.auth?.mode === 'Forward')
      set('ForwardRisk', true, 'TokenForwarded', "the user's own token is passed on to this server");
    else drop('ForwardRisk');
  }
  return conditions;
}

/** What has no effect is said. What this installation writes for itself says nothing of what is to come. */
function acceptance(resource: StoredResource): { reason: string; message: string } {
  const idle = resource.metadata.managedBy === 'environment' ? [] : notYetHonoured(resource);
  return idle.length === 0
    ? { reason: 'Valid', message: 'the document is valid' }
    : { reason: NOT_YET_HONOURED, message: `without effect in this version: ${idle.join('; ')}`.slice(0, 1_000) };
}

/** Whether an agent can be talked to, and with everything that it is bound to. */
function readiness(
  { registry, policy }: Deciding,
  agent: StoredResource & { kind: 'Agent' },
  problems: readonly string[],
): [good: boolean, reason: string, message: string] {
  if (agent.spec.type !== 'Declarative')
    return [false, 'NotSupported', 'agents of type BYO do not run in this version'];
  const [cannot] = problems.filter((problem) => !problem.startsWith(TOOLS));
  if (cannot !== undefined) return [false, 'WaitsForReferences', cannot];
  const missing = missingTools(agent, registry, policy.writerMayUse);
  const agents = problems.filter((problem) => problem.startsWith(TOOLS) && problem.includes('].agent: '));
  if (missing.length + agents.length === 0) return [true, 'Ready', 'can be talked to'];
  const lacks = missing.length > 0 ? [missingText(missing), ...agents] : agents;
  return [false, 'Degraded', `can be talked to, but ${lacks.join('; ')}`];
}

/** Names every reference that is missing, forbidden or may not be used by the last writer. */
export function referenceProblems(ports: Deciding, resource: StoredResource): string[] {
  return referencesOf(resource as Resource).flatMap((ref) => {
    const target = resolve(ports.registry, ref);
    const name = `${ref.kind} ${ref.namespace === undefined ? '' : `${ref.namespace}/`}${ref.name}`;
    if (!target) return [`${ref.path}: there is no ${name}`];
    const decision =
      ref.verb === undefined || !resource.writer
        ? undefined
        : ports.policy.decide(ports.policy.principalOf(resource.writer), ref.verb, {
            kind: ref.kind,
            uid: target.metadata.uid,
          });
    // A reference is no way to learn what its writer may not see.
    if (decision?.effect === 'hide') return [`${ref.path}: there is no ${name}`];
    const refused = admission(ref, target, resource.metadata);
    if (refused !== undefined) return [`${ref.path}: ${refused}`];
    if (!decision) return [];
    return decision.effect === 'allow' || decision.rule === 'disabled'
      ? []
      : [`${ref.path}: the last writer of this resource may not ${ref.verb} ${name}`];
  });
}

function delegationAt(ports: Deciding, server: StoredResource): string | undefined {
  if (server.kind !== 'RemoteMCPServer' || server.spec.auth?.mode !== 'Exchange') return undefined;
  const service = ports.registry.get('TokenService', undefined, tokenServiceNameOf(server.spec));
  return service && delegationOf(service.spec);
}
