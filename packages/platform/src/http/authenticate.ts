import type { IncomingMessage } from 'node:http';
import { AccessError, findCredential, type Principal, type Verifier } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import type { Limits } from '../limits/index.ts';
import type { Login } from '../login/index.ts';
import type { Tickets, Users } from '../people/index.ts';
import { authorizeFor, type Policy } from '../policy/index.ts';
import type { Runtime } from '../runtime/index.ts';
import type { Registry } from '../store/index.ts';
import type { Caller } from './caller.ts';
import { findAgent } from './find-resource.ts';
import { HttpProblem } from './problems.ts';

export interface AuthenticatePorts {
  publicUrl: string;
  limits: Pick<Limits, 'address'>;
  now: () => number;
  verifier: Pick<Verifier, 'verify'>;
  login: Pick<Login, 'subjectOfBearer' | 'subjectOfLegacy'> & {
    sessions: Pick<Login['sessions'], 'cookieName' | 'authenticate'>;
  };
  tickets: Pick<Tickets, 'redeem'>;
  users: Pick<Users, 'noteSeen'>;
  policy: Policy;
  registry: Pick<Registry, 'get'>;
  runtime: Pick<Runtime, 'offer'>;
}

export interface Authenticator {
  /**
   * Finds the one credential of a request and turns it into a caller, before the body is read and before a socket opens.
   * @throws {AccessError | HttpProblem}
   */
  caller(request: IncomingMessage, upgrade: boolean): Promise<Caller>;
  /** @throws {AccessError} */
  bearer(token: SecretValue): Promise<Pick<Caller, 'principal' | 'subject'>>;
}

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

export function createAuthenticator(o: AuthenticatePorts): Authenticator {
  const { login, policy } = o;

  async function bearer(token: SecretValue) {
    const principal = await o.verifier.verify(token, 'api');
    await noteForeign(principal);
    // A shared-secret token is no subject of an exchange, and never leaves.
    const subject =
      principal.credential.kind === 'legacy'
        ? login.subjectOfLegacy(principal)
        : login.subjectOfBearer(principal, token);
    return { principal, subject };
  }

  /** Of other issuers' people only their tokens say what they are. */
  async function noteForeign(principal: Principal): Promise<void> {
    if (principal.issuer === o.publicUrl) return;
    policy.note(principal);
    await o.users.noteSeen(principal);
  }

  /**
   * A cookie comes along with whatever a page makes the browser send, so an unsafe request must show that the console
   * itself made it. A body that is not JSON is refused by the content type parser.
   */
  function checkOrigin(request: IncomingMessage, csrf: string | undefined): void {
    const { origin, 'sec-fetch-site': site, 'x-onbehalf-csrf': sent, 'content-type': type } = request.headers;
    const same = origin === undefined ? site === 'same-origin' : origin === o.publicUrl;
    if (!same) throw new HttpProblem('csrf', 'the request comes from another origin');
    if (csrf === undefined) return;
    if (type !== undefined && !/^application\/json\s*(;|$)/i.test(type))
      throw new HttpProblem('csrf', 'the body must be application/json');
    if (sent !== csrf)
      throw new HttpProblem('csrf', 'the header x-onbehalf-csrf is missing or wrong: read it from /api/me');
  }

  /** The uid of the agent in `/api/agents/{agent}/react`, for a ticket is good for one agent. */
  function agentOfUpgrade(url: string): string | undefined {
    const address = /^\/api\/agents\/([^/?]+)\/react(?:\?|$)/.exec(url)?.[1];
    return address === undefined ? undefined : findAgent(o.registry, address)?.metadata.uid;
  }

  async function caller(request: IncomingMessage, upgrade: boolean): Promise<Caller> {
    const address = o.limits.address(request);
    const found = findCredential({
      headers: request.headers,
      rawHeaders: request.rawHeaders,
      url: request.url ?? '/',
      upgrade,
      cookieName: login.sessions.cookieName,
    });
    if (!found) throw new HttpProblem('unauthenticated', 'sign in, or send a bearer token');
    switch (found.kind) {
      case 'bearer':
        return { ...(await bearer(found.token)), address };
      case 'session': {
        const session = await login.sessions.authenticate(found.cookie);
        if (!session) throw new HttpProblem('unauthenticated', 'your sign-in has ended: sign in again');
        await noteForeign(session.principal);
        if (upgrade || !SAFE.has(request.method ?? '')) checkOrigin(request, upgrade ? undefined : session.csrf);
        // Whoever has signed in again is asked nothing more: what waited for them goes on.
        o.runtime.offer({ subject: session.subject, authorize: authorizeFor(policy, session.principal, o.now) });
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
        const agent = agentOfUpgrade(request.url ?? '');
        const redeemed = agent === undefined ? undefined : await o.tickets.redeem(found.ticket, agent);
        if (!redeemed) throw new AccessError('token_revoked', 'the ticket is used, expired or for another agent');
        return {
          principal: policy.current(redeemed.principal),
          subject: redeemed.subject,
          ...(redeemed.loginIdHash !== undefined && { loginSession: redeemed.loginIdHash }),
          address,
        };
      }
    }
  }

  return { caller, bearer };
}
