import type { Usage } from '@onbehalf/resources';
import type { Audit } from '../audit/index.ts';
import { type Store, StoreError } from '../store/index.ts';
import { RuntimeError } from './errors.ts';
import type { EventLog } from './event-log.ts';
import type { EventDraft, PersonRef } from './ports.ts';
import { endedEvent } from './turn-end.ts';
import type { Abandoned, TurnStatements } from './turn-rows.ts';
import { unclosed } from './unclosed.ts';
import { addUsage, NO_USAGE } from './usage.ts';

export interface AbandonedOptions {
  store: Store;
  audit: Audit;
  log: EventLog;
  rows: TurnStatements;
  now: () => number;
  /** A turn that could not be ended; the next sweep tries it again. */
  onProblem?: ((error: unknown) => void) | undefined;
  /** Turns that are held here: their lease is renewed, whatever the row says at the moment. */
  isHeld(turn: string): boolean;
}

const END = {
  state: 'interrupted',
  code: 'server_restarted',
  message: 'the server was restarted in this turn',
} as const;

/** Ends every turn whose lease ran out before `before`. One that cannot be ended holds up none of the others. */
export async function interruptAbandoned(options: AbandonedOptions, before: number): Promise<void> {
  const failed = (error: unknown) => {
    // Another replica was quicker, or the session was told something meanwhile.
    if (!(error instanceof StoreError && error.code === 'precondition_failed')) options.onProblem?.(error);
  };
  for (let after = ''; ; ) {
    const found: Abandoned[] = await options.rows.abandoned(before, after);
    for (const row of found) if (!options.isHeld(row.id)) await interrupt(options, row, before).catch(failed);
    const last = found.at(-1);
    if (last === undefined) return;
    after = last.id;
  }
}

async function interrupt(options: AbandonedOptions, row: Abandoned, before: number): Promise<void> {
  const { store, audit, log, rows, now } = options;
  const turn = { id: row.id, session: row.session, fence: Number(row.fence) };
  const usage: Usage = { ...NO_USAGE };
  // A session that was removed is told nothing any more.
  if (row.deleted_at !== null) {
    await store.commit({ statements: rows.finish(turn, { ...END, usage }, now(), before) });
    return;
  }
  const stored = await log.ofTurn(row.session, row.id, Number(row.seq)).catch((error: unknown) => {
    // A log that cannot be read keeps no turn from its end.
    if (error instanceof RuntimeError) return [];
    throw error;
  });
  const open = unclosed(stored);
  const events: readonly EventDraft[] = [...stored, ...open];
  for (const event of events) if (event.type === 'usage') addUsage(usage, event.data);
  await log.append({ session: row.session, turn: row.id, lastSeq: Number(row.last_seq) }, [...open, endedEvent(END)], {
    statements: rows.finish(turn, { ...END, usage }, now(), before),
    audit: open.flatMap((event) =>
      event.type === 'usage'
        ? [
            audit.line({
              type: 'model.call',
              phase: 'single',
              principal: JSON.parse(row.principal) as PersonRef,
              session: row.session,
              turn: row.id,
              outcome: 'unknown',
              data: { ...event.data },
            }),
          ]
        : [],
    ),
  });
}
