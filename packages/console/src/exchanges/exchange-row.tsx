import type { ExchangeEntry } from '@onbehalf/resources';
import { Link } from '@tanstack/react-router';
import { ArrowRight } from 'lucide-react';
import { shortName } from '../api/address.ts';
import { clockTime, exactTime, milliseconds, Time } from '../ui/time.tsx';
import { ResultBadge } from './result-badge.tsx';
import type { ExchangeSearch } from './search.ts';

const GRID =
  'lg:grid lg:grid-cols-[4.5rem_minmax(0,1.1fr)_minmax(0,1.15fr)_minmax(0,1.6fr)_minmax(9.75rem,1.1fr)_5rem] lg:items-center lg:gap-4';

export function ExchangeRowHead() {
  return (
    <div
      aria-hidden="true"
      className={`hidden border-b border-line bg-sunken px-4 py-2 text-xs font-medium text-soft ${GRID}`}
    >
      <span>Time</span>
      <span>User → agent</span>
      <span>Tool</span>
      <span>Audience</span>
      <span>Result</span>
      <span>Expires</span>
    </div>
  );
}

export function ExchangeRow({
  entry,
  search,
  fresh,
}: {
  entry: ExchangeEntry;
  search: ExchangeSearch;
  fresh: boolean;
}) {
  const audience = (entry.granted?.audience ?? entry.requested?.resource ?? []).join(' ');
  return (
    <li className={`entry relative ${fresh ? 'fresh' : ''}`}>
      <Link
        to="/exchanges"
        search={{ ...search, id: entry.id }}
        replace
        className={`block px-4 py-2.5 transition-colors hover:bg-hover focus-visible:outline-offset-[-2px] ${GRID}`}
      >
        <time dateTime={entry.at} title={exactTime(entry.at)} className="font-mono text-xs text-soft">
          {clockTime(entry.at)}
        </time>
        <span className="flex min-w-0 items-center gap-1.5 font-medium">
          <span className="truncate">{entry.principal.subject}</span>
          <ArrowRight size={13} aria-label="through" className="shrink-0 text-faint" />
          <span className="truncate">{shortName(entry.agent)}</span>
        </span>
        <span className="block min-w-0 truncate font-mono text-xs">
          {shortName(entry.server)}
          {entry.tool !== undefined && `.${entry.tool}`}
        </span>
        <span className="block min-w-0 truncate font-mono text-xs text-soft" title={audience}>
          {audience}
        </span>
        <span className="mt-1 flex min-w-0 flex-wrap items-center gap-1.5 lg:mt-0">
          <ResultBadge exchange={entry} />
          {entry.result !== 'exchanged' && entry.ms !== undefined && (
            <span className="text-xs text-faint">{milliseconds(entry.ms)}</span>
          )}
        </span>
        <span className="block text-xs text-soft">
          {entry.expiresAt !== undefined && (
            <>
              <span className="lg:hidden">expires </span>
              <Time at={entry.expiresAt} />
            </>
          )}
        </span>
      </Link>
    </li>
  );
}
