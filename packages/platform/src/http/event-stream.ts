import { once } from 'node:events';
import type { SessionEvent, SessionView } from '@onbehalf/resources';
import type { FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import { type Limits, personKey } from '../limits/index.ts';
import { type Policy, type Presence, stillAllowed, watchAccess } from '../policy/index.ts';
import type { Runtime } from '../runtime/index.ts';
import type { Caller } from './caller.ts';

const COMMENT_MS = 15_000;

export interface StreamPorts {
  runtime: Pick<Runtime, 'follow'>;
  policy: Policy;
  presence: Presence;
  limits: Pick<Limits, 'hold'>;
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
  {
    ends = () => false,
    onlyTurn,
    reason,
  }: {
    ends?: (event: SessionEvent) => boolean;
    onlyTurn?: string;
    /** Why somebody else than the owner reads. */
    reason?: string | undefined;
  } = {},
): Promise<void> {
  const { raw } = reply;
  // Whoever has gone already is never heard of again.
  if (raw.destroyed) return;
  const { principal } = caller;
  const release = principal.kind === 'local' ? () => undefined : ports.limits.hold('streams', personKey(principal));
  const controller = new AbortController();
  const stop = () => controller.abort();
  let events: AsyncIterable<SessionEvent>;
  try {
    events = ports.runtime.follow(session, after, controller.signal);
  } catch (error) {
    release();
    throw error;
  }
  raw.once('close', stop);
  const stopWatching = watchAccess(
    ports.policy,
    () =>
      stillAllowed(
        ports.presence,
        ports.policy,
        caller,
        'session.read',
        { kind: 'Session', owner: session.owner },
        reason === undefined ? {} : { reason },
      ),
    stop,
  );
  const { expiresAt, kind } = principal.credential;
  // A turn's own stream ends with the turn; the log's would outlive its token. A cookie session renews itself.
  const left =
    onlyTurn === undefined && kind !== 'session' && expiresAt !== undefined ? expiresAt - ports.now() : undefined;
  const expiry = left === undefined ? undefined : setTimeout(stop, Math.min(Math.max(left, 0), 2_147_483_647)).unref();
  reply.hijack();
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  raw.flushHeaders();
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
    release();
    controller.abort();
    raw.end();
  }
}
