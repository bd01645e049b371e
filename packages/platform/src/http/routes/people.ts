import {
  changePrincipal,
  createLoginLink,
  createPrincipal,
  createTicket,
  loginLinkView,
  meView,
  principalList,
  principalView,
  ticketView,
} from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import type { z } from 'zod';
import type { Issuer } from '../../issuer/index.ts';
import type { Limits } from '../../limits/index.ts';
import type { LoginSessions } from '../../login/index.ts';
import type { Tickets, Users } from '../../people/index.ts';
import type { Policy } from '../../policy/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import type { Registry } from '../../store/index.ts';
import { findAgent } from '../find-resource.ts';
import { HttpProblem } from '../problems.ts';
import { byRole, notFound, type Route, route } from '../route.ts';

export interface PeoplePorts {
  limits: Pick<Limits, 'usage'>;
  runtime: Pick<Runtime, 'runningOf' | 'sessions'>;
  registry: Pick<Registry, 'get'>;
  policy: Pick<Policy, 'decide'>;
  sessions: Pick<LoginSessions, 'logout'>;
  tickets: Pick<Tickets, 'create'>;
  users: Users;
  loginLinks: Issuer['loginLinks'];
}

export function peopleRoutes(o: PeoplePorts): readonly Route[] {
  const { users } = o;

  const me = route({
    method: 'GET',
    path: '/me',
    summary: 'Who the caller is, as this server sees them',
    responses: { 200: meView },
    authorize: byRole('me.read'),
    async handle({ caller }) {
      const { principal } = caller;
      return {
        issuer: principal.issuer,
        subject: principal.subject,
        ...(principal.name !== undefined && { name: principal.name }),
        ...(principal.email !== undefined && { email: principal.email }),
        role: principal.role,
        groups: [...principal.groups],
        kind: principal.kind,
        delegated: principal.delegated,
        signedInBy: principal.credential.kind,
        ...(principal.credential.expiresAt !== undefined && {
          expiresAt: new Date(principal.credential.expiresAt).toISOString(),
        }),
        ...(caller.csrf !== undefined && { csrf: caller.csrf }),
        limits: o.limits.usage(principal, {
          turnsRunning: await o.runtime.runningOf(principal),
          sessionsKept: await o.runtime.sessions.count(principal),
        }),
      };
    },
  });

  const logout = route({
    method: 'POST',
    path: '/logout',
    summary: 'Ends the login of this browser',
    responses: { 204: null },
    authorize: byRole('me.read'),
    async handle({ caller, reply }) {
      if (!caller.cookie) throw new HttpProblem('invalid_request', 'there is no cookie session to end');
      const { setCookie } = await o.sessions.logout(caller.cookie);
      reply.header('set-cookie', setCookie).code(204);
    },
  });

  const tickets = route<z.infer<typeof createTicket>>({
    method: 'POST',
    path: '/tickets',
    summary: 'A one-time ticket for a WebSocket: 30 s, one agent, one use',
    body: createTicket,
    budget: 'tickets',
    responses: { 201: ticketView },
    // Which agent is said in the body; what may be asked before it is read is whether the caller may have tickets at all.
    authorize: ({ caller }) => {
      if (caller.principal.delegated) throw new HttpProblem('forbidden', 'a delegated caller gets no tickets');
      return { question: { action: 'list', resource: { kind: 'Server' } }, found: undefined };
    },
    async handle({ caller, body }) {
      const agent = findAgent(o.registry, body.agent);
      const decision = o.policy.decide(caller.principal, 'ticket.create', {
        kind: 'Agent',
        uid: agent?.metadata.uid ?? '',
      });
      if (!agent || decision.effect === 'hide') throw notFound();
      if (decision.effect === 'deny') throw new HttpProblem('forbidden', decision.reason);
      const ticket = await o.tickets.create(caller.principal, agent.metadata.uid, {
        loginSession: caller.loginSession,
        subject: caller.subject,
      });
      return { ticket: ticket.reveal(), expiresInS: 30 };
    },
  });

  const list = route({
    method: 'GET',
    path: '/principals',
    summary: 'Everybody who was ever known here',
    responses: { 200: principalList },
    authorize: byRole('principals.read'),
    handle: async () => ({ items: await users.list() }),
  });

  const create = route<z.infer<typeof createPrincipal>>({
    method: 'POST',
    path: '/principals',
    summary: 'Makes a local user of the embedded issuer',
    body: createPrincipal,
    responses: { 201: principalView },
    authorize: byRole('principals.write'),
    handle: ({ caller, body }) =>
      users.create(
        {
          subject: body.subject,
          role: body.role ?? 'REGULAR',
          ...(body.name !== undefined && { name: body.name }),
          ...(body.email !== undefined && { email: body.email }),
          ...(body.password !== undefined && { password: SecretValue.of(body.password) }),
        },
        caller.principal,
      ),
  });

  const change = route<z.infer<typeof changePrincipal>>({
    method: 'PATCH',
    path: '/principals',
    summary: 'Changes the role of somebody, or disables them',
    body: changePrincipal,
    responses: { 204: null },
    authorize: byRole('principals.write'),
    async handle({ caller, body, reply }) {
      if (body.role !== undefined) await users.setRole(body.issuer, body.subject, body.role, caller.principal);
      if (body.disabled !== undefined) await users.disable(body.issuer, body.subject, body.disabled, caller.principal);
      reply.code(204);
    },
  });

  const loginLink = route<z.infer<typeof createLoginLink>>({
    method: 'POST',
    path: '/login-links',
    summary: 'A one-time login link for a local user: 10 minutes, one use',
    localOnly: true,
    body: createLoginLink,
    responses: { 201: loginLinkView },
    authorize: byRole('system.write'),
    async handle({ caller, body }) {
      const link = await o.loginLinks.create(body.user, caller.principal);
      return { url: link.url.reveal(), user: body.user, expiresAt: new Date(link.expiresAt).toISOString() };
    },
  });

  return [me, logout, tickets, list, create, change, loginLink];
}
