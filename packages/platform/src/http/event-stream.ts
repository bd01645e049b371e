import { once } from 'node:events';
import type { SessionEvent, SessionView } from '@onbehalf/resources';
import type { FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import { type Policy, type Presence, stillAllowed, watchAccess } from '../policy/index.ts';
import type { Runtime } from '../runtime/index.ts';
import type { Caller } from './caller.ts';

const COMMENT_MS = 15_000;

export interface StreamPorts {
  runtime: Pick<Runtime, 'follow'>;
  policy: Policy;
  presence: Presence;
  log: Pick<Logger, 'warn'>;
  now: () => number;
}

/** Writes events as server-sent events, `id` being `seq`, until `ends` says so, the client leaves or may not stay. */
export async function streamEvents(
  ports: StreamPorts,
  reply: FastifyReply,
  session: SessionView,
  after: number,
  caller: Caller,
  { ends = () => false, onlyTurn }: { ends?: (event: SessionEvent) => boolean; onlyTurn?: string } = {},
): Promise<void> {
  const controller = new AbortController();
  const stop = () => controller.abort();
  const stopWatching = watchAccess(
    ports.policy,
    () =>
      stillAllowed(ports.presence, ports.policy, caller, 'session.read', { kind: 'Session', owner: caller.principal }),
    stop,
  );
  const { expiresAt, kind } = caller.principal.credential;
  // A turn's own stream ends with the turn; the log's would outlive its token. A cookie session renews itself.
  const left =
    onlyTurn === undefined && kind !== 'session' && expiresAt !== undefined ? expiresAt - ports.now() : undefined;
  const expiry = left === undefined ? undefined : setTimeout(stop, Math.min(Math.max(left, 0), 2_147_483_647)).unref();
  const events = ports.runtime.follow(session, after, controller.signal);
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  raw.flushHeaders();
  raw.once('close', stop);
  // A proxy closes what is silent.
  const alive = setInterval(() => raw.write(': alive\n\n'), COMMENT_MS);
  try {
    for await (const event of events) {
      if (onlyTurn !== undefined && event.turn !== onlyTurn) continue;
      const more = raw.write(`id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
      if (!more && !controller.signal.aborted) await Promise.race([once(raw, 'drain'), once(raw, 'close')]);
      if (ends(event)) break;
    }
  } catch {
    ports.log.warn({ session: session.id }, 'an event stream broke off');
  } finally {
    clearInterval(alive);
    clearTimeout(expiry);
    stopWatching();
    controller.abort();
    raw.end();
  }
}
