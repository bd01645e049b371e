import { AccessError } from '@onbehalf/access';
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Audit, AuditEntry } from '../audit/index.ts';
import { addressKey, type Counted, Tally } from '../limits/index.ts';
import { refOf } from '../people/index.ts';
import type { Caller } from './caller.ts';
import type { HttpProblem } from './problems.ts';

const WINDOW_MS = 60_000;
/** Lines of one person, or of one address that nobody known speaks from, in a window. */
const PER_KEY = 60;
/** Of all those addresses together. Never of persons: a flood by nobody hides no refusal of anybody. */
const ANONYMOUS = 600;
/** Counting lines of one window; the rest share one. */
const COUNTING_LINES = 100;

export interface RefusalPorts {
  audit: Pick<Audit, 'append'>;
  log: Pick<Logger, 'warn'>;
  now: () => number;
}

export interface RefusalLog {
  note(
    request: Pick<FastifyRequest, 'id' | 'method' | 'url'> & { caller: Caller | undefined },
    problem: HttpProblem,
    error: unknown,
    address: string | undefined,
  ): void;
  /** Writes what was counted in windows that have ended; with `everything`, all of it. Then all that was noted is written. */
  flush(everything?: boolean): Promise<void>;
  close(): Promise<void>;
}

/**
 * Refusals are audit lines, so many for each person and each address in a minute. What is more is counted, and each
 * count is a line of its own, so that nobody fills the disk from outside and nobody hides behind somebody else's flood.
 */
export function createRefusalLog({ audit, log, now }: RefusalPorts): RefusalLog {
  const people = new Tally({ perKey: PER_KEY, windowMs: WINDOW_MS, now });
  const addresses = new Tally({ perKey: PER_KEY, total: ANONYMOUS, windowMs: WINDOW_MS, now });
  const writing = new Set<Promise<void>>();
  function write(entry: Omit<AuditEntry, 'type' | 'phase' | 'door'>): Promise<void> {
    const written = audit
      .append({ type: 'refusal', phase: 'single', door: 'api', ...entry })
      .then(() => undefined)
      .catch(() => log.warn({ requestId: entry.requestId }, 'a refusal could not be audited'))
      .finally(() => writing.delete(written));
    writing.add(written);
    return written;
  }

  async function flush(everything = false) {
    const counted = [
      ...people.take(everything).map((one) => ({ ...one, who: whoOf(one.key) })),
      ...addresses.take(everything).map((one) => ({ ...one, who: one.key === undefined ? {} : { address: one.key } })),
    ].sort((a, b) => b.count - a.count);
    const alone = counted.slice(0, COUNTING_LINES);
    const rest = counted.slice(COUNTING_LINES);
    for (const { who, ...one } of alone) await write({ ...who, ...countOf([one]) });
    if (rest.length > 0) await write(countOf(rest));
    await Promise.all(writing);
  }

  const timer = setInterval(() => flush().catch(() => log.warn('refusals could not be counted')), WINDOW_MS).unref();
  return {
    note(request, problem, error, address) {
      if (problem.status !== 401 && problem.status !== 403 && problem.status !== 404) return;
      // Nothing was sent: an ordinary first visit.
      if (problem.status === 401 && !(error instanceof AccessError)) return;
      // Known by a token whose signature was right, if they may not enter too.
      const principal = request.caller?.principal ?? (error instanceof AccessError ? error.principal : undefined);
      const from = address ?? 'unknown';
      const admitted = principal ? people.admit(keyOf(principal)) : addresses.admit(addressKey(from));
      if (!admitted) return;
      write({
        requestId: request.id,
        address: from,
        ...(principal && { principal: refOf(principal) }),
        decision: problem.status === 404 ? 'hide' : 'deny',
        code: error instanceof AccessError ? error.code : problem.code,
        reason: problem.message,
        data: { method: request.method, path: (request.url.split('?')[0] ?? '').slice(0, 256) },
      }).catch(() => log.warn({ requestId: request.id }, 'a refusal could not be audited'));
    },
    flush,
    async close() {
      clearInterval(timer);
      await flush(true);
    },
  };
}

const keyOf = ({ issuer, subject }: { issuer: string; subject: string }) => JSON.stringify([issuer, subject]);

function whoOf(key: string | undefined): Pick<AuditEntry, 'principal'> {
  if (key === undefined) return {};
  const [issuer = '', subject = ''] = JSON.parse(key) as string[];
  return { principal: { issuer, subject } };
}

function countOf(counted: readonly Counted[]): Pick<AuditEntry, 'outcome' | 'reason' | 'data'> {
  const omitted = counted.reduce((sum, { count }) => sum + count, 0);
  const since = new Date(Math.min(...counted.map((one) => one.since))).toISOString();
  return {
    outcome: 'counted',
    reason: `${omitted} more refusals were not written one by one`,
    data: { omitted, since, ...(counted.length > 1 && { from: counted.length }) },
  };
}
