import { ApiError } from '@onbehalf/client';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { Bot, Boxes, Wrench } from 'lucide-react';
import { useState } from 'react';
import { shellWord } from '../api/address.ts';
import { askWhoIsSignedIn, client } from '../api/client.ts';
import { agentQuery, explainQuery } from '../api/queries.ts';
import { ModelBadge } from '../models/model-badge.tsx';
import { Badge } from '../ui/badge.tsx';
import { CommandLine } from '../ui/copy.tsx';
import { usePageTitle } from '../ui/page.tsx';
import { ScrollArea } from '../ui/scroll-area.tsx';
import { ErrorState, Loading } from '../ui/states.tsx';
import { Composer } from './composer.tsx';
import { SessionsButton } from './sessions-button.tsx';
import { UserMessage } from './turn-view.tsx';

const route = getRouteApi('/chat/$agent');

/** A session begins with its first message: an address that is only opened makes none. */
export function NewChat() {
  const { agent } = route.useParams();
  const navigate = useNavigate();
  const [problem, setProblem] = useState<string>();
  const [sending, setSending] = useState<string>();
  const { data, error, isPending, refetch } = useQuery(agentQuery(agent));
  usePageTitle(`New chat with ${agent}`);

  async function send(text: string): Promise<boolean> {
    setProblem(undefined);
    setSending(text);
    try {
      const { id } = await client.createSession(agent);
      await client.postMessage(agent, id, text);
      await navigate({ to: '/chat/$agent/$session', params: { agent, session: id }, replace: true });
      return true;
    } catch (refusal) {
      if (refusal instanceof ApiError && refusal.status === 401) askWhoIsSignedIn();
      setProblem(refusal instanceof ApiError ? refusal.message : 'The message could not be sent.');
      setSending(undefined);
      return false;
    }
  }

  return (
    <div className="flex h-full min-h-0 flex-col">
      <header className="flex shrink-0 items-center gap-3 border-b border-line px-4 py-2.5">
        <SessionsButton />
        <h1 className="flex min-h-8 min-w-0 flex-1 items-center truncate font-semibold">New chat with {agent}</h1>
      </header>
      <ScrollArea label="About this agent" className="min-h-0 flex-1 overflow-y-auto px-4 py-10 sm:px-6">
        <div className="mx-auto grid grid-cols-1 max-w-3xl gap-6">
          {isPending ? (
            <Loading rows={1} />
          ) : error ? (
            <ErrorState error={error} retry={() => refetch()} />
          ) : sending !== undefined ? (
            <UserMessage text={sending} sending />
          ) : (
            <Introduction agent={agent} description={data.spec.description} />
          )}
        </div>
      </ScrollArea>
      <Composer
        agent={agent}
        running={false}
        disabled={error !== null || sending !== undefined}
        problem={problem}
        onSend={send}
      />
    </div>
  );
}

function Introduction({ agent, description }: { agent: string; description: string | undefined }) {
  const { data } = useQuery(explainQuery(agent));
  const servers = [...Map.groupBy(data?.tools ?? [], ({ server }) => server)];
  return (
    <>
      <div>
        <span className="grid size-12 place-items-center rounded-xl bg-accent-soft text-accent-ink">
          <Bot size={24} aria-hidden="true" />
        </span>
        <p className="mt-4 text-lg font-semibold">{agent}</p>
        {description !== undefined && <p className="mt-0.5 break-words text-soft">{description}</p>}
        {data?.model && (
          <p className="mt-3 flex items-center gap-2 text-soft">
            <Boxes size={15} aria-hidden="true" />{' '}
            <ModelBadge provider={data.model.provider} model={data.model.model} />
          </p>
        )}
      </div>
      {servers.length > 0 && (
        <ul className="grid grid-cols-1 gap-3 sm:grid-cols-2">
          {servers.map(([server, tools]) => (
            <li key={server} className="rounded-xl border border-line bg-surface p-3.5">
              <p className="flex items-center gap-2 font-medium">
                <Wrench size={15} aria-hidden="true" className="text-soft" /> {server}
              </p>
              <p className="mt-2 flex flex-wrap gap-1">
                {tools.map(({ tool }) => (
                  <Badge key={tool}>{tool}</Badge>
                ))}
              </p>
            </li>
          ))}
        </ul>
      )}
      <CommandLine command={`onbehalf invoke ${shellWord(agent)} -m "…"`} />
    </>
  );
}
