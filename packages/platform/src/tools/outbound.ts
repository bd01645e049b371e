import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import { type AgentIdentity, type ExchangeView, qualifiedName, tokenServiceNameOf } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import {
  createIdentityFetch,
  isWithin,
  type SubjectSource,
  type Target,
  TokenExchangeError,
} from '@onbehalf/token-exchange';
import { decodeJwt } from 'jose';
import type { Egress } from '../egress/index.ts';
import { type CredentialSource, openTls } from '../vault/index.ts';
import { ToolError } from './errors.ts';
import { type CallLimits, callLimits } from './limits.ts';
import type { McpServer, PlatformIdentity } from './ports.ts';
import type { TokenServices } from './token-services.ts';

type Fetch = typeof globalThis.fetch;

/** What the requests of one tool call share: several calls run over one connection at once. */
export interface CallScope {
  subject: SubjectSource | undefined;
  /** With the scopes of this tool: the connection serves others too. */
  target?: Target;
  context: Record<string, string>;
  /** The exact credentials that went out, to be redacted from whatever comes back. */
  sent: SecretValue[];
  onExchange(view: ExchangeView): void;
  /** Of this call: the connection serves tools whose time is not the same. */
  limits: CallLimits;
}

export const callScope = new AsyncLocalStorage<CallScope>();

export interface OutboundOptions {
  egress: Egress;
  credentials: CredentialSource;
  platform: PlatformIdentity;
  tokenServices: TokenServices;
}

/** Whose credential a connection carries. */
export type Caller =
  | { kind: 'turn'; agent: AgentIdentity; session: string; subject: SubjectSource | undefined }
  /** With `subject` where people list the tools with their own token. */
  | { kind: 'discovery'; subject: SubjectSource | undefined };

/**
 * The `fetch` of one connection: exactly one outbound credential, of the server's mode, and none in its place when it
 * cannot be had.
 */
export function outboundFetch(
  options: OutboundOptions,
  server: McpServer,
  target: Target | undefined,
  caller: Caller,
): Fetch {
  const { auth } = server.spec;
  const base = plainFetch(options, server);
  switch (auth?.mode ?? 'None') {
    case 'Exchange':
    case 'Workload': {
      if (!target) throw new ToolError('target_not_allowed', `${server.metadata.name} has no target`, 'administrator');
      return identityFetch(options, server, target, caller)(base);
    }
    case 'Static':
      return withHeader(base, () => staticHeader(options, server));
    case 'Forward':
      if (caller.kind === 'discovery' && !caller.subject) return base;
      return withHeader(base, () => forwarded(options, server, caller.subject));
    case 'None':
      return base;
  }
}

function identityFetch(options: OutboundOptions, server: McpServer, target: Target, caller: Caller) {
  const mode = server.spec.auth?.mode;
  const { exchange } = options.tokenServices.get(tokenServiceNameOf(server.spec));
  const shared = {
    exchange,
    target,
    callTarget: () => callScope.getStore()?.target,
    context: () => ({ ...callScope.getStore()?.context, serverUid: server.metadata.uid }),
    onToken: ({ value }: { value: SecretValue }) => callScope.getStore()?.sent.push(value),
  };
  if (caller.kind === 'discovery') {
    if (!caller.subject) return createIdentityFetch({ ...shared, subject: 'platform' });
    throw new ToolError(
      'target_not_allowed',
      `the tools of ${server.metadata.name} are listed by the platform: leave spec.auth.discovery.mode out`,
      'administrator',
    );
  }
  const agent = { uid: caller.agent.uid, name: qualifiedName(caller.agent) };
  if (mode === 'Workload') return createIdentityFetch({ ...shared, subject: 'agent', agent });
  if (!caller.subject) throw noUser(server);
  const { principal } = caller.subject;
  // One connection serves the turns of one owner; each call brings the subject of its own turn.
  const subject: SubjectSource = {
    principal,
    get refreshable() {
      return callScope.getStore()?.subject?.refreshable ?? false;
    },
    ...(caller.subject.loginSession !== undefined && { loginSession: caller.subject.loginSession }),
    current(signal) {
      const current = callScope.getStore()?.subject;
      if (!current || current.principal.issuer !== principal.issuer || current.principal.subject !== principal.subject)
        return Promise.reject(noUser(server));
      return current.current(signal);
    },
  };
  return createIdentityFetch({
    ...shared,
    subject,
    session: caller.session,
    agent,
    actor: options.platform.actorFor(caller.agent),
  });
}

function noUser(server: McpServer) {
  return new TokenExchangeError(
    'user_token_required',
    `${server.metadata.name} needs a signed-in person: sign in and try again`,
  );
}

const MAX_REDIRECTS = 3;

/** Where a redirect that keeps method and body leads to, if that is within the server's own URL; undefined elsewhere. */
function redirectWithin(server: McpServer, from: URL, response: Response): URL | undefined {
  const location = response.headers.get('location');
  if ((response.status !== 307 && response.status !== 308) || location === null || !URL.canParse(location, from.href))
    return undefined;
  const next = new URL(location, from);
  return isWithin(new URL(server.spec.url ?? ''), next) ? next : undefined;
}

/** Fixed headers of the resource, deadlines and the checked way out. A redirect is followed within the server's URL. */
function plainFetch({ egress, credentials }: OutboundOptions, server: McpServer): Fetch {
  const fixed = server.spec.headers ?? [];
  return async (input, init) => {
    const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
    for (const header of fixed) {
      if (header.value !== undefined) headers.set(header.name, header.value);
      else if (header.secretRef) {
        const { value } = await open(credentials, server, header.secretRef);
        callScope.getStore()?.sent.push(value);
        headers.set(header.name, value.reveal());
      }
    }
    const { traceId, requestId } = callScope.getStore()?.context ?? {};
    if (traceId !== undefined) headers.set('traceparent', `00-${traceId}-${randomBytes(8).toString('hex')}-01`);
    if (requestId !== undefined) headers.set('x-request-id', requestId);
    const limits = callScope.getStore()?.limits ?? callLimits(server.spec);
    const tls = await openTls(server.spec.tls, async (ref) => (await open(credentials, server, ref)).value);
    const sent = { ...init, headers, redirect: 'manual' as const, limits, tls };
    let at = new URL(input instanceof Request ? input.url : input);
    let response = await egress.fetch(input, sent);
    for (let hops = 0; hops < MAX_REDIRECTS; hops++) {
      const next = redirectWithin(server, at, response);
      if (next === undefined || (init?.body != null && typeof init.body !== 'string')) break;
      await response.body?.cancel();
      at = next;
      response = await egress.fetch(at, sent);
    }
    return response;
  };
}

function withHeader(fetch: Fetch, header: () => Promise<{ name: string; value: SecretValue; prefix: string }>): Fetch {
  return async (input, init) => {
    const { name, value, prefix } = await header();
    callScope.getStore()?.sent.push(value);
    const headers = new Headers(init?.headers);
    headers.set(name, `${prefix}${value.reveal()}`);
    return fetch(input, { ...init, headers });
  };
}

async function staticHeader({ credentials }: OutboundOptions, server: McpServer) {
  const configured = server.spec.auth?.static;
  if (!configured)
    throw new ToolError('credential_unavailable', 'the static header is not configured', 'administrator');
  const { value } = await open(credentials, server, configured.secretRef);
  return { name: configured.header, value, prefix: configured.scheme === undefined ? '' : `${configured.scheme} ` };
}

/** Forward passes the user's own token on only where it names the tool server already, and none of our doors. */
async function forwarded(options: OutboundOptions, server: McpServer, subject: SubjectSource | undefined) {
  const current = callScope.getStore()?.subject ?? subject;
  if (!current) throw noUser(server);
  const { token } = await current.current();
  const audiences = audiencesOf(token);
  const wanted = [...(server.spec.auth?.audience ?? []), ...(server.spec.auth?.resource ?? []), server.spec.url];
  const ours = audiences.some((audience) => options.platform.doorAudiences.includes(audience));
  if (ours || !audiences.some((audience) => wanted.includes(audience)))
    throw new ToolError(
      'forward_not_possible',
      `the user's token does not name ${server.metadata.name} alone: use mode Exchange`,
      'administrator',
    );
  return { name: 'authorization', value: token, prefix: 'Bearer ' };
}

/** Reads `aud` of a token that our own verifier has accepted already. */
function audiencesOf(token: SecretValue): string[] {
  try {
    return [decodeJwt(token.reveal()).aud ?? []].flat();
  } catch {
    return [];
  }
}

async function open(credentials: CredentialSource, server: McpServer, ref: Parameters<CredentialSource['open']>[0]) {
  const { session, turn, step, callId, requestId, traceId } = callScope.getStore()?.context ?? {};
  return credentials.open(ref, {
    kind: 'RemoteMCPServer',
    uid: server.metadata.uid,
    origin: new URL(server.spec.url ?? '').origin,
    ...(server.metadata.namespace !== undefined && { namespace: server.metadata.namespace }),
    ...(server.writer && { writer: server.writer }),
    context: {
      ...(session !== undefined && { session }),
      ...(turn !== undefined && { turn }),
      ...(step !== undefined && { step: Number(step) }),
      ...(callId !== undefined && { call: callId }),
      ...(requestId !== undefined && { requestId }),
      ...(traceId !== undefined && { traceId }),
    },
  });
}
