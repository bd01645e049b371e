import { randomBytes } from 'node:crypto';
import type { Principal, PrincipalLookup } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import type { SubjectSource } from '@onbehalf/token-exchange';
import { type Store, StoreError, type TicketRow } from '../store/index.ts';
import { hashOf } from './hash-of.ts';
import { mayStillEnter } from './principals.ts';
import type { Ticket, Tickets } from './types.ts';

const LIFE = 30_000;

/** What a login is worth at this moment. */
type LoginOfTicket = Pick<Ticket, 'principal' | 'subject'>;

interface Payload {
  agentUid: string;
  /** A login's ticket is worth what the login is worth when it is used. */
  login?: string;
  /** A bearer's: what was verified. The token is not in the row. */
  principal?: Principal;
}

export function createTickets(o: {
  store: Store;
  principals: PrincipalLookup;
  /** A login by the hash of its id. */
  session(idHash: string): Promise<(LoginOfTicket & { idHash: string }) | undefined>;
  now: () => number;
}): Tickets {
  const { store, principals, now } = o;
  const { builder } = store;
  /** Subjects of bearers, until their ticket ends. */
  const bearers = new Map<string, { subject: SubjectSource; until: number }>();

  function keepBearer(hash: string, subject: SubjectSource) {
    for (const [known, { until }] of bearers) if (until <= now()) bearers.delete(known);
    bearers.set(hash, { subject, until: now() + LIFE });
  }

  /** Whoever may not enter any more does not enter with a ticket of a moment ago. */
  function mayEnter(principal: Principal, since: number): boolean {
    try {
      mayStillEnter(principals, principal, since);
      return true;
    } catch {
      return false;
    }
  }

  return {
    async create(principal, agentUid, login = {}) {
      const ticket = randomBytes(32).toString('base64url');
      const hash = hashOf(ticket);
      const payload: Payload =
        login.loginSession === undefined ? { agentUid, principal } : { agentUid, login: login.loginSession };
      if (login.loginSession === undefined && login.subject !== undefined) keepBearer(hash, login.subject);
      const row = { hash, payload: JSON.stringify(payload), expires_at: now() + LIFE, used_at: null };
      await store.commit({ statements: [{ query: builder.insertInto('tickets').values(row).compile(), expect: 1 }] });
      return SecretValue.of(ticket);
    },
    async redeem(ticket, agentUid) {
      const hash = hashOf(ticket.reveal());
      const bearer = bearers.get(hash);
      bearers.delete(hash);
      const update = builder.updateTable('tickets').set({ used_at: now() }).where('hash', '=', hash);
      const once = update.where('used_at', 'is', null).where('expires_at', '>', now());
      try {
        await store.commit({ statements: [{ query: once.compile(), expect: 1, conflict: 'ticket_used' }] });
      } catch (error) {
        if (error instanceof StoreError && error.conflict === 'ticket_used') return undefined;
        throw error;
      }
      const query = builder.selectFrom('tickets').selectAll().where('hash', '=', hash);
      const [row] = await store.read<TicketRow>(query.compile());
      const payload = JSON.parse(row?.payload ?? '{}') as Partial<Payload>;
      if (payload.agentUid !== agentUid) return undefined;
      if (payload.login !== undefined) {
        const session = await o.session(payload.login);
        return session && { principal: session.principal, subject: session.subject, loginIdHash: session.idHash };
      }
      const { principal } = payload;
      if (principal === undefined || !mayEnter(principal, Number(row?.expires_at) - LIFE)) return undefined;
      return { principal, subject: bearer?.subject };
    },
  };
}
