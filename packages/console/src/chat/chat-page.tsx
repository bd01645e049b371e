import { ApiError } from '@onbehalf/client';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { MessageSquareOff } from 'lucide-react';
import { useCallback, useEffect, useRef } from 'react';
import { shellWord } from '../api/address.ts';
import { queryClient } from '../api/client.ts';
import { agentQuery, sessionsQuery } from '../api/queries.ts';
import { Badge } from '../ui/badge.tsx';
import { Button, buttonClass } from '../ui/button.tsx';
import { CopyButton } from '../ui/copy.tsx';
import { usePageTitle } from '../ui/page.tsx';
import { ScrollArea } from '../ui/scroll-area.tsx';
import { EmptyState } from '../ui/states.tsx';
import { Composer } from './composer.tsx';
import { ConnectionBadge, describeConnection } from './connection-badge.tsx';
import { SessionsButton } from './sessions-button.tsx';
import { TurnView, UserMessage } from './turn-view.tsx';
import { useConversation } from './use-conversation.ts';
import { useStickToEnd } from './use-stick-to-end.ts';

const route = getRouteApi('/chat/$agent/$session');

export function ChatPage() {
  const { agent, session } = route.useParams();
  return <Conversation key={`${agent} ${session}`} agent={agent} session={session} />;
}

function Conversation({ agent, session }: { agent: string; session: string }) {
  const { turns, connection, problem, pending, running, send, stop, reopen } = useConversation(agent, session);
  const { data: sessions } = useQuery(sessionsQuery);
  const { data: resource } = useQuery(agentQuery(agent));
  const title = sessions?.find(({ id }) => id === session)?.title || agent;
  usePageTitle(title);
  const { scroller, content } = useStickToEnd(pending);
  // What the list shows of this conversation (title, time) has changed when a turn begins or ends.
  // biome-ignore lint/correctness/useExhaustiveDependencies: that is when.
  useEffect(() => {
    queryClient.invalidateQueries({ queryKey: ['sessions'] }).catch(() => undefined);
  }, [running, turns.length]);
  const latestSend = useRef(send);
  latestSend.current = send;
  const retry = useCallback((text: string) => latestSend.current(text), []);

  const closed = connection.state === 'closed';
  const gone = closed && turns.length === 0;
  return (
    <div className="flex h-full min-h-0 flex-col">
      <header className="flex shrink-0 flex-wrap items-center gap-x-3 gap-y-1.5 border-b border-line px-4 py-2.5">
        <SessionsButton />
        <h1 className="min-w-0 flex-1 truncate font-semibold">{title}</h1>
        {resource?.spec.enabled === false && <Badge tone="warn">Agent switched off</Badge>}
        <ConnectionBadge connection={connection} />
        <CopyButton text={`onbehalf chat ${shellWord(agent)} --session ${session}`} label="Copy as CLI command" />
      </header>
      {gone ? (
        <EmptyState
          icon={MessageSquareOff}
          title={describeConnection(connection).text}
          action={
            <Link to="/chat" className={buttonClass()}>
              To your conversations
            </Link>
          }
        >
          {connection.error instanceof ApiError && connection.error.status === 404
            ? 'It was deleted, or it is somebody else’s.'
            : (connection.error?.message ?? 'It cannot be opened at the moment.')}
        </EmptyState>
      ) : (
        <ScrollArea
          ref={scroller}
          label="Conversation"
          className="min-h-0 flex-1 overflow-y-auto focus-visible:outline-offset-[-2px]"
        >
          <ol ref={content} className="mx-auto grid grid-cols-1 max-w-3xl gap-8 px-4 py-6 sm:px-6">
            {turns.map((turn, index) => (
              <TurnView key={turn.id} turn={turn} last={index === turns.length - 1} onRetry={retry} />
            ))}
            {pending !== undefined && (
              <li>
                <UserMessage text={pending} sending />
              </li>
            )}
          </ol>
        </ScrollArea>
      )}
      <p role="status" className="sr-only">
        {running ? `${agent} is answering` : turns.length > 0 ? 'The answer has ended' : ''}
      </p>
      {closed && !gone && (
        <div role="alert" className="mx-auto mb-3 flex items-center gap-3 rounded-lg bg-bad-soft px-3.5 py-2 text-bad">
          {describeConnection(connection).text}.
          <Button size="small" onClick={reopen}>
            Connect again
          </Button>
        </div>
      )}
      <Composer agent={agent} running={running} disabled={closed} problem={problem} onSend={send} onStop={stop} />
    </div>
  );
}
