import type { Action } from '@onbehalf/access';
import {
  createSession,
  eventPage,
  postMessage,
  type SessionEvent,
  type SessionView,
  sessionList,
  sessionView,
  stopResult,
  turnResult,
  turnToken,
} from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import { z } from 'zod';
import { identityOf } from '../../runtime/index.ts';
import type { Stored } from '../../store/index.ts';
import { callerOfBearer, findAgent } from '../authenticate.ts';
import { streamEvents } from '../event-stream.ts';
import { HttpProblem } from '../problems.ts';
import { byRole, notFound, type Route, route } from '../route.ts';
import { refOf, type Services } from '../services.ts';
import { agentOf, authorizeFor, turnInput } from '../turn-input.ts';

const MAX_MESSAGE = 1_048_576;
const PREFIX = '/agents/:agent/sessions';

function agentFor(verb: Action) {
  return ({ services, params }: { services: Services; params: Record<string, string> }) => {
    const agent = findAgent(services, params.agent ?? '');
    if (!agent) throw notFound();
    return { question: { action: verb, resource: { kind: 'Agent', uid: agent.metadata.uid } }, found: agent };
  };
}

/** The session that the address names, of the agent that it names. Another person's is hidden. */
function sessionFor(action: Action) {
  return async ({
    services,
    params,
    query,
  }: {
    services: Services;
    params: Record<string, string>;
    query: unknown;
  }) => {
    const session = await services.runtime.sessions.get(params.session ?? '');
    const agent = findAgent(services, params.agent ?? '');
    if (agent?.metadata.uid !== session.agent.uid) throw notFound();
    const reason = (query as { reason?: string } | undefined)?.reason;
    return {
      question: {
        action,
        resource: { kind: 'Session', owner: session.owner },
        ...(reason !== undefined && { context: { reason } }),
      },
      found: session,
    };
  };
}

/** ADMIN reads somebody's conversation with a reason only. The owner and the audit are told. */
async function noteForeignReader(
  services: Services,
  caller: { principal: { issuer: string; subject: string } },
  session: SessionView,
  reason: string | undefined,
  requestId: string,
) {
  if (caller.principal.issuer === session.owner.issuer && caller.principal.subject === session.owner.subject) return;
  const reader = refOf(caller.principal);
  const line = {
    type: 'decision',
    phase: 'single',
    requestId,
    session: session.id,
    decision: 'allow',
    rule: 'admin',
  } as const;
  await services.audit.append({
    ...line,
    principal: reader,
    reason: `read somebody else's conversation: ${reason ?? ''}`,
  });
  // The owner reads their own entries only, so they get one of their own.
  await services.audit.append({
    ...line,
    principal: session.owner,
    reason: 'your conversation was read by an administrator',
    data: { by: reader, because: reason ?? null },
  });
  await services.runtime.note(
    session.id,
    'read_by_administrator',
    `an administrator read this conversation: ${reason ?? ''}`,
  );
}

const eventQuery = z.strictObject({
  after: z.coerce.number().int().nonnegative().exactOptional(),
  limit: z.coerce.number().int().min(1).max(500).exactOptional(),
  reason: z.string().max(500).exactOptional(),
});
const messageQuery = z.strictObject({ queue: z.enum(['true', 'false']).exactOptional() });
const reasonQuery = z.strictObject({ reason: z.string().max(500).exactOptional() });

const content = postMessage.superRefine(({ content: text }, context) => {
  if (Buffer.byteLength(text) > MAX_MESSAGE)
    context.addIssue({ code: 'custom', path: ['content'], message: 'is larger than 1 MiB' });
  if (text.includes('\0') || !text.isWellFormed())
    context.addIssue({ code: 'custom', path: ['content'], message: 'must be well-formed text without NUL' });
});

export const sessionRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/sessions',
    summary: "The caller's sessions, newest first",
    responses: { 200: sessionList },
    authorize: byRole('list'),
    handle: async ({ services, caller }) => ({
      items: await services.runtime.sessions.list({ owner: refOf(caller.principal) }),
    }),
  }),
  route<undefined, Record<string, never>, Stored<'Agent'>>({
    method: 'GET',
    path: PREFIX,
    summary: "The caller's sessions with this agent",
    responses: { 200: sessionList },
    authorize: agentFor('read'),
    handle: async ({ services, caller, found }) => ({
      items: await services.runtime.sessions.list({ owner: refOf(caller.principal), agentUid: found.metadata.uid }),
    }),
  }),
  route<z.infer<typeof createSession>, Record<string, never>, Stored<'Agent'>>({
    method: 'POST',
    path: PREFIX,
    summary: 'Opens a session with this agent',
    body: createSession,
    responses: { 201: sessionView },
    authorize: agentFor('run'),
    handle: ({ services, caller, body, found }) =>
      services.runtime.sessions.create({
        agent: identityOf(found),
        owner: refOf(caller.principal),
        door: 'api',
        ...(body.title !== undefined && { title: body.title }),
      }),
  }),
  route<undefined, z.infer<typeof reasonQuery>, SessionView>({
    method: 'GET',
    path: `${PREFIX}/:session`,
    summary: 'One session',
    query: reasonQuery,
    responses: { 200: sessionView },
    authorize: sessionFor('session.read'),
    async handle({ services, caller, found, query, requestId }) {
      await noteForeignReader(services, caller, found, query.reason, requestId);
      return found;
    },
  }),
  route<z.infer<typeof createSession>, Record<string, never>, SessionView>({
    method: 'PATCH',
    path: `${PREFIX}/:session`,
    summary: 'Renames a session',
    body: createSession,
    responses: { 200: sessionView },
    authorize: sessionFor('session.update'),
    async handle({ services, body, found }) {
      await services.runtime.sessions.rename(found.id, body.title ?? '');
      return services.runtime.sessions.get(found.id);
    },
  }),
  route<undefined, Record<string, never>, SessionView>({
    method: 'DELETE',
    path: `${PREFIX}/:session`,
    summary: 'Deletes a session; a running turn is stopped first',
    responses: { 204: null },
    authorize: sessionFor('session.delete'),
    async handle({ services, found, reply }) {
      const turn = await services.runtime.stop(found.id);
      if (turn !== undefined) await services.runtime.ended(turn);
      await services.runtime.sessions.remove(found.id);
      services.tools.forget({ session: found.id });
      reply.code(204);
    },
  }),
  route<z.infer<typeof postMessage>, z.infer<typeof messageQuery>, SessionView>({
    method: 'POST',
    path: `${PREFIX}/:session/messages`,
    summary:
      'Says something; JSON when the turn has ended or waits for the person, or its events as they come (Accept: text/event-stream)',
    body: content,
    query: messageQuery,
    responses: { 200: turnResult },
    authorize: sessionFor('session.post'),
    async handle({ services, caller, body, found, query, requestId, raw, reply }) {
      if (query.queue === 'true') throw new HttpProblem('turn_running', 'messages cannot be queued in this version');
      const agent = agentOf(services, found.agent.uid);
      const allowed =
        agent && services.policy.decide(caller.principal, 'run', { kind: 'Agent', uid: agent.metadata.uid });
      if (!agent || allowed?.effect === 'hide') throw notFound();
      if (allowed?.effect === 'deny')
        throw new HttpProblem(allowed.rule === 'disabled' ? 'agent_disabled' : 'forbidden', allowed.reason);
      const key = raw.headers['idempotency-key'];
      // Cut short, two keys could be one.
      if (typeof key === 'string' && key.length > 255)
        throw new HttpProblem('invalid_request', 'Idempotency-Key is longer than 255 characters');
      const input = turnInput(services, caller, found.id, body, {
        door: 'api',
        requestId,
        idempotencyKey: typeof key === 'string' && key !== '' ? key : undefined,
      });
      const turn = await services.runtime.start(input, agent);
      if (!/\btext\/event-stream\b/.test(raw.headers.accept ?? '')) return services.runtime.finished(found.id, turn);
      const session = await services.runtime.sessions.get(found.id);
      const ends = (event: SessionEvent) => event.turn === turn && event.type === 'turn.ended';
      return streamEvents(services, reply, session, (await services.runtime.firstSeq(turn)) - 1, caller, {
        ends,
        onlyTurn: turn,
      });
    },
  }),
  route<undefined, z.infer<typeof eventQuery>, SessionView>({
    method: 'GET',
    path: `${PREFIX}/:session/events`,
    summary: 'The log of a session; as a stream with Accept: text/event-stream and Last-Event-ID',
    query: eventQuery,
    responses: { 200: eventPage },
    authorize: sessionFor('session.read'),
    async handle({ services, caller, found, query, raw, reply, requestId }) {
      await noteForeignReader(services, caller, found, query.reason, requestId);
      const last = raw.headers['last-event-id'];
      const after = typeof last === 'string' && /^\d{1,15}$/.test(last) ? Number(last) : (query.after ?? 0);
      if (/\btext\/event-stream\b/.test(raw.headers.accept ?? ''))
        return streamEvents(services, reply, found, after, caller);
      return { events: await services.runtime.events(found, after, query.limit), lastSeq: found.lastSeq };
    },
  }),
  route<undefined, Record<string, never>, SessionView>({
    method: 'POST',
    path: `${PREFIX}/:session/stop`,
    summary: 'Stops what runs in a session; idempotent',
    responses: { 200: stopResult },
    authorize: sessionFor('session.stop'),
    async handle({ services, found }) {
      const turn = await services.runtime.stop(found.id);
      return turn === undefined ? { stopped: false } : { stopped: true, turn };
    },
  }),
  route<z.infer<typeof turnToken>, Record<string, never>, SessionView>({
    method: 'POST',
    path: `${PREFIX}/:session/turns/:turn/token`,
    summary: 'Another token of the owner, for a turn that waits for one (awaiting_auth): the turn goes on',
    body: turnToken,
    responses: { 204: null },
    authorize: sessionFor('session.post'),
    async handle({ services, caller, body, found, params, reply }) {
      const { principal, subject } = await callerOfBearer(services, SecretValue.of(body.token));
      if (principal.issuer !== caller.principal.issuer || principal.subject !== caller.principal.subject)
        throw new HttpProblem('forbidden', 'the token is of somebody else');
      const waits = found.turn?.id === params.turn && found.turn?.state === 'awaiting_auth';
      const next = subject && { subject, authorize: authorizeFor(services, principal) };
      if (!waits || !next || !services.runtime.offer(next, { session: found.id }))
        throw new HttpProblem('turn_not_waiting', 'this turn has ended, or goes on already');
      reply.code(204);
    },
  }),
  route<undefined, Record<string, never>, SessionView>({
    method: 'POST',
    path: `${PREFIX}/:session/clear`,
    summary: 'Begins the conversation anew; the log stays',
    responses: { 200: sessionView },
    authorize: sessionFor('session.update'),
    async handle({ services, found }) {
      await services.runtime.clear(found.id);
      return services.runtime.sessions.get(found.id);
    },
  }),
];
