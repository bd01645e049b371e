import type { ExchangeView } from '@onbehalf/resources';
import { Bot, type LucideIcon, Server, UserRound } from 'lucide-react';
import { shortName } from '../api/address.ts';
import { Token } from '../ui/badge.tsx';

interface Stop {
  icon: LucideIcon;
  role: string;
  name: string;
  title?: string;
}

/** Whose token it was: the person it stands for, each agent that acts for them, the one server that accepts it. */
export function stopsOf(exchange: ExchangeView): Stop[] {
  const audience = exchange.granted?.audience ?? [
    ...(exchange.requested?.audience ?? []),
    ...(exchange.requested?.resource ?? []),
  ];
  // RFC 8693 section 4.1: the outermost `act` is who acts now, those inside it came before.
  const actors = [...(exchange.act ?? [])].reverse();
  return [
    ...(exchange.subject
      ? [{ icon: UserRound, role: 'subject', name: exchange.subject.subject, title: exchange.subject.issuer }]
      : exchange.mode === 'Workload'
        ? [{ icon: Bot, role: 'no person', name: 'the agent itself' }]
        : []),
    ...actors.map((name) => ({ icon: Bot, role: 'act', name })),
    // Where the service cannot say `act`, the client of the agent's own is who asked.
    ...(exchange.delegation === 'azp' && typeof exchange.claims?.azp === 'string'
      ? [{ icon: Bot, role: 'azp', name: exchange.claims.azp }]
      : []),
    { icon: Server, role: 'audience', name: audience.join(' ') || shortName(exchange.server) },
  ];
}

export function TokenPath({ exchange, full = false }: { exchange: ExchangeView; full?: boolean }) {
  const stops = stopsOf(exchange);
  const refused = exchange.result === 'refused';
  const scopes = (exchange.granted?.scope ?? exchange.requested?.scopes.join(' ') ?? '').split(' ').filter(Boolean);
  return (
    <figure aria-label={`Whose token: ${stops.map(({ role, name }) => `${role} ${name}`).join(', ')}`}>
      <ol
        className={`flex gap-x-1.5 gap-y-2 ${full ? 'flex-col' : 'flex-col sm:flex-row sm:flex-wrap sm:items-center'}`}
      >
        {stops.map(({ icon: Icon, role, name, title }, index) => {
          const broken = refused && index === stops.length - 1;
          return (
            <li
              key={`${role} ${name}`}
              {...(title !== undefined && { title })}
              className={`flex min-w-0 gap-x-1.5 gap-y-2 ${full ? 'flex-col' : 'flex-col sm:flex-row sm:items-center'}`}
            >
              {index > 0 && <Arrow broken={broken} down={full} />}
              <span
                className={`flex min-w-0 items-center gap-2 rounded-lg border bg-surface py-1 pr-2.5 pl-1.5 ${broken ? 'border-dashed border-bad' : 'border-line'}`}
              >
                <span className="grid size-6 shrink-0 place-items-center rounded-md bg-accent-soft text-accent-ink">
                  <Icon size={14} aria-hidden="true" />
                </span>
                <span className="min-w-0 leading-tight">
                  <span className="block text-2xs text-faint">{role}</span>
                  <span className="block font-mono text-xs break-all">{name}</span>
                  {full && title !== undefined && <span className="block text-2xs break-all text-faint">{title}</span>}
                </span>
              </span>
            </li>
          );
        })}
      </ol>
      {scopes.length > 0 && (
        <figcaption className="mt-2 flex flex-wrap items-center gap-1.5 text-xs text-faint">
          {refused ? 'asked for' : 'may'}
          {scopes.map((scope) => (
            <Token key={scope}>{scope}</Token>
          ))}
        </figcaption>
      )}
    </figure>
  );
}

function Arrow({ broken, down }: { broken: boolean; down: boolean }) {
  return (
    <span className={`shrink-0 ${down ? 'ml-3.5' : 'ml-3.5 sm:ml-0'}`}>
      <svg
        width="22"
        height="12"
        viewBox="0 0 22 12"
        aria-hidden="true"
        className={`fill-none stroke-[1.5] ${down ? 'rotate-90' : 'rotate-90 sm:rotate-0'} ${broken ? 'stroke-bad' : 'stroke-faint'}`}
      >
        {broken ? <path d="M1 6h6m8 0h6M8.5 3l5 6m0-6l-5 6" /> : <path d="M1 6h19m-4-4 4 4-4 4" />}
      </svg>
    </span>
  );
}
