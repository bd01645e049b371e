import type { ExchangeFilter } from '@onbehalf/client';
import { queryOptions } from '@tanstack/react-query';
import { client } from './client.ts';

const ME_MS = 30_000;
const EXCHANGES_MS = 1_500;
const SESSIONS_MS = 15_000;

export const meQuery = queryOptions({
  queryKey: ['me'],
  queryFn: ({ signal }) => client.me({ signal }),
  refetchInterval: ME_MS,
  refetchOnWindowFocus: 'always',
  staleTime: 0,
});

export const agentsQuery = queryOptions({
  queryKey: ['agents'],
  queryFn: async ({ signal }) => (await client.list('agents', { signal })).items,
});

export const agentQuery = (agent: string) =>
  queryOptions({ queryKey: ['agents', agent], queryFn: ({ signal }) => client.get('agents', agent, { signal }) });

export const explainQuery = (agent: string) =>
  queryOptions({
    queryKey: ['agents', agent, 'explain'],
    queryFn: ({ signal }) => client.explain(agent, { signal }),
  });

export const modelsQuery = queryOptions({
  queryKey: ['models'],
  queryFn: ({ signal }) => client.models({ signal }),
});

export const modelConfigsQuery = queryOptions({
  queryKey: ['model-configs'],
  queryFn: async ({ signal }) => (await client.list('model-configs', { signal })).items,
});

export const sessionsQuery = queryOptions({
  queryKey: ['sessions'],
  queryFn: ({ signal }) => client.sessions(undefined, { signal }),
  refetchInterval: SESSIONS_MS,
});

/** Polled only while the page is visible. */
export const exchangesQuery = (filter: Omit<ExchangeFilter, 'limit' | 'since'>) =>
  queryOptions({
    queryKey: ['exchanges', filter],
    queryFn: ({ signal }) => client.exchanges({ ...filter, limit: 300 }, { signal }),
    refetchInterval: EXCHANGES_MS,
    staleTime: 0,
  });
