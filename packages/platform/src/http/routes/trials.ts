import { cut, DEFAULT_NAMESPACE, exchangeTrial, identityOf, namespaceOrDefault, trialQuery } from '@onbehalf/resources';
import type { z } from 'zod';
import { type BoundTool, type Policy, resolveTools } from '../../policy/index.ts';
import type { Registry, Stored } from '../../store/index.ts';
import type { Tools } from '../../tools/index.ts';
import { findAgent } from '../find-resource.ts';
import { HttpProblem } from '../problems.ts';
import { type Route, route } from '../route.ts';

export interface TrialPorts {
  registry: Registry;
  policy: Policy;
  tools: Pick<Tools, 'tryExchange'>;
}

interface Trial {
  agent: Stored<'Agent'>;
  tool: BoundTool;
}

/** The agent's binding of the server that the address names. */
function bindingOf({ registry, policy }: TrialPorts, agent: Stored<'Agent'>, address: string): BoundTool | undefined {
  const [first = '', second] = address.split('.');
  const [namespace, name] = second === undefined ? [DEFAULT_NAMESPACE, first] : [first, second];
  return resolveTools(agent, registry, policy.writerMayUse).find(
    ({ server }) => server?.metadata.name === name && namespaceOrDefault(server.metadata) === namespace,
  );
}

export function trialRoutes(o: TrialPorts): readonly Route[] {
  const { registry, policy } = o;
  return [
    route<undefined, z.infer<typeof trialQuery>, Trial>({
      method: 'POST',
      path: '/mcp-servers/:name/actions/test-exchange',
      summary:
        'Exchanges once as the caller, through one of their agents, and says what came back and what to mend. The tool server is not called, the token is thrown away',
      query: trialQuery,
      budget: 'trials',
      responses: { 200: exchangeTrial },
      authorize({ caller, params, query }) {
        const runnable = ({ metadata }: Stored<'Agent'>) =>
          policy.decide(caller.principal, 'run', { kind: 'Agent', uid: metadata.uid }).effect === 'allow';
        const named = query.agent === undefined ? undefined : findAgent(registry, query.agent);
        const candidates = query.agent === undefined ? registry.list('Agent').filter(runnable) : named ? [named] : [];
        for (const agent of candidates) {
          const tool = bindingOf(o, agent, params.name ?? '');
          if (tool)
            return {
              question: { action: 'run', resource: { kind: 'Agent', uid: agent.metadata.uid } },
              found: { agent, tool },
            };
        }
        throw new HttpProblem('not_found', `no agent that you may run has tools of a server ${cut(params.name ?? '')}`);
      },
      async handle({ caller, found, reply }) {
        const { agent, tool } = found;
        if (caller.principal.delegated) throw new HttpProblem('forbidden', 'a delegated caller does not try exchanges');
        if (!caller.subject)
          throw new HttpProblem('invalid_request', 'sign in as a person: there is no token to exchange');
        if (!tool.server || !tool.target || tool.server.spec.auth?.mode !== 'Exchange')
          throw new HttpProblem(
            'invalid_request',
            tool.problem ?? 'this server does not use mode Exchange: there is nothing to exchange',
          );
        const controller = new AbortController();
        reply.raw.once('close', () => controller.abort());
        return o.tools.tryExchange({
          server: tool.server,
          target: tool.target,
          subject: caller.subject,
          agent: identityOf(agent),
          signal: controller.signal,
        });
      },
    }),
  ];
}
