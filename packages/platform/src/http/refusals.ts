import { AccessError } from '@onbehalf/access';
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Audit } from '../audit/index.ts';
import { refOf } from '../people/index.ts';
import type { Caller } from './caller.ts';
import type { HttpProblem } from './problems.ts';

const PER_WINDOW = 50;
const WINDOW_MS = 10_000;

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
  ): void;
}

/** Refusals are audit lines. A flood of them is counted, so that nobody fills the disk from outside. */
export function createRefusalLog({ audit, log, now: clock }: RefusalPorts): RefusalLog {
  let windowStart = 0;
  let written = 0;
  let counted = 0;
  return {
    note(request, problem, error) {
      if (problem.status !== 401 && problem.status !== 403 && problem.status !== 404) return;
      // Nothing was sent: an ordinary first visit.
      if (problem.status === 401 && !(error instanceof AccessError)) return;
      const now = clock();
      if (now - windowStart > WINDOW_MS) [windowStart, written] = [now, 0];
      if (written >= PER_WINDOW) {
        counted++;
        return;
      }
      written++;
      const omitted = counted;
      counted = 0;
      const principal = request.caller?.principal ?? (error instanceof AccessError ? error.principal : undefined);
      audit
        .append({
          type: 'refusal',
          phase: 'single',
          door: 'api',
          requestId: request.id,
          ...(request.caller && { address: request.caller.address }),
          ...(principal && { principal: refOf(principal) }),
          decision: problem.status === 404 ? 'hide' : 'deny',
          code: error instanceof AccessError ? error.code : problem.code,
          reason: problem.message,
          data: {
            method: request.method,
            path: (request.url.split('?')[0] ?? '').slice(0, 256),
            ...(omitted > 0 && { omitted }),
          },
        })
        .catch(() => log.warn({ requestId: request.id }, 'a refusal could not be audited'));
    },
  };
}
