import { bindingsOf } from '@onbehalf/resources';
import type { PrincipalName } from '../people/index.ts';
import type { Registry, Stored } from '../store/index.ts';
import { resolveTools } from './bound-tools.ts';
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

/** May this person run this agent and every agent above it, and is this server, or this agent, bound to it? */
export function authorizeTarget(
  { registry, policy }: { registry: Registry; policy: Policy },
  { subject, agent, server, chain }: TargetQuestion,
): boolean {
  const actors = [agent, ...chain].map(({ uid }) => registry.byUid(uid));
  const mayRun = (uid: string) =>
    subject === undefined ||
    policy.decide(policy.principalOf(subject), 'run', { kind: 'Agent', uid }).effect === 'allow';
  if (!actors.every((found) => found?.kind === 'Agent' && found.spec.enabled !== false && mayRun(found.metadata.uid)))
    return false;
  const [acting, above] = actors as [Stored<'Agent'>, Stored<'Agent'> | undefined];
  if (server)
    return resolveTools(acting, registry, policy.writerMayUse).some((tool) => tool.server?.metadata.uid === server.uid);
  return (
    above === undefined ||
    bindingsOf(above.spec).some(
      (binding) =>
        binding.agent &&
        registry.get('Agent', binding.agent.namespace ?? above.metadata.namespace, binding.agent.name)?.metadata.uid ===
          agent.uid,
    )
  );
}
