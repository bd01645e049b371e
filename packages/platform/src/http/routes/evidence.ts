import { auditList, auditVerification, canIQuery, canIResult, cut, witnessAcceptance } from '@onbehalf/resources';
import { z } from 'zod';
import type { Audit } from '../../audit/index.ts';
import { LOCAL_ADMIN, refOf } from '../../people/index.ts';
import type { Policy } from '../../policy/index.ts';
import type { Registry } from '../../store/index.ts';
import { lookUp } from '../find-resource.ts';
import { HttpProblem } from '../problems.ts';
import { qualifiedName } from '../qualified-name.ts';
import { byRole, notFound, type Route, route } from '../route.ts';
import { type ExchangePorts, exchangeRoute, SEES_ALL } from './exchanges.ts';

const MAX = 500;

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

const acceptBody = z.strictObject({ reason: z.string().trim().min(1).max(500) });

export interface EvidencePorts extends ExchangePorts {
  registry: Registry;
  audit: Audit;
  policy: Policy;
  /** Of the embedded issuer. */
  issuer: string;
}

export function evidenceRoutes(o: EvidencePorts): readonly Route[] {
  const audit = route<undefined, z.infer<typeof auditQuery>>({
    method: 'GET',
    path: '/audit',
    summary: "The audit, newest first: one's own entries, or all for AUDITOR and ADMIN",
    query: auditQuery,
    responses: { 200: auditList },
    authorize: ownAudit,
    async handle({ caller, query }) {
      const { user, agent, server, ...rest } = query;
      const filter = {
        ...rest,
        ...(agent !== undefined && { agent: qualifiedName(agent) }),
        ...(server !== undefined && { server: qualifiedName(server) }),
      };
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

  const accept = route<z.infer<typeof acceptBody>>({
    method: 'POST',
    path: '/audit/witness/accept',
    summary: 'After a restore: what the audit witness has beyond this store counts no more',
    body: acceptBody,
    responses: { 200: witnessAcceptance },
    authorize: byRole('system.write'),
    handle: ({ caller, body }) => o.audit.acceptWitness(refOf(caller.principal), body.reason),
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
      const resource = lookUp(o.registry, query.kind, address);
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
        reason: mayKnow ? decision.reason : `there is no ${query.kind} ${cut(query.name)}, or you may not see it`,
      };
    },
  });

  return [exchangeRoute(o), audit, trace, verify, accept, canI];
}

function lineView(line: { writer: string; seq: number; hash?: string; entry: Record<string, unknown> | object }) {
  return { writer: line.writer, seq: line.seq, ...line.entry };
}
