import type { IncomingMessage } from 'node:http';
import { AccessError, findCredential, type Principal } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import { HttpProblem } from './problems.ts';
import type { Caller, Services } from './services.ts';
import { authorizeFor } from './turn-input.ts';

/** The local administration socket is reached by whoever may open a file of mode 0600. */
export const LOCAL_ADMIN: Principal = {
  issuer: 'local',
  subject: 'local-admin',
  kind: 'local',
  name: 'local-admin',
  role: 'ADMIN',
  groups: [],
  groupsUnknown: false,
  delegated: false,
  credential: { kind: 'local' },
};

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Finds the one credential of a request and turns it into a caller, before the body is read and before a socket opens.
 * @throws {AccessError | HttpProblem}
 */
export async function authenticate(services: Services, request: IncomingMessage, upgrade: boolean): Promise<Caller> {
  const address = request.socket.remoteAddress ?? 'local';
  const { identity } = services;
  const found = findCredential({
    headers: request.headers,
    rawHeaders: request.rawHeaders,
    url: request.url ?? '/',
    upgrade,
    cookieName: identity.sessions.cookieName,
  });
  if (!found) throw new HttpProblem('unauthenticated', 'sign in, or send a bearer token');
  switch (found.kind) {
    case 'bearer': {
      return { ...(await callerOfBearer(services, found.token)), address };
    }
    case 'session': {
      const session = await identity.sessions.authenticate(found.cookie);
      if (!session) throw new HttpProblem('unauthenticated', 'your sign-in has ended: sign in again');
      await noteForeign(services, session.principal);
      if (upgrade || !SAFE.has(request.method ?? ''))
        checkOrigin(services, request, upgrade ? undefined : session.csrf);
      // Whoever has signed in again is asked nothing more: what waited for them goes on.
      services.runtime.offer({ subject: session.subject, authorize: authorizeFor(services, session.principal) });
      return {
        principal: session.principal,
        subject: session.subject,
        csrf: session.csrf,
        loginSession: session.idHash,
        cookie: found.cookie,
        address,
      };
    }
    case 'ticket': {
      const agent = agentOfUpgrade(services, request.url ?? '');
      const redeemed = agent === undefined ? undefined : await identity.tickets.redeem(found.ticket, agent);
      if (!redeemed) throw new AccessError('token_revoked', 'the ticket is used, expired or for another agent');
      return {
        principal: services.policy.current(redeemed.principal),
        subject: redeemed.subject,
        ...(redeemed.loginIdHash !== undefined && { loginSession: redeemed.loginIdHash }),
        address,
      };
    }
  }
}

/** @throws {AccessError} */
export async function callerOfBearer(services: Services, token: SecretValue) {
  const { identity } = services;
  const principal = await identity.verifier.verify(token, 'api');
  await noteForeign(services, principal);
  // A shared-secret token is no subject of an exchange, and never leaves.
  const subject =
    principal.credential.kind === 'legacy'
      ? identity.subjectOfLegacy(principal)
      : identity.subjectOfBearer(principal, token);
  return { principal, subject };
}

/** Of other issuers' people only their tokens say what they are. */
async function noteForeign({ identity, policy }: Services, principal: Principal): Promise<void> {
  if (principal.issuer === identity.issuer) return;
  policy.note(principal);
  await identity.noteSeen(principal);
}

/**
 * A cookie comes along with whatever a page makes the browser send, so an unsafe request must show that the console
 * itself made it. A body that is not JSON is refused by the content type parser.
 */
function checkOrigin(services: Services, request: IncomingMessage, csrf: string | undefined): void {
  const { origin, 'sec-fetch-site': site, 'x-onbehalf-csrf': sent, 'content-type': type } = request.headers;
  const same = origin === undefined ? site === 'same-origin' : origin === services.config.publicUrl;
  if (!same) throw new HttpProblem('csrf', 'the request comes from another origin');
  if (csrf === undefined) return;
  if (type !== undefined && !/^application\/json\s*(;|$)/i.test(type))
    throw new HttpProblem('csrf', 'the body must be application/json');
  if (sent !== csrf)
    throw new HttpProblem('csrf', 'the header x-onbehalf-csrf is missing or wrong: read it from /api/me');
}

/** The uid of the agent in `/api/agents/{agent}/react`, for a ticket is good for one agent. */
function agentOfUpgrade(services: Services, url: string): string | undefined {
  const address = /^\/api\/agents\/([^/?]+)\/react(?:\?|$)/.exec(url)?.[1];
  return address === undefined ? undefined : findAgent(services, address)?.metadata.uid;
}

/** Agents are addressed as `name` (namespace `default`) or `namespace.name`. */
export function findAgent(services: Pick<Services, 'registry'>, address: string) {
  const [first = '', second, ...rest] = address.split('.');
  if (rest.length > 0) return undefined;
  return second === undefined
    ? services.registry.get('Agent', 'default', first)
    : services.registry.get('Agent', first, second);
}
