import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Bot, MessagesSquare } from 'lucide-react';
import { agentAddress } from '../api/address.ts';
import { agentsQuery } from '../api/queries.ts';
import { CommandLine } from '../ui/copy.tsx';
import { usePageTitle } from '../ui/page.tsx';
import { EmptyState, ErrorState, Loading } from '../ui/states.tsx';
import { SessionList } from './session-list.tsx';

export function ChatHome() {
  const { data, error, isPending, refetch } = useQuery(agentsQuery);
  usePageTitle('Chat');
  return (
    <div className="mx-auto max-w-3xl px-4 py-8 sm:px-6">
      <h1 className="text-xl font-semibold tracking-tight">Chat</h1>
      <p className="mt-1 text-soft">Pick an agent to talk to, or go on with a conversation.</p>
      <div className="mt-6">
        {isPending ? (
          <Loading rows={2} />
        ) : error ? (
          <ErrorState error={error} retry={() => refetch()} />
        ) : data.length === 0 ? (
          <EmptyState
            icon={MessagesSquare}
            title="Nobody to talk to yet"
            action={<CommandLine command="onbehalf apply -f agent.yaml" />}
          >
            An administrator applies an Agent, and a Grant with the verb <em>run</em> to you.
          </EmptyState>
        ) : (
          <ul className="grid grid-cols-1 gap-3 sm:grid-cols-2">
            {data.map(({ metadata, spec }) => (
              <li key={metadata.uid}>
                <Link
                  to="/chat/$agent"
                  params={{ agent: agentAddress(metadata) }}
                  className="flex h-full items-start gap-3 rounded-xl border border-line bg-surface p-4 shadow-card hover:border-line-strong hover:bg-hover"
                >
                  <span className="grid size-9 shrink-0 place-items-center rounded-lg bg-accent-soft text-accent-ink">
                    <Bot size={18} aria-hidden="true" />
                  </span>
                  <span className="min-w-0">
                    <span className="block font-semibold break-words">{agentAddress(metadata)}</span>
                    <span className="line-clamp-2 break-words text-soft">{spec.description ?? 'No description'}</span>
                  </span>
                </Link>
              </li>
            ))}
          </ul>
        )}
      </div>
      <section aria-labelledby="conversations" className="mt-8 md:hidden">
        <h2 id="conversations" className="mb-2 font-semibold">
          Your conversations
        </h2>
        <SessionList />
      </section>
    </div>
  );
}
