import { bindingsOf } from '@onbehalf/resources';
import type { PrincipalName } from '../people/index.ts';
import type { Registry, Stored } from '../store/index.ts';
import { resolveServers } from './bound-tools.ts';
import type { Policy } from './types.ts';

/** What the embedded token service asks before it issues. */
interface TargetQuestion {
  /** Undefined for an agent's own token: then only what it is bound to counts. */
  subject: PrincipalName | undefined;
  agent: { uid: string };
  /** Undefined for a delegation: then the agent must be bound to the one above it. */
  server: { uid: string } | undefined;
  /** The agents above the one that acts, nearest first. */
  chain: readonly { uid: string }[];
}

/**
 * May this person run this agent and every agent above it, is each bound to the one above, and may the one that acts
 * reach this server?
 */
export function authorizeTarget(
  { registry, policy }: { registry: Registry; policy: Pick<Policy, 'decide' | 'principalOf' | 'writerMayUse'> },
  { subject, agent, server, chain }: TargetQuestion,
): boolean {
  const actors = [agent, ...chain].map(({ uid }) => registry.byUid(uid));
  if (!actors.every((found) => found?.kind === 'Agent')) return false;
  const [acting, ...above] = actors as [Stored<'Agent'>, ...Stored<'Agent'>[]];
  const mayRun = ({ metadata, spec }: Stored<'Agent'>) =>
    spec.enabled !== false &&
    (subject === undefined ||
      policy.decide(policy.principalOf(subject), 'run', { kind: 'Agent', uid: metadata.uid }).effect === 'allow');
  return (
    [acting, ...above].every(mayRun) &&
    above.every((parent, at) => isBound(parent, at === 0 ? acting : above[at - 1], registry)) &&
    (server === undefined ||
      resolveServers(acting, registry, policy.writerMayUse).some(({ metadata }) => metadata.uid === server.uid))
  );
}

/** Whether a parent still has this agent as a tool. */
const isBound = (parent: Stored<'Agent'>, child: Stored<'Agent'> | undefined, registry: Registry): boolean =>
  bindingsOf(parent.spec).some(
    (binding) =>
      binding.agent !== undefined &&
      registry.get('Agent', binding.agent.namespace ?? parent.metadata.namespace, binding.agent.name)?.metadata.uid ===
        child?.metadata.uid,
  );
