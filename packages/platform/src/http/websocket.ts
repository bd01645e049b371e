import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { cut } from '@onbehalf/resources';
import { WebSocketServer } from 'ws';
import { addressKey, headTooLarge, type Limits, personKey } from '../limits/index.ts';
import type { Authenticator } from './authenticate.ts';
import type { Caller } from './caller.ts';
import { findAgent } from './find-resource.ts';
import { hostNames } from './host-names.ts';
import { HttpProblem, PROBLEMS, problemBody, toProblem } from './problems.ts';
import type { RefusalLog } from './refusals.ts';
import { type SocketPorts, type SocketRequest, serveSocket } from './socket-session.ts';

const MAX_FRAME = 1_048_576;
const ADDRESS = /^\/api\/agents\/([a-z0-9.-]+)\/react$/;

export interface WebSocketPorts extends SocketPorts {
  publicUrl: string;
  limits: Limits;
  authenticator: Authenticator;
}

/** Decides about an upgrade before a socket exists: 401, 403 and 404 are answers to the upgrade itself. */
export function attachWebSocket(ports: WebSocketPorts, server: Server, refusals: RefusalLog) {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_FRAME,
    perMessageDeflate: false,
    // The subprotocol only carries the token; none is spoken.
    handleProtocols: (protocols) => (protocols.has('bearer') ? 'bearer' : false),
  });
  const names = hostNames(ports.publicUrl);
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    const id = randomUUID();
    let caller: Caller | undefined;
    let done: () => void = () => undefined;
    (async () => {
      done = ports.limits.hold('handshakes', addressKey(ports.limits.address(request)));
      const tooLarge = headTooLarge(request);
      if (tooLarge !== undefined) throw new HttpProblem(tooLarge.code, tooLarge.says);
      if (!names.has(request.headers.host ?? ''))
        throw new HttpProblem('misdirected', 'use the address that this server was started with');
      const url = targetOf(request.url);
      caller = await ports.authenticator.caller(request, true);
      const opened = await admit(ports, caller, url);
      const release = ports.limits.hold('sockets', personKey(caller.principal));
      socket.once('close', release);
      sockets.handleUpgrade(request, socket, head, (ws) =>
        serveSocket(ports, ws, { ...opened, caller: caller as Caller, requestId: id }),
      );
    })()
      .catch((error: unknown) => {
        const problem = toProblem(error);
        refusals.note(
          { id, method: 'GET', url: request.url ?? '/', caller },
          problem,
          error,
          ports.limits.address(request),
        );
        refuse(socket, problem);
      })
      .finally(() => done());
  });
  return {
    close() {
      for (const client of sockets.clients) client.close(1012, 'restart');
      sockets.close();
    },
  };
}

/** The path as it was sent: nothing is normalised, so that every part of the server sees the same one. */
function targetOf(raw = '/'): { pathname: string; searchParams: URLSearchParams } {
  const at = raw.indexOf('?');
  return {
    pathname: at === -1 ? raw : raw.slice(0, at),
    searchParams: new URLSearchParams(at === -1 ? '' : raw.slice(at + 1)),
  };
}

async function admit(
  ports: SocketPorts,
  caller: Caller,
  url: ReturnType<typeof targetOf>,
): Promise<Omit<SocketRequest, 'caller' | 'requestId'>> {
  if (caller.principal.role === 'INACTIVE') throw new HttpProblem('forbidden', 'the principal is not active');
  const address = ADDRESS.exec(url.pathname)?.[1];
  const agent = address === undefined ? undefined : findAgent(ports.registry, address);
  const hidden = new HttpProblem('not_found', `there is no Agent ${cut(address ?? '')}, or you may not see it`);
  if (!agent) {
    // The same work, and so the same time, as for one that is hidden.
    ports.policy.decide(caller.principal, 'run', { kind: 'Agent', uid: '' });
    throw hidden;
  }
  const decision = ports.policy.decide(caller.principal, 'run', { kind: 'Agent', uid: agent.metadata.uid });
  if (decision.effect === 'hide') throw hidden;
  if (decision.effect === 'deny') throw new HttpProblem('forbidden', decision.reason);
  const wanted = url.searchParams.get('session');
  const frames =
    url.searchParams.get('protocol') === '2'
      ? 'events'
      : url.searchParams.get('frames') === '2'
        ? 'second'
        : url.searchParams.get('frames') === '1'
          ? 'first'
          : undefined;
  const after = Number(url.searchParams.get('after') ?? '0');
  if (!Number.isInteger(after) || after < 0)
    throw new HttpProblem('invalid_request', '`after` must be a number of an event');
  if (wanted === null) return { agent, session: undefined, frames, after };
  const session = await ports.runtime.sessions.get(wanted);
  const allowed = ports.policy.decide(caller.principal, 'session.read', { kind: 'Session', owner: session.owner });
  if (allowed.effect !== 'allow' || session.agent.uid !== agent.metadata.uid)
    throw new HttpProblem('not_found', `there is no session ${cut(wanted)}, or you may not see it`);
  if (after > session.lastSeq) throw new HttpProblem('after_beyond_end', `this session ends at ${session.lastSeq}`);
  return { agent, session, frames, after };
}

function refuse(socket: Duplex, problem: HttpProblem): void {
  const [status, title] = PROBLEMS[problem.code];
  const body = JSON.stringify(problemBody(problem));
  const challenge = status === 401 ? 'WWW-Authenticate: Bearer realm="onbehalf"\r\n' : '';
  const more = Object.entries(problem.headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\n${challenge}${more}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
