import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Audit } from '../audit/index.ts';
import { jsonTooLarge, type Limits, personKey } from '../limits/index.ts';
import { LOCAL_ADMIN } from '../people/index.ts';
import type { Caller } from './caller.ts';
import { createNodeServer, type NodeServerPorts } from './node-server.ts';
import { namingWhat } from './not-found.ts';
import { openApi } from './openapi.ts';
import { HttpProblem, NOT_FOUND, problemBody, toProblem } from './problems.ts';
import type { Readiness } from './readiness.ts';
import { createRefusalLog } from './refusals.ts';
import { byRole, type Route, route } from './route.ts';
import { securityHeaders } from './security-headers.ts';
import { attachWebSocket, type WebSocketPorts } from './websocket.ts';

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | undefined;
    found: unknown;
    checkedQuery: unknown;
  }
}

const BODY_LIMIT = 1_310_720;
const OPEN = new Set(['/healthz', '/readyz', '/api/healthcheck']);
/** Without a body. */
const SAFE = new Set(['GET', 'HEAD']);

export interface AppPorts extends NodeServerPorts, WebSocketPorts {
  publicUrl: string;
  version: string;
  routes: readonly Route[];
  limits: Limits;
  readiness: Readiness;
  audit: Pick<Audit, 'append'>;
  log: Logger;
}

export interface Listener {
  app: FastifyInstance;
  /** Tells every socket to come back later, and closes them. */
  closeSockets(): void;
}

/** One application for one listener: the TCP port, or the administration socket, whose callers are `local-admin`. */
export async function createApp(ports: AppPorts, kind: 'tcp' | 'local'): Promise<Listener> {
  const refusals = createRefusalLog(ports);
  const addressOf = ({ raw }: { raw: IncomingMessage }) => (kind === 'local' ? 'local' : ports.limits.address(raw));
  let api: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  const server = await createNodeServer(ports, kind, (request, response) => api?.(request, response));
  const app = Fastify({
    bodyLimit: BODY_LIMIT,
    genReqId: () => randomUUID(),
    logger: false,
    // Browsers keep connections open that have never asked for anything.
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 256 },
    frameworkErrors: (_error, request, reply) => {
      const known = request.headers.authorization !== undefined;
      return sendProblem(
        reply as unknown as FastifyReply,
        new HttpProblem(known ? 'invalid_request' : 'unauthenticated', 'the address is malformed'),
      );
    },
    serverFactory: (handler) => {
      api = handler;
      return server;
    },
  });

  const routeOf = ({ routeOptions }: FastifyRequest) => (routeOptions.config as { route?: Route }).route;
  async function admit(request: FastifyRequest): Promise<void> {
    request.caller =
      kind === 'local'
        ? { principal: LOCAL_ADMIN, subject: undefined, address: 'local' }
        : await ports.authenticator.caller(request.raw, false);
    await authorize(ports, request, routeOf(request), kind);
  }

  app.addHook('onClose', () => refusals.close());
  const headers = securityHeaders(ports.publicUrl, 'api');
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(headers).header('x-request-id', request.id);
    if (OPEN.has(request.url.split('?')[0] ?? '')) return;
    try {
      await admit(request);
      const { budget } = routeOf(request) ?? {};
      if (budget !== undefined && kind !== 'local')
        ports.limits.take(budget, personKey((request.caller as Caller).principal));
    } catch (error) {
      const problem = namingWhat(toProblem(error), request);
      refusals.note(request, problem, error, addressOf(request));
      return sendProblem(reply, problem);
    }
  });
  // A body may come long after its head: who was let in by that may have lost it meanwhile.
  app.addHook('preHandler', async (request) => {
    if (kind !== 'local' && !SAFE.has(request.method) && routeOf(request) !== undefined) await admit(request);
  });
  app.setErrorHandler((error, request, reply) => {
    const problem = namingWhat(toProblem(error), request);
    refusals.note(request, problem, error, addressOf(request));
    if (problem.code === 'internal')
      ports.log.error({ err: redactedError(error), requestId: request.id }, 'request failed');
    return sendProblem(reply, problem);
  });
  app.setNotFoundHandler((_request, reply) =>
    sendProblem(reply, new HttpProblem('not_found', 'there is no such address')),
  );
  app.removeContentTypeParser(['text/plain', 'application/json']);
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (body.length === 0) return done(null, undefined);
    if (!isUtf8(body)) return done(new HttpProblem('invalid_request', 'the body is not UTF-8'), undefined);
    const problem = jsonTooLarge(body);
    if (problem !== undefined) return done(new HttpProblem('invalid_request', `the body ${problem}`), undefined);
    return parseJson(request, body.toString('utf8'), done);
  });

  // A route without a question for the policy is a mistake that must not start.
  app.addHook('onRoute', ({ url, config }) => {
    if (!OPEN.has(url) && (config as { route?: Route } | undefined)?.route === undefined)
      throw new Error(`${url} has no policy`);
  });

  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const problem = await ports.readiness.problem();
    if (problem === undefined) return { status: 'ok' };
    return reply.code(503).header('retry-after', '5').send({ status: 'not ready', reason: problem });
  });
  app.get('/api/healthcheck', async () => ({ status: 'ok', timestamp: new Date(ports.now()).toISOString() }));
  // Sixty schemas: made when somebody asks.
  let document: ReturnType<typeof openApi> | undefined;
  const described = route({
    method: 'GET',
    path: '/openapi.json',
    summary: 'This API, as OpenAPI 3.1',
    responses: { 200: z.looseObject({ openapi: z.string() }) },
    authorize: byRole('me.read'),
    handle: async () => {
      document ??= openApi(ports.version, ports.routes);
      return document;
    },
  });
  for (const definition of [described, ...ports.routes]) {
    if (definition.localOnly && kind !== 'local') continue;
    app.route({
      method: definition.method,
      url: `/api${definition.path}`,
      config: { route: definition },
      ...(definition.bodyLimit !== undefined && { bodyLimit: definition.bodyLimit }),
      handler: (request, reply) => answer(definition, request, reply),
    });
  }
  const sockets = kind === 'tcp' ? attachWebSocket(ports, server, refusals) : undefined;
  await app.ready();
  return { app, closeSockets: () => sockets?.close() };
}

async function authorize(
  { policy }: Pick<AppPorts, 'policy'>,
  request: FastifyRequest,
  definition: Route | undefined,
  kind: 'tcp' | 'local',
) {
  const { caller } = request;
  if (!caller) throw new HttpProblem('unauthenticated', 'sign in');
  // Before any look-up: who is inactive learns nothing.
  const active = policy.decide(caller.principal, 'me.read', { kind: 'Server' });
  if (caller.principal.role === 'INACTIVE' || active.rule === 'inactive')
    throw new HttpProblem('forbidden', active.reason);
  if (!definition) return;
  if (definition.localOnly && kind !== 'local') throw new HttpProblem('not_found', 'there is no such address');
  const query = definition.query ? definition.query.parse(request.query) : {};
  request.checkedQuery = query;
  const { question, found } = await definition.authorize({
    caller,
    params: request.params as Record<string, string>,
    query: query as never,
    requestId: request.id,
    raw: request,
  });
  const decision = policy.decide(caller.principal, question.action, question.resource, question.context);
  if (decision.effect === 'hide') throw new HttpProblem('not_found', NOT_FOUND);
  if (decision.effect === 'deny') throw new HttpProblem('forbidden', decision.reason);
  request.found = found;
}

async function answer(definition: Route, request: FastifyRequest, reply: FastifyReply) {
  const { caller } = request;
  if (!caller) throw new HttpProblem('unauthenticated', 'sign in');
  const body = definition.body ? definition.body.parse(request.body ?? {}) : undefined;
  const result = await definition.handle({
    caller,
    params: request.params as Record<string, string>,
    query: request.checkedQuery,
    body,
    found: request.found,
    requestId: request.id,
    raw: request,
    reply,
  });
  if (reply.sent || reply.raw.headersSent) return reply;
  const [status] = Object.keys(definition.responses);
  if (reply.statusCode === 200 && status !== undefined) reply.code(Number(status));
  return reply.send(result);
}

export function sendProblem(reply: FastifyReply, problem: HttpProblem): FastifyReply {
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer realm="onbehalf"');
  return reply
    .code(problem.status)
    .headers(problem.headers)
    .type('application/problem+json')
    .send(Buffer.from(JSON.stringify(problemBody(problem))));
}

/** Only what helps to find the line; messages of libraries may hold what was sent. */
function redactedError(error: unknown) {
  return error instanceof Error
    ? { name: error.name, stack: error.stack?.split('\n').slice(1, 6).join('\n') }
    : { name: typeof error };
}
