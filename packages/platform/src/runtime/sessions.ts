import type { AgentIdentity, SessionView, TurnState } from '@onbehalf/resources';
import type { SessionRow, Store } from '../store/index.ts';
import { RuntimeError } from './errors.ts';

export interface SessionFilter {
  owner?: { issuer: string; subject: string };
  agentUid?: string;
  limit?: number;
}

type Row = SessionRow & { turn_state: string | null };

/** Conversations of one owner with one agent. Who may see which is decided by the caller. */
export class Sessions {
  readonly #store: Store;
  readonly #now: () => number;

  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** How many conversations somebody has. */
  async count(owner: { issuer: string; subject: string }): Promise<number> {
    const query = this.#store.builder
      .selectFrom('sessions')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('owner_iss', '=', owner.issuer)
      .where('owner_sub', '=', owner.subject)
      .where('deleted_at', 'is', null);
    const [row] = await this.#store.read<{ count: number }>(query.compile());
    return Number(row?.count ?? 0);
  }

  async create(input: {
    agent: AgentIdentity;
    owner: { issuer: string; subject: string };
    title?: string;
    door: string;
  }): Promise<SessionView> {
    const now = this.#now();
    const row: SessionRow = {
      id: crypto.randomUUID(),
      agent_uid: input.agent.uid,
      agent_namespace: input.agent.namespace,
      agent_name: input.agent.name,
      owner_iss: input.owner.issuer,
      owner_sub: input.owner.subject,
      title: input.title ?? null,
      door: input.door,
      created_at: now,
      updated_at: now,
      last_seq: 0,
      turn: null,
      deleted_at: null,
    };
    await this.#store.commit({
      statements: [{ query: this.#store.builder.insertInto('sessions').values(row).compile(), expect: 1 }],
    });
    return toView({ ...row, turn_state: null });
  }

  async get(id: string): Promise<SessionView> {
    const [row] = await this.#store.read<Row>(this.#select().where('sessions.id', '=', id).compile());
    if (!row) throw new RuntimeError('session_not_found', 'there is no such session');
    return toView(row);
  }

  async list(filter: SessionFilter): Promise<SessionView[]> {
    let query = this.#select()
      .orderBy('sessions.updated_at', 'desc')
      .limit(filter.limit ?? 200);
    if (filter.owner)
      query = query
        .where('sessions.owner_iss', '=', filter.owner.issuer)
        .where('sessions.owner_sub', '=', filter.owner.subject);
    if (filter.agentUid !== undefined) query = query.where('sessions.agent_uid', '=', filter.agentUid);
    return (await this.#store.read<Row>(query.compile())).map(toView);
  }

  async rename(id: string, title: string): Promise<void> {
    const renamed = this.#store.builder
      .updateTable('sessions')
      .set({ title })
      .where('id', '=', id)
      .where('deleted_at', 'is', null);
    await this.#store.commit({ statements: [{ query: renamed.compile(), expect: 1, conflict: 'session_gone' }] });
  }

  /** The conversation is gone for everybody at once; its rows go with the retention. */
  async remove(id: string): Promise<void> {
    const removed = this.#store.builder
      .updateTable('sessions')
      .set({ deleted_at: this.#now() })
      .where('id', '=', id)
      .where('deleted_at', 'is', null);
    await this.#store.commit({
      statements: [{ query: removed.compile() }],
      changes: [{ kind: 'Session', key: id, op: 'delete' }],
    });
  }

  #select() {
    return this.#store.builder
      .selectFrom('sessions')
      .leftJoin('turns', 'turns.id', 'sessions.turn')
      .selectAll('sessions')
      .select('turns.state as turn_state')
      .where('sessions.deleted_at', 'is', null);
  }
}

function toView(row: Row): SessionView {
  return {
    id: row.id,
    agent: { namespace: row.agent_namespace, name: row.agent_name, uid: row.agent_uid },
    owner: { issuer: row.owner_iss, subject: row.owner_sub },
    title: row.title ?? '',
    door: row.door,
    createdAt: new Date(Number(row.created_at)).toISOString(),
    updatedAt: new Date(Number(row.updated_at)).toISOString(),
    lastSeq: Number(row.last_seq),
    ...(row.turn !== null && row.turn_state !== null && { turn: { id: row.turn, state: row.turn_state as TurnState } }),
  };
}
