import { useQuery } from '@tanstack/react-query';
import { UserRoundX, UsersRound } from 'lucide-react';
import { shellWord } from '../api/address.ts';
import { explainQuery } from '../api/queries.ts';
import { Badge } from '../ui/badge.tsx';
import { CommandLine } from '../ui/copy.tsx';
import { EmptyState, ErrorState, Loading } from '../ui/states.tsx';
import { Time } from '../ui/time.tsx';

export function AgentAccess({ address }: { address: string }) {
  const { data, error, isPending, refetch } = useQuery(explainQuery(address));
  if (isPending) return <Loading />;
  if (error) return <ErrorState error={error} retry={() => refetch()} />;
  const command = `onbehalf grant add NAME run ${shellWord(`agent/${address}`)}`;
  if (data.callers.length === 0)
    return (
      <EmptyState icon={UserRoundX} title="Nobody but administrators" action={<CommandLine command={command} />}>
        A Grant with the verb <em>run</em> lets a person, a group or a role call it.
      </EmptyState>
    );
  return (
    <div className="grid grid-cols-1 gap-4">
      <ul className="divide-y divide-line rounded-xl border border-line bg-surface shadow-card">
        {data.callers.map((caller) => (
          <li key={`${caller.grant} ${caller.to}`} className="flex flex-wrap items-center gap-x-4 gap-y-1 px-4 py-3">
            <UsersRound size={16} aria-hidden="true" className="text-faint" />
            <span className="min-w-0 flex-1 font-medium break-words">{caller.to}</span>
            <span className="flex flex-wrap items-center gap-1.5">
              {caller.verbs.map((verb) => (
                <Badge key={verb} tone="accent">
                  {verb}
                </Badge>
              ))}
              <Badge>grant {caller.grant}</Badge>
              {caller.expiresAt !== undefined && (
                <Badge tone="warn">
                  until <Time at={caller.expiresAt} />
                </Badge>
              )}
            </span>
          </li>
        ))}
      </ul>
      <CommandLine command={command} />
    </div>
  );
}
