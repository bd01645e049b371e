import type {
  ApplyRequest,
  ApplyResult,
  AuditVerification,
  CanIResult,
  ExchangeList,
  ExchangeTrial,
  Explanation,
  loginLinkView,
  MeView,
  ModelList,
  PrincipalView,
  ticketView,
  WitnessAcceptance,
} from '@onbehalf/resources';
import { addressText } from './address.ts';
import { type Conversations, conversations } from './conversations.ts';
import { createOpenSession, type OpenSession, type OpenSessionOptions } from './session.ts';
import { socketUrl, type WebSocketConstructor } from './socket.ts';
import { createTransport, type TransportOptions } from './transport.ts';
import type * as T from './types.ts';

export interface ClientOptions extends TransportOptions {
  /** Where the runtime has none of its own (Node 20), or another is wanted. */
  webSocket?: WebSocketConstructor | undefined;
  /** 0 ≤ n < 1, for the jitter of reconnecting. */
  random?: (() => number) | undefined;
}

export interface Client extends Conversations {
  health(call?: T.Call): Promise<T.Health>;
  me(call?: T.Call): Promise<MeView>;
  /** Ends the browser's login. */
  logout(): Promise<void>;

  /** All or nothing: every mistake of every document is in the error. */
  apply(request: ApplyRequest): Promise<ApplyResult>;
  list<P extends T.Plural>(
    plural: P,
    options?: { namespace?: string | undefined } & T.Call,
  ): Promise<T.ResourceList<T.ResourceAt<P>>>;
  get<P extends T.Plural>(plural: P, address: T.Address, call?: T.Call): Promise<T.ResourceAt<P>>;
  create<P extends T.Plural>(plural: P, document: T.InputAt<P>): Promise<T.ResourceAt<P>>;
  /** `metadata.resourceVersion`, if it is there, must be the current one. */
  replace<P extends T.Plural>(plural: P, address: T.Address, document: T.InputAt<P>): Promise<T.ResourceAt<P>>;
  /** A JSON merge patch (RFC 7396): null removes. */
  patch<P extends T.Plural>(plural: P, address: T.Address, patch: object): Promise<T.ResourceAt<P>>;
  remove(plural: T.Plural, address: T.Address): Promise<void>;

  models(call?: T.Call): Promise<ModelList['data']>;
  explain(agent: T.Address, call?: T.Call): Promise<Explanation>;
  /** Binds a Grant to what has the name of its target by now. */
  confirmGrant(grant: T.Address): Promise<T.ResourceAt<'grants'>>;
  /** Each by the name and hash that were seen; 409 `tool_changed` where one is another by now. */
  approveTools(
    server: T.Address,
    tools: readonly { name: string; hash: string }[],
  ): Promise<T.ResourceAt<'mcp-servers'>>;
  /** Lists the tools of a server again, now. */
  discoverTools(server: T.Address): Promise<T.ResourceAt<'mcp-servers'>>;
  /** One exchange as oneself, through one of one's agents; the token is thrown away. */
  testExchange(server: T.Address, options?: { agent?: string | undefined } & T.Call): Promise<ExchangeTrial>;
  setSecretValues(secret: T.Address, data: Record<string, string>): Promise<T.ResourceAt<'secrets'>>;

  principals(call?: T.Call): Promise<PrincipalView[]>;
  createPrincipal(principal: T.NewPrincipal): Promise<PrincipalView>;
  changePrincipal(change: T.PrincipalChange): Promise<void>;
  /** Over the administration socket only. */
  createLoginLink(user: string): Promise<(typeof loginLinkView)['_output']>;

  /** Newest first: one's own, or all for AUDITOR and ADMIN. */
  exchanges(filter?: T.ExchangeFilter, call?: T.Call): Promise<ExchangeList>;
  audit(filter?: T.AuditFilter, call?: T.Call): Promise<T.AuditList['items']>;
  auditTrace(turn: string, call?: T.Call): Promise<T.AuditList['items']>;
  verifyAudit(call?: T.Call): Promise<AuditVerification>;
  /** After a restore: what the audit witness has beyond the store counts no more. ADMIN. */
  acceptWitness(reason: string): Promise<WitnessAcceptance>;
  canI(query: T.CanIQuery, call?: T.Call): Promise<CanIResult>;

  /** A conversation over a WebSocket that reconnects by itself. Begins at once; listen before you await anything. */
  openSession(options: OpenSessionOptions): OpenSession;
}

export function createClient(options: ClientOptions): Client {
  const transport = createTransport(options);
  const { json } = transport;
  const talk = conversations(transport, (ms) => new Promise((resolve) => setTimeout(resolve, ms)));
  const cookie = options.csrf === 'cookie';
  const ticketFor = async (agent: string) =>
    (await json<(typeof ticketView)['_output']>('POST', '/tickets', { body: { agent } })).ticket;
  const at = (plural: T.Plural, address: T.Address) => `/${plural}/${addressText(address)}`;

  return {
    ...talk,
    health: (call) => json('GET', '/healthcheck', call),
    me: (call) => json('GET', '/me', call),
    logout: () => json('POST', '/logout'),

    apply: (request) => json('POST', '/apply', { body: request }),
    list: (plural, { namespace, signal } = {}) => json('GET', `/${plural}`, { query: { namespace }, signal }),
    get: (plural, address, call) => json('GET', at(plural, address), call),
    create: (plural, document) => json('POST', `/${plural}`, { body: document }),
    replace: (plural, address, document) => json('PUT', at(plural, address), { body: document }),
    patch: (plural, address, patch) => json('PATCH', at(plural, address), { body: patch }),
    remove: (plural, address) => json('DELETE', at(plural, address)),

    models: async (call) => (await json<ModelList>('GET', '/agents/models', call)).data,
    explain: (agent, call) => json('GET', `${at('agents', agent)}/explain`, call),
    confirmGrant: (grant) => json('POST', `${at('grants', grant)}/actions/confirm`),
    approveTools: (server, tools) =>
      json('POST', `${at('mcp-servers', server)}/actions/approve-tools`, { body: { tools } }),
    discoverTools: (server) => json('POST', `${at('mcp-servers', server)}/actions/test`),
    testExchange: (server, { agent, ...call } = {}) =>
      json('POST', `${at('mcp-servers', server)}/actions/test-exchange`, { query: { agent }, ...call }),
    setSecretValues: (secret, data) => json('PUT', `${at('secrets', secret)}/values`, { body: { data } }),

    principals: async (call) => (await json<T.Principals>('GET', '/principals', call)).items,
    createPrincipal: (principal) => json('POST', '/principals', { body: principal }),
    changePrincipal: (change) => json('PATCH', '/principals', { body: change }),
    createLoginLink: (user) => json('POST', '/login-links', { body: { user } }),

    exchanges: (filter, call) => json('GET', '/exchanges', { query: { ...filter }, ...call }),
    audit: async (filter, call) => (await json<T.AuditList>('GET', '/audit', { query: { ...filter }, ...call })).items,
    auditTrace: async (turn, call) =>
      (await json<T.AuditList>('GET', `/audit/trace/${encodeURIComponent(turn)}`, call)).items,
    verifyAudit: (call) => json('GET', '/audit/verify', call),
    acceptWitness: (reason) => json('POST', '/audit/witness/accept', { body: { reason } }),
    canI: (query, call) => json('GET', '/access/can-i', { query: { ...query }, ...call }),

    openSession: (opening) =>
      createOpenSession(
        {
          create: talk.createSession,
          async read(agent, session) {
            // Says whether one may run the agent, which the session's own page does not.
            if (cookie) await ticketFor(agent);
            return talk.session(agent, session);
          },
          async address(agent, session, after) {
            // Beside the cookie that a browser sends along, a ticket would be a second credential, and refused.
            const credential = cookie ? {} : { ticket: await ticketFor(agent) };
            const query = { session, protocol: '2', after: String(after), ...credential };
            return socketUrl(options.baseUrl, `/api/agents/${addressText(agent)}/react`, query);
          },
          post: talk.postMessage,
          stop: talk.stopSession,
          token: options.token,
          webSocket: options.webSocket,
          random: options.random ?? Math.random,
        },
        opening,
      ),
  };
}
