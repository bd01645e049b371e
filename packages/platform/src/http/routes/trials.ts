import { exchangeTrial, trialQuery } from '@onbehalf/resources';
import type { z } from 'zod';
import { type BoundTool, identityOf, resolveTools } from '../../runtime/index.ts';
import type { Stored } from '../../store/index.ts';
import { findAgent } from '../authenticate.ts';
import { HttpProblem } from '../problems.ts';
import { notFound, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

interface Trial {
  agent: Stored<'Agent'>;
  tool: BoundTool;
}

/** The agent's binding of the server that the address names. */
function bindingOf(services: Services, agent: Stored<'Agent'>, address: string): BoundTool | undefined {
  const [first = '', second] = address.split('.');
  const [namespace, name] = second === undefined ? ['default', first] : [first, second];
  return resolveTools(agent, services.registry, services.policy.writerMayUse).find(
    ({ server }) => server?.metadata.name === name && (server.metadata.namespace ?? 'default') === namespace,
  );
}

const testExchange = route<undefined, z.infer<typeof trialQuery>, Trial>({
  method: 'POST',
  path: '/mcp-servers/:name/actions/test-exchange',
  summary:
    'Exchanges once as the caller, through one of their agents, and says what came back and what to mend. The tool server is not called, the token is thrown away',
  query: trialQuery,
  responses: { 200: exchangeTrial },
  authorize({ services, caller, params, query }) {
    const runnable = ({ metadata }: Stored<'Agent'>) =>
      services.policy.decide(caller.principal, 'run', { kind: 'Agent', uid: metadata.uid }).effect === 'allow';
    const named = query.agent === undefined ? undefined : findAgent(services, query.agent);
    const candidates =
      query.agent === undefined ? services.registry.list('Agent').filter(runnable) : named ? [named] : [];
    for (const agent of candidates) {
      const tool = bindingOf(services, agent, params.name ?? '');
      if (tool)
        return {
          question: { action: 'run', resource: { kind: 'Agent', uid: agent.metadata.uid } },
          found: { agent, tool },
        };
    }
    throw notFound();
  },
  async handle({ services, caller, found, raw }) {
    const { agent, tool } = found;
    if (caller.principal.delegated) throw new HttpProblem('forbidden', 'a delegated caller does not try exchanges');
    if (!caller.subject) throw new HttpProblem('invalid_request', 'sign in as a person: there is no token to exchange');
    if (!tool.server || !tool.target || tool.server.spec.auth?.mode !== 'Exchange')
      throw new HttpProblem(
        'invalid_request',
        tool.problem ?? 'this server does not use mode Exchange: there is nothing to exchange',
      );
    const controller = new AbortController();
    raw.raw.once('close', () => controller.abort());
    return services.tools.tryExchange({
      server: tool.server,
      target: tool.target,
      subject: caller.subject,
      agent: identityOf(agent),
      signal: controller.signal,
    });
  },
});

export const trialRoutes: readonly Route[] = [testExchange];
