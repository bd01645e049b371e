import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { ChevronLeft, MessageSquare } from 'lucide-react';
import { lazy, Suspense } from 'react';
import { agentQuery } from '../api/queries.ts';
import { Badge } from '../ui/badge.tsx';
import { buttonClass } from '../ui/button.tsx';
import { StateBadge } from '../ui/conditions.tsx';
import { Page } from '../ui/page.tsx';
import { ErrorState, Loading } from '../ui/states.tsx';
import { AgentAccess } from './agent-access.tsx';
import { AgentOverview } from './agent-overview.tsx';
import { AgentTools } from './agent-tools.tsx';

const AgentYaml = lazy(async () => ({ default: (await import('./agent-yaml.tsx')).AgentYaml }));

const route = getRouteApi('/agents/$agent');
const TABS = { overview: 'Overview', tools: 'Tools and targets', access: 'Who may call it', yaml: 'YAML' } as const;

export function AgentPage() {
  const { agent: address } = route.useParams();
  const { tab = 'overview' } = route.useSearch();
  const { data: agent, error, isPending, refetch } = useQuery(agentQuery(address));
  return (
    <Page
      title={address}
      lead={agent?.spec.description}
      above={
        <Link to="/agents" className="mb-3 inline-flex items-center gap-1 text-soft hover:text-text">
          <ChevronLeft size={15} aria-hidden="true" /> Agents
        </Link>
      }
      actions={
        agent && (
          <>
            <Badge>{agent.spec.type}</Badge>
            <StateBadge enabled={agent.spec.enabled} conditions={agent.status.conditions} />
            <Link to="/chat/$agent" params={{ agent: address }} className={buttonClass('primary')}>
              <MessageSquare size={16} aria-hidden="true" /> Chat
            </Link>
          </>
        )
      }
    >
      {isPending ? (
        <Loading />
      ) : error ? (
        <ErrorState error={error} retry={() => refetch()} />
      ) : (
        <>
          <nav aria-label="Parts of this agent" className="scroll-thin mb-5 overflow-x-auto border-b border-line">
            <ul className="flex gap-1">
              {Object.entries(TABS).map(([name, title]) => (
                <li key={name}>
                  <Link
                    to="/agents/$agent"
                    params={{ agent: address }}
                    search={name === 'overview' ? {} : { tab: name as keyof typeof TABS }}
                    aria-current={name === tab ? 'page' : undefined}
                    className={`-mb-px block border-b-2 px-2.5 py-2 font-medium whitespace-nowrap ${name === tab ? 'border-accent text-text' : 'border-transparent text-soft hover:text-text'}`}
                  >
                    {title}
                  </Link>
                </li>
              ))}
            </ul>
          </nav>
          {tab === 'overview' && <AgentOverview address={address} agent={agent} />}
          {tab === 'tools' && <AgentTools address={address} />}
          {tab === 'access' && <AgentAccess address={address} />}
          {tab === 'yaml' && (
            <Suspense fallback={<Loading />}>
              <AgentYaml agent={agent} address={address} />
            </Suspense>
          )}
        </>
      )}
    </Page>
  );
}
