import type { ResourceAt } from '@onbehalf/client';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Bot, Boxes, MessageSquare, Wrench } from 'lucide-react';
import { agentAddress } from '../api/address.ts';
import { agentsQuery } from '../api/queries.ts';
import { Badge } from '../ui/badge.tsx';
import { buttonClass } from '../ui/button.tsx';
import { StateBadge } from '../ui/conditions.tsx';
import { CommandLine } from '../ui/copy.tsx';
import { Page } from '../ui/page.tsx';
import { EmptyState, ErrorState, Loading } from '../ui/states.tsx';
import { bindingCount, modelName } from './agent-facts.ts';

export function AgentsPage() {
  const { data, error, isPending, refetch } = useQuery(agentsQuery);
  return (
    <Page
      title="Agents"
      lead="What you may talk to. Each acts with your authority, and nothing more."
      actions={<CommandLine command="onbehalf get agents" />}
    >
      {isPending ? (
        <Loading />
      ) : error ? (
        <ErrorState error={error} retry={() => refetch()} />
      ) : data.length === 0 ? (
        <EmptyState
          icon={Bot}
          title="No agent that you may see"
          action={<CommandLine command="onbehalf apply -f agent.yaml" />}
        >
          An administrator applies an Agent, and a Grant with the verb <em>run</em> to you.
        </EmptyState>
      ) : (
        <ul className="grid grid-cols-1 gap-4 sm:grid-cols-2 xl:grid-cols-3">
          {data.map((agent) => (
            <AgentCard key={agent.metadata.uid} agent={agent} />
          ))}
        </ul>
      )}
    </Page>
  );
}

function AgentCard({ agent }: { agent: ResourceAt<'agents'> }) {
  const { metadata, spec, status } = agent;
  const address = agentAddress(metadata);
  const tools = bindingCount(spec);
  return (
    <li className="group relative flex flex-col rounded-xl border border-line bg-surface p-4 shadow-card transition-colors hover:border-line-strong">
      <div className="flex items-start justify-between gap-3">
        <span className="grid size-9 place-items-center rounded-lg bg-accent-soft text-accent-ink">
          <Bot size={19} aria-hidden="true" />
        </span>
        <StateBadge enabled={spec.enabled} conditions={status.conditions} />
      </div>
      <h2 className="mt-3 font-semibold">
        <Link
          to="/agents/$agent"
          params={{ agent: address }}
          className="break-words after:absolute after:inset-0 after:rounded-xl"
        >
          {address}
        </Link>
      </h2>
      <p className="mt-1 line-clamp-2 flex-1 break-words text-soft">{spec.description ?? 'No description'}</p>
      <div className="mt-4 flex flex-wrap items-center gap-1.5">
        <Badge>{spec.type}</Badge>
        <Badge>
          <Boxes size={12} aria-hidden="true" /> {modelName(spec)}
        </Badge>
        <Badge>
          <Wrench size={12} aria-hidden="true" /> {tools} {tools === 1 ? 'tool' : 'tools'}
        </Badge>
      </div>
      <Link
        to="/chat/$agent"
        params={{ agent: address }}
        aria-label={`Chat with ${address}`}
        className={`${buttonClass('secondary', 'small')} relative mt-4 h-8`}
      >
        <MessageSquare size={14} aria-hidden="true" /> Chat
      </Link>
    </li>
  );
}
