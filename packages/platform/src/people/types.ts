import type { Principal, PrincipalLookup, Role } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import type { SubjectSource } from '@onbehalf/token-exchange';

export interface PrincipalName {
  issuer: string;
  subject: string;
}

export interface UserInput {
  subject: string;
  name?: string;
  email?: string;
  role: Role;
  password?: SecretValue;
}

export interface UserView extends PrincipalName {
  kind: 'person' | 'service' | 'workload';
  name?: string;
  email?: string;
  role?: Role;
  disabled: boolean;
  /** ISO 8601 */
  createdAt: string;
  /** ISO 8601 */
  lastSeen?: string;
}

/** Local people of the embedded issuer; of other issuers' people only role and `disabled` are kept. Every change is audited. */
export interface Users {
  /** @throws PeopleError `user_exists`, `invalid_user` */
  create(user: UserInput, by?: PrincipalName): Promise<UserView>;
  /** Creates the user where there is none; leaves one that is there as it is. */
  ensure(user: UserInput, by?: PrincipalName): Promise<UserView>;
  /** The principals of every issuer. */
  list(): Promise<UserView[]>;
  /** @throws PeopleError `user_not_found`, `role_not_local` */
  setRole(issuer: string, subject: string, role: Role, by?: PrincipalName): Promise<void>;
  /** Also of a principal that was never seen. Ends logins, refresh tokens and links when it disables. */
  disable(issuer: string, subject: string, disabled: boolean, by?: PrincipalName): Promise<void>;
  /** @throws PeopleError `user_not_found`, `invalid_user` */
  setPassword(subject: string, password: SecretValue, by?: PrincipalName): Promise<void>;
  /** Keeps people of other issuers in the list: at most one write per principal and hour. */
  noteSeen(principal: Principal): Promise<void>;
}

export interface Ticket {
  principal: Principal;
  subject: SubjectSource | undefined;
  loginIdHash?: string;
}

/** One WebSocket each: 30 s, one agent, one use. */
export interface Tickets {
  /** `login`: the cookie session or the bearer's subject that asks. A bearer's token is kept in memory only. */
  create(
    principal: Principal,
    agentUid: string,
    login?: { loginSession?: string | undefined; subject?: SubjectSource | undefined },
  ): Promise<SecretValue>;
  redeem(ticket: SecretValue, agentUid: string): Promise<Ticket | undefined>;
}

export interface Principals extends PrincipalLookup {
  /** For decisions on behalf of somebody whose token was verified a while ago. */
  disabled(): readonly PrincipalName[];
  /** Called after the view has taken a change over. `ended`: whose every token of before is refused from now on. */
  onChange(listener: (ended: readonly PrincipalName[]) => void): () => void;
  /** Resolves when the view holds at least this revision of the change log. */
  settled(revision: number): Promise<void>;
  /** Whether anybody of this issuer is known. */
  has(issuer: string): boolean;
  close(): void;
}
