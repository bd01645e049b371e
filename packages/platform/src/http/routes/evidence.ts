import {
  auditList,
  auditVerification,
  canIQuery,
  canIResult,
  type ExchangeEntry,
  eventData,
  exchangeList,
} from '@onbehalf/resources';
import { z } from 'zod';
import type { Audit } from '../../audit/index.ts';
import type { Issuer } from '../../issuer/index.ts';
import { LOCAL_ADMIN, refOf } from '../../people/index.ts';
import type { Policy } from '../../policy/index.ts';
import type { Registry, Store } from '../../store/index.ts';
import type { Tools } from '../../tools/index.ts';
import { findResource } from '../find-resource.ts';
import { HttpProblem } from '../problems.ts';
import { byRole, notFound, type Route, route } from '../route.ts';

const SEES_ALL = new Set(['AUDITOR', 'ADMIN']);
const MAX = 500;

const exchangeQuery = z.strictObject({
  session: z.string().exactOptional(),
  agent: z.string().exactOptional(),
  server: z.string().exactOptional(),
  since: z.string().exactOptional(),
  limit: z.coerce.number().int().min(1).max(MAX).exactOptional(),
});

const auditQuery = z.strictObject({
  turn: z.string().exactOptional(),
  session: z.string().exactOptional(),
  type: z.string().exactOptional(),
  user: z.string().exactOptional(),
  agent: z.string().exactOptional(),
  server: z.string().exactOptional(),
  decision: z.string().exactOptional(),
  jti: z.string().exactOptional(),
  record: z.string().exactOptional(),
  requestId: z.string().exactOptional(),
  since: z.string().exactOptional(),
  until: z.string().exactOptional(),
  limit: z.coerce.number().int().min(1).max(MAX).exactOptional(),
});

const ownAudit = ({ caller }: { caller: { principal: { issuer: string; subject: string } } }) => ({
  question: {
    action: 'audit.read' as const,
    resource: { kind: 'Audit', owner: refOf(caller.principal) },
  },
  found: undefined,
});

export interface EvidencePorts {
  store: Store;
  registry: Registry;
  audit: Audit;
  policy: Policy;
  tools: Pick<Tools, 'counts'>;
  /** Of the embedded issuer. */
  issuer: string;
  issuerCounts: Issuer['counts'];
}

export function evidenceRoutes(o: EvidencePorts): readonly Route[] {
  const exchanges = route<undefined, z.infer<typeof exchangeQuery>>({
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
      let select = store.builder
        .selectFrom('events')
        .innerJoin('sessions', 'sessions.id', 'events.session')
        .select(['events.session', 'events.seq', 'events.turn', 'events.at', 'events.call_id', 'events.data'])
        .select(['sessions.agent_namespace', 'sessions.agent_name', 'sessions.owner_iss', 'sessions.owner_sub'])
        .where('events.type', '=', 'exchange')
        .orderBy('events.at', 'desc')
        .orderBy('events.seq', 'desc')
        .limit(query.limit ?? 100);
      if (!SEES_ALL.has(caller.principal.role))
        select = select
          .where('sessions.owner_iss', '=', caller.principal.issuer)
          .where('sessions.owner_sub', '=', caller.principal.subject);
      if (query.session !== undefined) select = select.where('events.session', '=', query.session);
      if (query.since !== undefined) select = select.where('events.at', '>', query.since);
      if (query.agent !== undefined) select = select.where('sessions.agent_name', '=', query.agent);
      const rows = await store.read<{
        session: string;
        seq: number;
        turn: string | null;
        at: string;
        call_id: string | null;
        data: string;
        agent_namespace: string;
        agent_name: string;
        owner_iss: string;
        owner_sub: string;
      }>(select.compile());
      const items = rows
        .map(
          (row): ExchangeEntry => ({
            ...eventData.exchange.parse(JSON.parse(row.data)),
            id: `${row.session}/${row.seq}`,
            at: row.at,
            session: row.session,
            turn: row.turn ?? '',
            ...(row.call_id !== null && { callId: row.call_id }),
            agent: `${row.agent_namespace}/${row.agent_name}`,
            principal: { issuer: row.owner_iss, subject: row.owner_sub },
          }),
        )
        .filter((entry) => query.server === undefined || entry.server === query.server);
      if (SEES_ALL.has(caller.principal.role)) {
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
        tokenServiceRequests: items.filter(({ result }) => result === 'exchanged').length,
        workloadTokenRequests: 0,
      };
    },
  });

  const audit = route<undefined, z.infer<typeof auditQuery>>({
    method: 'GET',
    path: '/audit',
    summary: "The audit, newest first: one's own entries, or all for AUDITOR and ADMIN",
    query: auditQuery,
    responses: { 200: auditList },
    authorize: ownAudit,
    async handle({ caller, query }) {
      const { user, ...filter } = query;
      const all = SEES_ALL.has(caller.principal.role);
      const who = all
        ? user === undefined
          ? {}
          : { sub: user }
        : { iss: caller.principal.issuer, sub: caller.principal.subject };
      return {
        items: (await o.audit.query({ ...filter, ...who, limit: query.limit ?? 100, newestFirst: true })).map(lineView),
      };
    },
  });

  const trace = route({
    method: 'GET',
    path: '/audit/trace/:turn',
    summary: 'Everything that belongs to one turn, in order',
    responses: { 200: auditList },
    authorize: ownAudit,
    async handle({ caller, params }) {
      const lines = await o.audit.trace(params.turn ?? '');
      const { issuer, subject, role } = caller.principal;
      const named = lines.flatMap(({ entry }) => entry.principal ?? []);
      const own = named.length > 0 && named.every((one) => one.issuer === issuer && one.subject === subject);
      if (lines.length === 0 || (!SEES_ALL.has(role) && !own)) throw notFound();
      return { items: lines.map(lineView) };
    },
  });

  const verify = route({
    method: 'GET',
    path: '/audit/verify',
    summary: 'Recomputes the whole chain and says where it breaks first',
    responses: { 200: auditVerification },
    authorize: byRole('audit.export'),
    handle: () => o.audit.verify(),
  });

  const canI = route<undefined, z.infer<typeof canIQuery>>({
    method: 'GET',
    path: '/access/can-i',
    summary: 'What the policy would say, and the rule that decides. Nothing is called',
    query: canIQuery,
    responses: { 200: canIResult },
    authorize: byRole('access.can-i'),
    async handle({ caller, query }) {
      const address = query.namespace === undefined ? query.name : `${query.namespace}.${query.name}`;
      let { principal } = caller;
      if (query.as !== undefined) {
        if (!SEES_ALL.has(caller.principal.role))
          throw new HttpProblem('forbidden', 'only AUDITOR and ADMIN ask for somebody else');
        principal = o.policy.principalOf({ issuer: o.issuer, subject: query.as });
      }
      const resource = (() => {
        try {
          return findResource(o.registry, query.kind, address);
        } catch {
          return undefined;
        }
      })();
      const decision = o.policy.decide(principal, query.verb, {
        kind: query.kind,
        uid: resource?.metadata.uid ?? '',
      });
      // Asking is no way to learn of what one may not see.
      const mayKnow = principal === LOCAL_ADMIN || SEES_ALL.has(caller.principal.role) || decision.effect !== 'hide';
      return {
        allowed: decision.effect === 'allow',
        effect: decision.effect,
        rule: mayKnow ? decision.rule : 'unknown',
        reason: mayKnow ? decision.reason : 'there is no such thing, or you may not see it',
      };
    },
  });

  return [exchanges, audit, trace, verify, canI];
}

function lineView(line: { writer: string; seq: number; hash?: string; entry: Record<string, unknown> | object }) {
  return { writer: line.writer, seq: line.seq, ...line.entry };
}
