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
