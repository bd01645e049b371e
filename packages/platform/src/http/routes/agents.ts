import { grantsFor, type Principal } from '@onbehalf/access';
import { type Explanation, explanation, modelConfigRefOf, modelList, tokenServiceNameOf } from '@onbehalf/resources';
import type { Models } from '../../models/index.ts';
import { type Policy, resolveModel, resolveTools } from '../../policy/index.ts';
import { namespaceOf, type Registry, type Stored } from '../../store/index.ts';
import { findAgent } from '../find-resource.ts';
import { HttpProblem } from '../problems.ts';
import { byRole, notFound, type Route, route } from '../route.ts';

export interface AgentPorts {
  registry: Registry;
  policy: Policy;
  models: Pick<Models, 'list'>;
  modelsEnabled: boolean;
  now: () => number;
}

export function agentRoutes(o: AgentPorts): readonly Route[] {
  const { registry, policy } = o;

  const models = route({
    method: 'GET',
    path: '/agents/models',
    summary: 'The models that the caller may use',
    responses: { 200: modelList },
    authorize: byRole('list'),
    async handle({ caller, reply }) {
      if (!o.modelsEnabled) throw new HttpProblem('models_disabled', 'models are switched off on this server');
      const controller = new AbortController();
      reply.raw.once('close', () => controller.abort());
      const usable = registry
        .list('ModelConfig')
        .filter(
          (config) =>
            config.spec.enabled !== false &&
            policy.decide(caller.principal, 'use', { kind: 'ModelConfig', uid: config.metadata.uid }).effect ===
              'allow',
        );
      return o.models.list(usable, controller.signal);
    },
  });

  const explain = route<undefined, Record<string, never>, Stored<'Agent'>>({
    method: 'GET',
    path: '/agents/:agent/explain',
    summary: 'The resolved model, tools and targets of an agent, who may call it, and where each value comes from',
    responses: { 200: explanation },
    authorize({ params }) {
      const agent = findAgent(registry, params.agent ?? '');
      if (!agent) throw notFound();
      return { question: { action: 'read', resource: { kind: 'Agent', uid: agent.metadata.uid } }, found: agent };
    },
    handle: async ({ caller, found }) => explainAgent(o, found, caller.principal),
  });

  return [models, explain];
}

/** As far as the one who asks may see it: their own grants, and the targets of the servers that they may read. */
function explainAgent(
  { registry, policy, now }: AgentPorts,
  agent: Stored<'Agent'>,
  principal: Principal,
): Explanation {
  const ref = modelConfigRefOf(agent.spec);
  const namespace = namespaceOf(agent);
  const model = resolveModel(agent, registry, policy.writerMayUse);
  const { uid } = agent.metadata;
  const seesAll = policy.decide(principal, 'admin', { kind: 'Agent', uid }).effect === 'allow';
  const own = new Set(grantsFor(policy.table(), principal, { kind: 'Agent', namespace, uid }, now()));
  return {
    agent: {
      namespace,
      name: agent.metadata.name,
      uid: agent.metadata.uid,
      enabled: agent.spec.enabled !== false,
      type: agent.spec.type,
    },
    ...(ref && {
      model: model
        ? {
            name: ref.name,
            provider: model.spec.provider,
            model: model.spec.model,
            ...(model.spec.enabled === false && { problem: 'switched off' }),
          }
        : { name: ref.name, provider: '', model: '', problem: `there is no ModelConfig ${ref.name}` },
    }),
    tools: resolveTools(agent, registry, policy.writerMayUse).map((tool) => {
      const mayRead =
        tool.server !== undefined &&
        policy.decide(principal, 'read', { kind: 'RemoteMCPServer', uid: tool.server.metadata.uid }).effect === 'allow';
      const auth = tool.server?.spec.auth;
      const mode = auth?.mode ?? 'None';
      const named = mode === 'Exchange' || mode === 'Workload' ? tokenServiceNameOf({ auth }) : undefined;
      const service = named === undefined ? undefined : registry.get('TokenService', undefined, named);
      const why = named !== undefined && !service ? `there is no TokenService ${named}` : tool.problem;
      const problem =
        why === undefined || mayRead || tool.server === undefined ? why : 'it does not work: ask who manages the agent';
      return {
        name: tool.name,
        server: tool.serverName,
        tool: tool.tool,
        mode,
        approved: tool.found?.approved ?? false,
        requireApproval: tool.requireApproval,
        ...(mayRead && service && { tokenService: service.metadata.name, profile: service.spec.profile }),
        ...(mayRead && service?.spec.delegation && { delegation: service.spec.delegation }),
        ...(mayRead &&
          tool.target && {
            target: {
              audience: [...tool.target.audience],
              resource: [...tool.target.resource],
              scopes: [...tool.target.scopes],
              expectedAudience: [...tool.target.expectedAudience],
              origin: tool.target.origin,
              ...(tool.target.ofTool && { ofTool: true }),
            },
          }),
        ...(problem !== undefined && { problem }),
      };
    }),
    callers: registry
      .list('Grant')
      .filter(
        (grant) =>
          (seesAll || own.has(grant.metadata.uid)) &&
          (grant.status.targetUid === uid ||
            (grant.spec.on.kind === undefined && grant.spec.on.namespace === namespace)),
      )
      .map((grant) => ({
        to: granteeText(grant.spec.to),
        verbs: grant.spec.verbs,
        grant: grant.metadata.name,
        ...(grant.spec.expiresAt !== undefined && { expiresAt: grant.spec.expiresAt }),
      })),
  };
}

function granteeText(to: Stored<'Grant'>['spec']['to']): string {
  if (to.principal) return `${to.principal.subject} of ${to.principal.issuer}`;
  if (to.group) return `group ${to.group.name} of ${to.group.issuer}`;
  if (to.role) return `role ${to.role}`;
  return `everyone of ${to.everyone?.issuer ?? ''}`;
}
