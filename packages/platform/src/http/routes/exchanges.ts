import { type ExchangeEntry, eventData, exchangeList } from '@onbehalf/resources';
import { z } from 'zod';
import type { Issuer } from '../../issuer/index.ts';
import type { Store } from '../../store/index.ts';
import type { Tools } from '../../tools/index.ts';
import { qualifiedName } from '../qualified-name.ts';
import { type Route, route } from '../route.ts';

/** Whose evidence is not their own alone. */
export const SEES_ALL = new Set(['AUDITOR', 'ADMIN']);
const MAX = 500;

const exchangeQuery = z.strictObject({
  session: z.string().exactOptional(),
  agent: z.string().exactOptional(),
  server: z.string().exactOptional(),
  user: z.string().exactOptional(),
  result: z.string().exactOptional(),
  since: z.string().exactOptional(),
  limit: z.coerce.number().int().min(1).max(MAX).exactOptional(),
});

interface ExchangeRow {
  session: string;
  seq: number;
  turn: string | null;
  at: string;
  call_id: string | null;
  data: string;
  agent_uid: string;
  agent_namespace: string;
  agent_name: string;
  owner_iss: string;
  owner_sub: string;
}

export interface ExchangePorts {
  store: Store;
  tools: Pick<Tools, 'counts'>;
  issuerCounts: Issuer['counts'];
}

export const exchangeRoute = (o: ExchangePorts): Route =>
  route<undefined, z.infer<typeof exchangeQuery>>({
    method: 'GET',
    path: '/exchanges',
    summary: "Token exchanges, newest first: one's own, or all for AUDITOR and ADMIN. Never a token",
    query: exchangeQuery,
    responses: { 200: exchangeList },
    authorize: ({ caller }) => ({
      question: { action: 'exchanges.read', resource: { kind: 'Exchange', owner: caller.principal } },
      found: undefined,
    }),
    async handle({ caller, query }) {
      const { store, tools } = o;
      const { session, agent, server, user, result, since, limit = 100 } = query;
      const all = SEES_ALL.has(caller.principal.role);
      // Every filter before the limit: a row that is cut off is not looked at any more.
      let select = store.builder
        .selectFrom('events')
        .innerJoin('sessions', 'sessions.id', 'events.session')
        .select(['events.session', 'events.seq', 'events.turn', 'events.at', 'events.call_id', 'events.data'])
        .select(['sessions.agent_uid', 'sessions.agent_namespace', 'sessions.agent_name'])
        .select(['sessions.owner_iss', 'sessions.owner_sub'])
        .where('events.type', '=', 'exchange')
        .orderBy('events.at', 'desc')
        .orderBy('events.session', 'desc')
        .orderBy('events.seq', 'desc')
        .limit(limit);
      if (!all)
        select = select
          .where('sessions.owner_iss', '=', caller.principal.issuer)
          .where('sessions.owner_sub', '=', caller.principal.subject);
      if (user !== undefined) select = select.where('sessions.owner_sub', '=', user);
      if (session !== undefined) select = select.where('events.session', '=', session);
      if (since !== undefined) select = select.where('events.at', '>=', since);
      if (agent !== undefined) {
        const [namespace = '', name = ''] = qualifiedName(agent).split('/');
        select = select.where('sessions.agent_namespace', '=', namespace).where('sessions.agent_name', '=', name);
      }
      if (server !== undefined)
        select = select.where(store.textIn('events.data', 'server'), '=', qualifiedName(server));
      if (result !== undefined) select = select.where(store.textIn('events.data', 'result'), '=', result);
      const items = (await store.read<ExchangeRow>(select.compile())).map(entryOf);
      if (all) {
        const counts = tools.counts();
        return {
          items,
          tokenServiceRequests: counts.exchanges,
          workloadTokenRequests: counts.workloads,
          embedded: o.issuerCounts(),
        };
      }
      // How much others do is not theirs to see.
      return {
        items,
        tokenServiceRequests: items.filter((item) => item.result === 'exchanged').length,
        workloadTokenRequests: 0,
      };
    },
  });

const entryOf = (row: ExchangeRow): ExchangeEntry => ({
  ...eventData.exchange.parse(JSON.parse(row.data)),
  id: `${row.session}/${row.seq}`,
  at: row.at,
  session: row.session,
  turn: row.turn ?? '',
  ...(row.call_id !== null && { callId: row.call_id }),
  agent: `${row.agent_namespace}/${row.agent_name}`,
  agentUid: row.agent_uid,
  principal: { issuer: row.owner_iss, subject: row.owner_sub },
});
