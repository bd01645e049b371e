import type { ExchangeEntry } from '@onbehalf/resources';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { ArrowLeftRight, FilterX } from 'lucide-react';
import { useRef } from 'react';
import { shellWord, shortName } from '../api/address.ts';
import { exchangesQuery } from '../api/queries.ts';
import { Dot } from '../ui/badge.tsx';
import { Button } from '../ui/button.tsx';
import { CommandLine } from '../ui/copy.tsx';
import { Drawer } from '../ui/dialogs.tsx';
import { Page } from '../ui/page.tsx';
import { EmptyState, ErrorState, Loading } from '../ui/states.tsx';
import { ExchangeDetail } from './exchange-detail.tsx';
import { ExchangeRow, ExchangeRowHead } from './exchange-row.tsx';
import { FilterSelect } from './filter-select.tsx';
import { exchangeResults } from './result-badge.tsx';
import type { ExchangeSearch } from './search.ts';

const route = getRouteApi('/exchanges');

export function ExchangesPage() {
  const search = route.useSearch();
  const navigate = useNavigate();
  const { id: _id, ...filters } = search;
  // The server filters, for what is beyond the newest is filtered too; what can be chosen comes from all.
  const { data, error, isPending, refetch } = useQuery(exchangesQuery(filters));
  const { data: newest } = useQuery(exchangesQuery({}));
  const known = useRef(new Set<string>());
  const shown = data?.items ?? [];
  const all = [...shown, ...(newest?.items ?? [])];
  const open = all.find((entry) => entry.id === search.id);
  const filtered = Object.keys(filters).length > 0;
  const change = (next: Partial<Record<keyof ExchangeSearch, string | undefined>>) =>
    navigate({ to: '/exchanges', search: clean({ ...search, ...next }), replace: true });
  const choices = (value: (entry: ExchangeEntry) => string) => [...new Set(all.map(value))].sort();
  return (
    <Page
      title="Exchanges"
      lead="Every token fetched for a tool call: for whom, through which agent, for which server."
      actions={<CommandLine command={sameFromTerminal(search)} />}
    >
      <section aria-label="Filters" className="mb-4 flex flex-wrap items-center gap-2">
        <FilterSelect
          label="Agent"
          value={search.agent}
          choices={choices(({ agent }) => agent)}
          onChange={(agent) => change({ agent })}
        />
        <FilterSelect
          label="Server"
          value={search.server}
          choices={choices(({ server }) => server)}
          onChange={(server) => change({ server })}
        />
        <FilterSelect
          label="User"
          value={search.user}
          choices={choices(({ principal }) => principal.subject)}
          onChange={(user) => change({ user })}
        />
        <FilterSelect
          label="Result"
          value={search.result}
          choices={exchangeResults}
          onChange={(result) => change({ result })}
        />
        {filtered && (
          <Button look="ghost" size="small" onClick={() => navigate({ to: '/exchanges', search: {}, replace: true })}>
            <FilterX size={14} aria-hidden="true" /> Clear
          </Button>
        )}
        <span className="ml-auto flex items-center gap-2 text-xs text-soft">
          <Dot tone={error ? 'bad' : 'good'} pulse={!error} />
          {error ? 'Not up to date' : 'Live'}
          {data && (
            <span className="text-faint">· {data.tokenServiceRequests} requests to token services since the start</span>
          )}
        </span>
      </section>
      {isPending ? (
        <Loading rows={5} />
      ) : error && !data ? (
        <ErrorState error={error} retry={() => refetch()} />
      ) : shown.length === 0 ? (
        <EmptyState
          icon={ArrowLeftRight}
          title={filtered ? 'Nothing matches these filters' : 'No exchange yet'}
          action={filtered ? undefined : <CommandLine command='onbehalf invoke assistant -m "What have I ordered?"' />}
        >
          {filtered
            ? 'Clear them to see everything that you may see.'
            : 'Nothing is exchanged before a tool is called. Ask an agent something that needs one.'}
        </EmptyState>
      ) : (
        <div className="overflow-hidden rounded-xl border border-line bg-surface shadow-card">
          <ExchangeRowHead />
          <ul aria-label="Exchanges, newest first" className="divide-y divide-line">
            {shown.map((entry) => (
              <ExchangeRow key={entry.id} entry={entry} search={search} fresh={isFresh(known.current, entry.id)} />
            ))}
          </ul>
        </div>
      )}
      <Drawer
        open={open !== undefined}
        onClose={() => change({ id: undefined })}
        title={open ? `Token for ${shortName(open.server)}` : ''}
      >
        {open && <ExchangeDetail entry={open} />}
      </Drawer>
    </Page>
  );
}

function sameFromTerminal({ agent, server, user, result }: ExchangeSearch): string {
  const words = ['onbehalf', 'exchanges'];
  if (agent !== undefined) words.push('--agent', shellWord(agent));
  if (server !== undefined) words.push('--server', shellWord(server));
  if (user !== undefined) words.push('--user', shellWord(user));
  if (result !== undefined) words.push('--result', shellWord(result));
  return words.join(' ');
}

/** A row that was not there when the screen was opened lights up once. */
function isFresh(known: Set<string>, id: string): boolean {
  const first = known.size === 0 || known.has(id);
  known.add(id);
  return !first;
}

function clean(search: Partial<Record<keyof ExchangeSearch, string | undefined>>): ExchangeSearch {
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined)) as ExchangeSearch;
}
