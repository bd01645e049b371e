import type { Action } from '@onbehalf/access';
import {
  createSession,
  eventPage,
  identityOf,
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
import type { Audit } from '../../audit/index.ts';
import type { Limits } from '../../limits/index.ts';
import { refOf } from '../../people/index.ts';
import { authorizeFor } from '../../policy/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import type { Registry, Stored } from '../../store/index.ts';
import type { Tools } from '../../tools/index.ts';
import type { Authenticator } from '../authenticate.ts';
import { type StreamPorts, streamEvents } from '../event-stream.ts';
import { findAgent } from '../find-resource.ts';
import { openSession } from '../open-session.ts';
import { HttpProblem } from '../problems.ts';
import { byRole, notFound, type Route, route } from '../route.ts';
import { type TurnInputPorts, turnInput } from '../turn-input.ts';

const MAX_MESSAGE = 1_048_576;
const PREFIX = '/agents/:agent/sessions';

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

export interface SessionPorts extends StreamPorts, TurnInputPorts {
  limits: Limits;
  runtime: Runtime;
  registry: Registry;
  audit: Pick<Audit, 'append'>;
  tools: Pick<Tools, 'forget'>;
  authenticator: Pick<Authenticator, 'bearer'>;
}

export function sessionRoutes(o: SessionPorts): readonly Route[] {
  const { runtime, registry, policy } = o;

  /** The agent that a session belongs to, by its uid: one made again under the name is another. */
  function agentOf(uid: string): Stored<'Agent'> | undefined {
    const found = registry.byUid(uid);
    return found?.kind === 'Agent' ? found : undefined;
  }

  function agentFor(verb: Action) {
    return ({ params }: { params: Record<string, string> }) => {
      const agent = findAgent(registry, params.agent ?? '');
      if (!agent) throw notFound();
      return { question: { action: verb, resource: { kind: 'Agent', uid: agent.metadata.uid } }, found: agent };
    };
  }

  /** The session that the address names, of the agent that it names. Another person's is hidden. */
  function sessionFor(action: Action) {
    return async ({ params, query }: { params: Record<string, string>; query: unknown }) => {
      const session = await runtime.sessions.get(params.session ?? '');
      const agent = findAgent(registry, params.agent ?? '');
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
    await o.audit.append({
      ...line,
      principal: reader,
      reason: `read somebody else's conversation: ${reason ?? ''}`,
    });
    // The owner reads their own entries only, so they get one of their own.
    await o.audit.append({
      ...line,
      principal: session.owner,
      reason: 'your conversation was read by an administrator',
      data: { by: reader, because: reason ?? null },
    });
    await runtime.note(session.id, 'read_by_administrator', `an administrator read this conversation: ${reason ?? ''}`);
  }

  return [
    route({
      method: 'GET',
      path: '/sessions',
      summary: "The caller's sessions, newest first",
      responses: { 200: sessionList },
      authorize: byRole('session.list'),
      handle: async ({ caller }) => ({
        items: await runtime.sessions.list({ owner: refOf(caller.principal) }),
      }),
    }),
    route<undefined, Record<string, never>, Stored<'Agent'>>({
      method: 'GET',
      path: PREFIX,
      summary: "The caller's sessions with this agent",
      responses: { 200: sessionList },
      authorize: agentFor('read'),
      handle: async ({ caller, found }) => ({
        items: await runtime.sessions.list({ owner: refOf(caller.principal), agentUid: found.metadata.uid }),
      }),
    }),
    route<z.infer<typeof createSession>, Record<string, never>, Stored<'Agent'>>({
      method: 'POST',
      path: PREFIX,
      summary: 'Opens a session with this agent',
      body: createSession,
      responses: { 201: sessionView },
      authorize: agentFor('run'),
      handle: ({ caller, body, found }) =>
        openSession(o, caller.principal, {
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
      async handle({ caller, found, query, requestId }) {
        await noteForeignReader(caller, found, query.reason, requestId);
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
      async handle({ body, found }) {
        await runtime.sessions.rename(found.id, body.title ?? '');
        return runtime.sessions.get(found.id);
      },
    }),
    route<undefined, Record<string, never>, SessionView>({
      method: 'DELETE',
      path: `${PREFIX}/:session`,
      summary: 'Deletes a session; a running turn is stopped first',
      responses: { 204: null },
      authorize: sessionFor('session.delete'),
      async handle({ found, reply }) {
        const turn = await runtime.stop(found.id);
        if (turn !== undefined) await runtime.ended(turn);
        await runtime.sessions.remove(found.id);
        o.tools.forget({ session: found.id });
        reply.code(204);
      },
    }),
    route<z.infer<typeof postMessage>, z.infer<typeof messageQuery>, SessionView>({
      method: 'POST',
      path: `${PREFIX}/:session/messages`,
      summary:
        'Says something; JSON when the turn has ended or waits for the person, or its events as they come (Accept: text/event-stream)',
      budget: 'turnsStarted',
      body: content,
      query: messageQuery,
      responses: { 200: turnResult },
      authorize: sessionFor('session.post'),
      async handle({ caller, body, found, query, requestId, raw, reply }) {
        if (query.queue === 'true') throw new HttpProblem('turn_running', 'messages cannot be queued in this version');
        const agent = agentOf(found.agent.uid);
        const allowed = agent && policy.decide(caller.principal, 'run', { kind: 'Agent', uid: agent.metadata.uid });
        if (!agent || allowed?.effect === 'hide') throw notFound();
        if (allowed?.effect === 'deny')
          throw new HttpProblem(allowed.rule === 'disabled' ? 'agent_disabled' : 'forbidden', allowed.reason);
        const key = raw.headers['idempotency-key'];
        // Cut short, two keys could be one.
        if (typeof key === 'string' && key.length > 255)
          throw new HttpProblem('invalid_request', 'Idempotency-Key is longer than 255 characters');
        const input = turnInput(o, caller, found.id, body, {
          door: 'api',
          requestId,
          idempotencyKey: typeof key === 'string' && key !== '' ? key : undefined,
          traceparent: raw.headers.traceparent,
        });
        const turn = await runtime.start(input, agent);
        if (!/\btext\/event-stream\b/.test(raw.headers.accept ?? '')) return runtime.finished(found.id, turn);
        const session = await runtime.sessions.get(found.id);
        const ends = (event: SessionEvent) => event.turn === turn && event.type === 'turn.ended';
        return streamEvents(o, reply, session, (await runtime.firstSeq(turn)) - 1, caller, {
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
      async handle({ caller, found, query, raw, reply, requestId }) {
        await noteForeignReader(caller, found, query.reason, requestId);
        const last = raw.headers['last-event-id'];
        const after = typeof last === 'string' && /^\d{1,15}$/.test(last) ? Number(last) : (query.after ?? 0);
        if (/\btext\/event-stream\b/.test(raw.headers.accept ?? ''))
          return streamEvents(o, reply, found, after, caller, { reason: query.reason });
        return { events: await runtime.events(found, after, query.limit), lastSeq: found.lastSeq };
      },
    }),
    route<undefined, Record<string, never>, SessionView>({
      method: 'POST',
      path: `${PREFIX}/:session/stop`,
      summary: 'Stops what runs in a session; idempotent',
      responses: { 200: stopResult },
      authorize: sessionFor('session.stop'),
      async handle({ found }) {
        const turn = await runtime.stop(found.id);
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
      async handle({ caller, body, found, params, reply }) {
        const { principal, subject } = await o.authenticator.bearer(SecretValue.of(body.token));
        if (principal.issuer !== caller.principal.issuer || principal.subject !== caller.principal.subject)
          throw new HttpProblem('forbidden', 'the token is of somebody else');
        const waits = found.turn?.id === params.turn && found.turn?.state === 'awaiting_auth';
        const next = subject && { subject, authorize: authorizeFor(policy, principal, o.now) };
        if (!waits || !next || !runtime.offer(next, { session: found.id }))
          throw new HttpProblem('turn_not_waiting', 'this turn has ended, or goes on already');
        reply.code(204);
      },
    }),
    route<undefined, Record<string, never>, SessionView>({
      method: 'POST',
      path: `${PREFIX}/:session/clear`,
      summary: 'Begins the conversation anew; the log stays',
      budget: 'sessionsMade',
      responses: { 200: sessionView },
      authorize: sessionFor('session.update'),
      async handle({ found }) {
        await runtime.clear(found.id);
        return runtime.sessions.get(found.id);
      },
    }),
  ];
}
