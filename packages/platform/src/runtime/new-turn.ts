import { createHash } from 'node:crypto';
import { identityOf, qualifiedName } from '@onbehalf/resources';
import type { Audit } from '../audit/index.ts';
import { type Store, type Stored, StoreError, type TurnRow } from '../store/index.ts';
import { requestOf } from './audited.ts';
import { RuntimeError } from './errors.ts';
import type { EventLog } from './event-log.ts';
import type { EventDraft, TurnBudget, TurnInput, Verdict } from './ports.ts';
import { type Held, LEASE_MS, personText, type TurnStatements } from './turn-rows.ts';

const TITLE_LENGTH = 80;
const TRIES = 5;
const DEFAULT_RUNNING = 20;

export interface NewTurnOptions {
  store: Store;
  audit: Audit;
  log: EventLog;
  rows: TurnStatements;
  now: () => number;
  budget?: TurnBudget;
}

/** A turn that was made here, or the one that this message made before. */
export type Claimed = { held: Held; firstSeq: number; lastSeq: number } | { known: string };

/**
 * One commit counts the turns that run, takes the session, makes the turn and stores its first events. A message that is
 * sent again with its key is the turn that it made; another message with that key is refused.
 */
export async function makeTurn(options: NewTurnOptions, input: TurnInput, agent: Stored<'Agent'>): Promise<Claimed> {
  const { log, rows } = options;
  const before = await sentBefore(options, input);
  if (before !== undefined) return { known: before };
  const verdict = input.authorize.run([identityOf(agent)]);
  if (verdict.effect !== 'allow') throw new RuntimeError('agent_not_found', verdict.reason);
  const held = { id: crypto.randomUUID(), holder: options.store.writer, fence: 1 };
  for (let attempt = 1; ; attempt++) {
    const [session] = await rows.session(input.session);
    if (!session) throw new RuntimeError('session_not_found', 'there is no such session');
    const lastSeq = Number(session.last_seq);
    const row = rowOf(input, agent, held, lastSeq + 1, options.now());
    try {
      const events = await log.append({ session: input.session, turn: held.id, lastSeq }, firstEvents(input, agent), {
        statements: [
          rows.claimSession(input.session, held.id),
          ...places(options, input, agent),
          rows.titleOnce(input.session, input.content.slice(0, TITLE_LENGTH).toWellFormed()),
          rows.insert(row),
        ],
        audit: [options.audit.line(decision(input, agent, held.id, verdict))],
      });
      return { held, firstSeq: lastSeq + 1, lastSeq: lastSeq + events.length };
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'precondition_failed')) throw error;
      const twin = await sentBefore(options, input);
      if (twin !== undefined) return { known: twin };
      refuse(error, agent, options, input);
      if (attempt >= TRIES) throw error;
    }
  }
}

/** Of an agent with several places one person holds at most half, rounded up: nobody locks the others out. */
function places({ rows, budget }: NewTurnOptions, { caller }: TurnInput, agent: Stored<'Agent'>) {
  const agentUid = agent.metadata.uid;
  const most = agent.spec.maxConcurrentTurns;
  return [
    rows.place({ person: caller }, budget?.turnsRunning(caller) ?? DEFAULT_RUNNING, 'person_busy'),
    ...(most === undefined
      ? []
      : [
          rows.place({ agentUid }, most, 'agent_busy'),
          rows.place({ agentUid, person: caller }, Math.ceil(most / 2), 'share_taken'),
        ]),
  ];
}

function refuse({ conflict }: StoreError, agent: Stored<'Agent'>, { budget }: NewTurnOptions, { caller }: TurnInput) {
  const { name } = agent.metadata;
  const most = agent.spec.maxConcurrentTurns ?? 0;
  if (conflict === 'turn_running')
    throw new RuntimeError('turn_running', 'a turn is running in this session: wait for it or stop it');
  if (conflict === 'agent_busy')
    throw new RuntimeError(
      'too_many_turns',
      `${name} runs ${turns(most)} at once, and every place is taken: try again later`,
    );
  if (conflict === 'share_taken')
    throw new RuntimeError(
      'too_many_turns',
      `${name} runs ${turns(most)} at once, of which one person has at most ${Math.ceil(most / 2)}: wait for one of yours`,
    );
  if (conflict === 'person_busy')
    throw new RuntimeError(
      'over_budget',
      `the budget "turns running" is used up: you have ${budget?.turnsRunning(caller) ?? DEFAULT_RUNNING} that run; wait for one or stop it`,
    );
}

const turns = (count: number) => (count === 1 ? 'one turn' : `${count} turns`);

/** The turn that a message with this key made in this session. */
async function sentBefore({ rows, log }: NewTurnOptions, input: TurnInput): Promise<string | undefined> {
  const { session, idempotencyKey } = input;
  const known = idempotencyKey === undefined ? undefined : await rows.byKey(session, idempotencyKey);
  if (known === undefined) return undefined;
  const first = await log.read(session, Number(known.seq) - 1, 2);
  const message = first.find((event) => event.type === 'message');
  const [then, now] = [hashOf(message?.data.text ?? '', message?.data.source), hashOf(input.content, input.source)];
  if (then !== now)
    throw new RuntimeError(
      'idempotency_key_reused',
      `this Idempotency-Key was used for another message: sha256 ${then} then, ${now} now; use a new key`,
    );
  return known.id;
}

function hashOf(text: string, source: string | undefined): string {
  return createHash('sha256')
    .update(JSON.stringify([text, source ?? null]))
    .digest('hex');
}

function firstEvents({ caller, door, content, source }: TurnInput, agent: Stored<'Agent'>): EventDraft[] {
  const { issuer, subject, name } = caller;
  return [
    {
      type: 'turn.started',
      data: {
        door,
        principal: { issuer, subject, ...(name !== undefined && { name }) },
        agent: qualifiedName(agent.metadata),
        agentGeneration: agent.metadata.generation,
      },
    },
    {
      type: 'message',
      messageId: crypto.randomUUID(),
      data: { role: 'user', text: content, ...(source !== undefined && { source }) },
    },
  ];
}

function rowOf(input: TurnInput, agent: Stored<'Agent'>, held: Held, seq: number, at: number): TurnRow {
  return {
    ...held,
    session: input.session,
    seq,
    state: 'running',
    code: null,
    lease_until: at + LEASE_MS,
    agent_uid: agent.metadata.uid,
    agent_generation: agent.metadata.generation,
    principal: personText(input.caller),
    login_session: input.loginSession ?? null,
    door: input.door,
    idempotency_key: input.idempotencyKey ?? null,
    started_at: at,
    ended_at: null,
    usage: null,
  };
}

function decision(input: TurnInput, agent: Stored<'Agent'>, turn: string, verdict: Verdict) {
  return {
    type: 'decision',
    phase: 'single',
    principal: input.caller.audit,
    door: input.door,
    session: input.session,
    turn,
    agent: { ...identityOf(agent), generation: agent.metadata.generation },
    decision: verdict.effect,
    rule: verdict.rule,
    reason: verdict.reason,
    ...(verdict.revision !== undefined && { policyRevision: verdict.revision }),
    ...requestOf(input),
  } as const;
}
