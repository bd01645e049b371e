import type { CallToolResult } from '@modelcontextprotocol/client';
import type { ExchangeTrial, ExchangeView } from '@onbehalf/resources';
import { Breaker, type ForgetFilter, type ForgetOptions } from '@onbehalf/token-exchange';
import { type CatalogueOptions, createCatalogue, type Refresher } from './catalogue.ts';
import { createConnections } from './connections.ts';
import { explainFailure } from './failure.ts';
import { type CallLimits, callLimits } from './limits.ts';
import { type CallScope, callScope, outboundFetch } from './outbound.ts';
import type { ToolCall, ToolResult } from './ports.ts';
import { fieldsIn, resultText } from './result.ts';
import { createTargets, serverName } from './target.ts';
import { createTokenServices, type TokenServicesOptions } from './token-services.ts';
import { type TrialRequest, tryExchange } from './try-exchange.ts';

export type ToolsOptions = Omit<CatalogueOptions, 'tokenServices'> & Omit<TokenServicesOptions, 'onView'>;

export interface Tools {
  /** Sends one call and returns what came back; every failure is a result with `isError`. Throws only when aborted. */
  call(call: ToolCall): Promise<ToolResult>;
  discover(serverUid: string, by?: Refresher): Promise<void>;
  /** One exchange as the caller, without a call. */
  tryExchange(request: TrialRequest): Promise<ExchangeTrial>;
  /**
   * Drops exchanged tokens, and the connections that a session or a server had. Tokens of foreign services are revoked
   * there unless `revoke` is false; those of our own only with a session or a login.
   */
  forget(filter: ForgetFilter & { server?: string }, options?: ForgetOptions): void;
  /** Token exchanges, and client-credential requests, that reached for a token service; tokens ended there. */
  counts(): { exchanges: number; workloads: number; revoked: number; revocationsFailed: number };
  close(): Promise<void>;
}

export function createTools(options: ToolsOptions): Tools {
  const tokenServices = createTokenServices({ ...options, onView: (view) => callScope.getStore()?.onExchange(view) });
  const outbound = { ...options, tokenServices };
  const catalogue = createCatalogue(outbound);
  const connections = createConnections();
  const breakers = new Map<string, Breaker>();
  const targets = createTargets();

  async function call(request: ToolCall): Promise<ToolResult> {
    const started = performance.now();
    const { server } = request;
    const failed = (code: string, message: string, actBy: string): ToolResult => ({
      isError: true,
      output: message,
      code,
      actBy,
      truncated: false,
      ms: Math.round(performance.now() - started),
    });
    if (server.spec.enabled === false)
      return failed('tool_server_disabled', `${server.metadata.name} is switched off`, 'administrator');
    const breaker = breakers.get(server.metadata.uid) ?? new Breaker();
    breakers.set(server.metadata.uid, breaker);
    if (breaker.admit() > 0)
      return failed('tool_unavailable', `${server.metadata.name} keeps failing and is given a rest`, 'toolServer');
    const scope: CallScope = {
      subject: request.subject,
      ...(request.target && { target: targets.ofCall(server, request.target) }),
      sent: [],
      context: {
        session: request.session,
        turn: request.turn,
        step: String(request.step),
        callId: request.callId,
        ...(request.door !== undefined && { door: request.door }),
        ...(request.requestId !== undefined && { requestId: request.requestId }),
        ...(request.traceId !== undefined && { traceId: request.traceId }),
      },
      onExchange: (view) => request.onExchange(named(view, request)),
      limits: callLimits(server.spec, request.timeoutMs),
    };
    for (let repeated = false; ; repeated = true) {
      try {
        const result = await callScope.run(scope, () => send(request, scope.limits));
        breaker.success();
        return {
          isError: result.isError === true,
          ...resultText(result, scope.sent),
          ...(request.resultFields && { fields: fieldsIn(result, request.resultFields, scope.sent) }),
          ...(result.isError === true && { code: 'tool_error' }),
          ...(repeated && { repeated }),
          ms: Math.round(performance.now() - started),
        };
      } catch (error) {
        if (request.signal.aborted) {
          breaker.release();
          throw request.signal.reason;
        }
        const failure = explainFailure(error, server, 'call', scope.sent);
        // What failed before the server was asked says nothing about it.
        if (failure.server) breaker.failure();
        else if (failure.reached) breaker.success();
        else breaker.release();
        if (request.idempotent && failure.code === 'tool_unreachable' && !repeated && breaker.admit() === 0) continue;
        const { claimsChallenge } = failure;
        return {
          ...failed(failure.code, failure.message, failure.actBy),
          ...(claimsChallenge !== undefined && { claimsChallenge }),
          ...(failure.unknown && { unknown: true }),
          ...(repeated && { repeated }),
        };
      }
    }
  }

  function send(request: ToolCall, { totalMs }: CallLimits): Promise<CallToolResult> {
    const { server, target } = request;
    const key = {
      session: request.session,
      server,
      rest: JSON.stringify([
        server.spec.auth?.mode,
        request.agent.uid,
        target?.audience,
        target?.resource,
        request.subject?.principal,
      ]),
      prior: catalogue.prior(server.metadata.uid),
    };
    const fetch = () =>
      outboundFetch(outbound, server, target && targets.ofConnection(server, target), {
        kind: 'turn',
        agent: request.agent,
        session: request.session,
        subject: request.subject,
      });
    return connections.with(key, fetch, (client) =>
      client.callTool(
        { name: request.tool, arguments: request.arguments },
        {
          signal: request.signal,
          timeout: totalMs,
          maxTotalTimeout: totalMs,
          toolDefinition: { name: request.tool, inputSchema: { ...request.inputSchema, type: 'object' } },
        },
      ),
    ) as Promise<CallToolResult>;
  }

  return {
    call,
    discover: catalogue.discover,
    tryExchange: (request) => tryExchange(tokenServices, options.platform, request),
    forget({ server, ...filter }, how = {}) {
      tokenServices.forget(filter, how);
      if (filter.session !== undefined) connections.end({ session: filter.session });
      if (server !== undefined) connections.end({ server });
    },
    counts() {
      const stats = tokenServices.all().map((exchange) => exchange.stats);
      const sum = (name: 'exchanges' | 'workloads' | 'revoked' | 'revocationsFailed') =>
        stats.reduce((total, one) => total + one[name], 0);
      return {
        exchanges: sum('exchanges'),
        workloads: sum('workloads'),
        revoked: sum('revoked'),
        revocationsFailed: sum('revocationsFailed'),
      };
    },
    async close() {
      tokenServices.close();
      await catalogue.close();
      await connections.close();
    },
  };
}

const named = (view: ExchangeView, request: ToolCall): ExchangeView => ({
  ...view,
  server: serverName(request.server),
  serverUid: request.server.metadata.uid,
  tool: request.tool,
});
