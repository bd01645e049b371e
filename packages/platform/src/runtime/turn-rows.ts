import type { TurnState } from '@onbehalf/resources';
import type { SessionRow, Statement, Store, TurnRow } from '../store/index.ts';
import type { FinishedTurn } from './ports.ts';

export const LEASE_MS = 4_000;
/** States in which somebody holds the turn. */
const HELD = ['running', 'awaiting_auth'] as const satisfies readonly TurnState[];

/** The statements of a turn's life, each with the precondition that keeps a second holder out. */
export function turnStatements(store: Store) {
  const { builder } = store;
  return {
    claimSession(session: string, turn: string): Statement {
      const claimed = builder.updateTable('sessions').set({ turn }).where('id', '=', session).where('turn', 'is', null);
      return { query: claimed.compile(), expect: 1, conflict: 'turn_running' };
    },
    titleOnce(session: string, title: string): Statement {
      return {
        query: builder
          .updateTable('sessions')
          .set({ title })
          .where('id', '=', session)
          .where('title', 'is', null)
          .compile(),
      };
    },
    insert(row: TurnRow): Statement {
      return { query: builder.insertInto('turns').values(row).compile(), expect: 1, conflict: 'turn_exists' };
    },
    finish(turn: { id: string; session: string; fence: number }, end: FinishedTurn, at: number): Statement[] {
      const finished = builder
        .updateTable('turns')
        .set({
          state: end.state,
          code: end.code ?? null,
          ended_at: at,
          lease_until: null,
          usage: JSON.stringify(end.usage),
          fence: turn.fence + 1,
        })
        .where('id', '=', turn.id)
        .where('fence', '=', turn.fence);
      const freed = builder
        .updateTable('sessions')
        .set({ turn: null })
        .where('id', '=', turn.session)
        .where('turn', '=', turn.id);
      return [{ query: finished.compile(), expect: 1, conflict: 'fence' }, { query: freed.compile() }];
    },
    setState(turn: string, state: (typeof HELD)[number]): Statement {
      return { query: builder.updateTable('turns').set({ state }).where('id', '=', turn).compile() };
    },
    renew(holder: string, until: number): Statement {
      return {
        query: builder
          .updateTable('turns')
          .set({ lease_until: until })
          .where('holder', '=', holder)
          .where('state', 'in', HELD)
          .compile(),
      };
    },
    command(turn: string, command: string, at: string): Statement {
      return {
        query: builder
          .insertInto('turn_commands')
          .values({ turn, command, data: null, at, consumed_at: null })
          .compile(),
        expect: 1,
      };
    },
    consume(turn: string, at: number): Statement {
      return {
        query: builder
          .updateTable('turn_commands')
          .set({ consumed_at: at })
          .where('turn', '=', turn)
          .where('consumed_at', 'is', null)
          .compile(),
      };
    },
    commands(turn: string) {
      return store.read<{ command: string }>(
        builder
          .selectFrom('turn_commands')
          .select('command')
          .where('turn', '=', turn)
          .where('consumed_at', 'is', null)
          .orderBy('id')
          .compile(),
      );
    },
    byKey(session: string, key: string) {
      return store.read<TurnRow>(
        builder
          .selectFrom('turns')
          .selectAll()
          .where('session', '=', session)
          .where('idempotency_key', '=', key)
          .compile(),
      );
    },
    byId(id: string) {
      return store.read<TurnRow>(builder.selectFrom('turns').selectAll().where('id', '=', id).compile());
    },
    session(id: string) {
      return store.read<SessionRow>(
        builder.selectFrom('sessions').selectAll().where('id', '=', id).where('deleted_at', 'is', null).compile(),
      );
    },
    /** Turns that nobody holds any more. */
    abandoned(before: number) {
      return store.read<TurnRow & { last_seq: number }>(
        builder
          .selectFrom('turns')
          .innerJoin('sessions', 'sessions.id', 'turns.session')
          .selectAll('turns')
          .select('sessions.last_seq')
          .where('turns.state', 'in', HELD)
          .where('turns.lease_until', '<', before)
          .limit(200)
          .compile(),
      );
    },
    /** Deltas whose final message has been in the log for a while. */
    pruneDeltas(endedBefore: number): Statement {
      const ended = builder
        .selectFrom('turns')
        .select('id')
        .where('ended_at', '<', endedBefore)
        .where('ended_at', '>', endedBefore - 3_600_000);
      return { query: builder.deleteFrom('events').where('type', '=', 'delta').where('turn', 'in', ended).compile() };
    },
  };
}
