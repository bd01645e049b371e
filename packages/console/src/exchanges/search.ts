import type { ExchangeEntry } from '@onbehalf/resources';

/** What the address of the screen holds: the filters, and which entry is open. */
export interface ExchangeSearch {
  agent?: string;
  server?: string;
  user?: string;
  result?: string;
  id?: string;
}

const NAMES = ['agent', 'server', 'user', 'result', 'id'] as const;

export function exchangeSearch(raw: Record<string, unknown>): ExchangeSearch {
  const search: ExchangeSearch = {};
  for (const name of NAMES) {
    const value = raw[name];
    // The router reads a number where somebody's name is one.
    if ((typeof value === 'string' && value !== '') || typeof value === 'number') search[name] = String(value);
  }
  return search;
}

export function matches(entry: ExchangeEntry, { agent, server, user, result }: ExchangeSearch): boolean {
  return (
    (agent === undefined || entry.agent === agent) &&
    (server === undefined || entry.server === server) &&
    (user === undefined || entry.principal.subject === user) &&
    (result === undefined || entry.result === result)
  );
}
