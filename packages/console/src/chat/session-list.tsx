import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { Search } from 'lucide-react';
import { useId } from 'react';
import { sessionsQuery } from '../api/queries.ts';
import { explainError, Loading } from '../ui/states.tsx';
import { SessionItem } from './session-item.tsx';

export function SessionList() {
  const { data, error, isPending } = useQuery(sessionsQuery);
  const { q = '' } = useSearch({ from: '/chat' });
  const navigate = useNavigate();
  const field = useId();
  if (isPending) return <Loading rows={4} />;
  if (error && !data) return <p className="px-2 py-4 text-soft">{explainError(error).title}</p>;
  if (data.length === 0) return <p className="px-2 py-4 text-soft">None yet. The first message begins one.</p>;
  const words = q.toLowerCase();
  const found = data.filter(({ title, agent }) => `${title} ${agent.name}`.toLowerCase().includes(words));
  return (
    <>
      <label htmlFor={field} className="relative mb-2 block px-1">
        <span className="sr-only">Search your conversations</span>
        <Search size={14} aria-hidden="true" className="absolute top-2.5 left-3.5 text-faint" />
        <input
          id={field}
          type="search"
          value={q}
          placeholder="Search"
          onChange={(event) =>
            navigate({ to: '.', search: event.target.value === '' ? {} : { q: event.target.value }, replace: true })
          }
          className="h-8.5 w-full rounded-lg border border-line bg-canvas pr-2 pl-8 placeholder:text-faint"
        />
      </label>
      <ul className="grid grid-cols-1 gap-0.5">
        {found.map((session) => (
          <SessionItem key={session.id} session={session} />
        ))}
      </ul>
      {found.length === 0 && <p className="px-2 py-3 text-soft">Nothing matches “{q}”.</p>}
    </>
  );
}
