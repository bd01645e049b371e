import type { Principal } from '@onbehalf/access';
import type { SessionView } from '@onbehalf/resources';
import { type Limits, personKey } from '../limits/index.ts';
import type { Runtime } from '../runtime/index.ts';

type Wanted = Parameters<Runtime['sessions']['create']>[0];

/** A conversation is a row: so many in a minute, and so many in all. @throws LimitError */
export async function openSession(
  { limits, runtime }: { limits: Pick<Limits, 'take' | 'check'>; runtime: Pick<Runtime, 'sessions'> },
  principal: Principal,
  wanted: Wanted,
): Promise<SessionView> {
  if (principal.kind !== 'local') limits.take('sessionsMade', personKey(principal));
  limits.check('sessionsKept', await runtime.sessions.count(wanted.owner));
  return runtime.sessions.create(wanted);
}
