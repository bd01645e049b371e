import type { TurnState } from '@onbehalf/resources';
import { sql } from 'kysely';
import { prepared, type SessionRow, type Statement, type Store, type TurnRow } from '../store/index.ts';
import type { FinishedTurn, PersonRef } from './ports.ts';

export const LEASE_MS = 4_000;
/** States in which somebody holds the turn. */
const HELD = ['running', 'awaiting_auth'] as const satisfies readonly TurnState[];
const SWEEP = 200;

/** A turn that nobody holds any more, and how far its session has come. */
export type Abandoned = TurnRow & { last_seq: number; deleted_at: number | null };

/** A turn as its holder knows it: the precondition of every write. */
export interface Held {
  id: string;
  holder: string;
  fence: number;
}

/** What turns that run may be counted by. */
export interface Counted {
  agentUid?: string;
  person?: PersonRef;
}

/** How a principal stands in a turn's row. */
export const personText = ({ issuer, subject }: PersonRef) => JSON.stringify({ issuer, subject });

export type TurnStatements = ReturnType<typeof turnStatements>;

const held = prepared((builder, turn: Held) =>
  builder
    .selectFrom('turns')
    .select('id')
    .where('id', '=', turn.id)
    .where('holder', '=', turn.holder)
    .where('fence', '=', turn.fence),
);

/** The statements of a turn's life, each with the precondition that keeps a second holder out. */
export function turnStatements(store: Store) {
  const { builder } = store;
  const running = ({ agentUid, person }: Counted) => {
    let query = builder
      .selectFrom('turns')
      .select((of) => of.fn.countAll<number>().as('count'))
      .where('state', '=', 'running');
    if (agentUid !== undefined) query = query.where('agent_uid', '=', agentUid);
    if (person !== undefined) query = query.where('principal', '=', personText(person));
    return query;
  };
  return {
    claimSession(session: string, turn: string): Statement {
      const claimed = builder.updateTable('sessions').set({ turn }).where('id', '=', session).where('turn', 'is', null);
      return { query: claimed.compile(), expect: 1, conflict: 'turn_running' };
    },
    /** Fewer than `limit` such turns are running: counted where the next one is made, so that two cannot take one place. */
    place(counted: Counted, limit: number, conflict: string): Statement {
      const free = builder
        .selectNoFrom(sql<number>`1`.as('free'))
        .where(sql<boolean>`(${running(counted)}) < ${limit}`);
      return { query: free.compile(), expect: 1, conflict };
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
    /** The turn is still held, by this holder. */
    fence(turn: Held): Statement {
      const { id, holder, fence } = turn;
      return { query: held(builder, { id, holder, fence }), expect: 1, conflict: 'fence' };
    },
    /** Ends the turn and frees its session. `abandonedBefore`: only while nobody has renewed its lease. */
    finish(
      turn: { id: string; session: string; fence: number },
      end: FinishedTurn,
      at: number,
      abandonedBefore?: number,
    ): Statement[] {
      let finished = builder
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
      if (abandonedBefore !== undefined) finished = finished.where('lease_until', '<', abandonedBefore);
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
    /** Of this turn alone, while it is held: one that its holder gave up must run out. Affects no row otherwise. */
    renew(turn: Held, until: number): Statement {
      return {
        query: builder
          .updateTable('turns')
          .set({ lease_until: until })
          .where('id', '=', turn.id)
          .where('holder', '=', turn.holder)
          .where('fence', '=', turn.fence)
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
    /** Those that were read, and no other. */
    consume(ids: readonly number[], at: number): Statement {
      return {
        query: builder
          .updateTable('turn_commands')
          .set({ consumed_at: at })
          .where('id', 'in', ids)
          .where('consumed_at', 'is', null)
          .compile(),
      };
    },
    commands(turn: string) {
      return store.read<{ id: number; command: string }>(
        builder
          .selectFrom('turn_commands')
          .select(['id', 'command'])
          .where('turn', '=', turn)
          .where('consumed_at', 'is', null)
          .orderBy('id')
          .compile(),
      );
    },
    /** Turns that run; those that wait for their person do not. */
    async runningOf(person: PersonRef): Promise<number> {
      const [row] = await store.read<{ count: number }>(running({ person }).compile());
      return Number(row?.count ?? 0);
    },
    async byKey(session: string, key: string): Promise<TurnRow | undefined> {
      const [row] = await store.read<TurnRow>(
        builder
          .selectFrom('turns')
          .selectAll()
          .where('session', '=', session)
          .where('idempotency_key', '=', key)
          .compile(),
      );
      return row;
    },
    async byId(id: string): Promise<TurnRow | undefined> {
      const [row] = await store.read<TurnRow>(builder.selectFrom('turns').selectAll().where('id', '=', id).compile());
      return row;
    },
    session(id: string) {
      return store.read<SessionRow>(
        builder.selectFrom('sessions').selectAll().where('id', '=', id).where('deleted_at', 'is', null).compile(),
      );
    },
    /** Turns that nobody holds any more, by id, `SWEEP` at a time. A session that was removed has no log to write to. */
    abandoned(before: number, after: string) {
      return store.read<Abandoned>(
        builder
          .selectFrom('turns')
          .innerJoin('sessions', 'sessions.id', 'turns.session')
          .selectAll('turns')
          .select(['sessions.last_seq', 'sessions.deleted_at'])
          .where('turns.state', 'in', HELD)
          .where('turns.lease_until', '<', before)
          .where('turns.id', '>', after)
          .orderBy('turns.id')
          .limit(SWEEP)
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
