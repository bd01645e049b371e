import type { Verb } from './policy.ts';
import type { Role } from './types.ts';

/** What a route asks for. Each has one row below. */
export type Action =
  | Verb
  | 'list'
  | 'resources.list'
  | 'apply'
  | 'create'
  | 'login'
  | 'me.read'
  | 'ticket.create'
  | 'session.list'
  | 'session.read'
  | 'session.post'
  | 'session.stop'
  | 'session.update'
  | 'session.delete'
  | 'session.share'
  | 'session.token'
  | 'approval.read'
  | 'approval.decide'
  | 'grant.read'
  | 'grant.write'
  | 'budget.write'
  | 'audit.read'
  | 'audit.export'
  | 'usage.read'
  | 'exchanges.read'
  | 'exchanges.revoke'
  | 'access.can-i'
  | 'access.review'
  | 'principals.read'
  | 'principals.write'
  | 'service-accounts.read'
  | 'service-accounts.write'
  | 'system.read'
  | 'system.write';

/** One row of the policy. */
export interface Rule {
  /** `verb`: on a resource. `namespace`: on where it is made. `own`: on a thing of its owner's. `role`: on nothing. */
  on: 'verb' | 'namespace' | 'own' | 'role';
  verb?: Verb;
  /** Who may at all. */
  roles: readonly Role[];
  /** `own`: who may besides the owner. */
  others?: readonly Role[];
  /** `own`: these others must give a reason, which the owner is told. */
  reason?: true;
  /** `own`: whom the caller of `decide` named in the context may, too: a watcher, an approver. */
  invited?: true;
  /** Whether somebody who acts for the principal may: always, only on agents, only a service, only in its own thread. */
  delegated: 'never' | 'agents' | 'services' | 'thread';
}

/** RESTRICTED may see who it is and what it once said, and leave. */
const EVERYONE = ['RESTRICTED', 'REGULAR', 'AUDITOR', 'ADMIN'] as const;
const ACTIVE = ['REGULAR', 'AUDITOR', 'ADMIN'] as const;
/** Who talks to agents. An AUDITOR reads evidence, and no content. */
const USERS = ['REGULAR', 'ADMIN'] as const;
const AUDITORS = ['AUDITOR', 'ADMIN'] as const;
const ADMINS = ['ADMIN'] as const;

/** The whole policy but for grants and ownership, on one screen. */
export const ACTIONS: Readonly<Record<Action, Rule>> = {
  read: { on: 'verb', verb: 'read', roles: ACTIVE, delegated: 'agents' },
  run: { on: 'verb', verb: 'run', roles: USERS, delegated: 'agents' },
  use: { on: 'verb', verb: 'use', roles: ACTIVE, delegated: 'never' },
  write: { on: 'verb', verb: 'write', roles: ACTIVE, delegated: 'never' },
  admin: { on: 'verb', verb: 'admin', roles: ACTIVE, delegated: 'never' },
  decide: { on: 'verb', verb: 'decide', roles: ACTIVE, delegated: 'services' },
  'ticket.create': { on: 'verb', verb: 'run', roles: USERS, delegated: 'never' },
  'grant.read': { on: 'verb', verb: 'admin', roles: ACTIVE, delegated: 'never' },
  'grant.write': { on: 'verb', verb: 'admin', roles: ACTIVE, delegated: 'never' },
  'budget.write': { on: 'verb', verb: 'admin', roles: ACTIVE, delegated: 'never' },

  create: { on: 'namespace', verb: 'write', roles: ACTIVE, delegated: 'never' },

  // A conversation is its owner's. ADMIN reads one with a reason, and stops or deletes it, but never speaks in it.
  'session.read': { on: 'own', roles: EVERYONE, others: ADMINS, reason: true, invited: true, delegated: 'thread' },
  'session.post': { on: 'own', roles: USERS, delegated: 'thread' },
  'session.stop': { on: 'own', roles: ACTIVE, others: ADMINS, delegated: 'thread' },
  'session.update': { on: 'own', roles: ACTIVE, delegated: 'never' },
  'session.delete': { on: 'own', roles: ACTIVE, others: ADMINS, delegated: 'never' },
  'session.share': { on: 'own', roles: USERS, delegated: 'never' },
  'session.token': { on: 'own', roles: USERS, delegated: 'thread' },
  'approval.read': { on: 'own', roles: ACTIVE, invited: true, delegated: 'never' },
  'approval.decide': { on: 'own', roles: ACTIVE, invited: true, delegated: 'never' },
  'audit.read': { on: 'own', roles: ACTIVE, others: AUDITORS, delegated: 'never' },
  'usage.read': { on: 'own', roles: ACTIVE, others: AUDITORS, delegated: 'never' },
  'exchanges.read': { on: 'own', roles: ACTIVE, others: AUDITORS, delegated: 'never' },
  'exchanges.revoke': { on: 'own', roles: ACTIVE, others: ADMINS, delegated: 'never' },

  // Agents, and the models that they may use; what a gateway asks about a path that names no agent.
  list: { on: 'role', roles: USERS, delegated: 'agents' },
  'resources.list': { on: 'role', roles: ACTIVE, delegated: 'never' },
  apply: { on: 'role', roles: ACTIVE, delegated: 'never' },
  'session.list': { on: 'role', roles: EVERYONE, delegated: 'never' },
  login: { on: 'role', roles: EVERYONE, delegated: 'never' },
  'me.read': { on: 'role', roles: EVERYONE, delegated: 'never' },
  'access.can-i': { on: 'role', roles: ACTIVE, delegated: 'never' },
  'access.review': { on: 'role', roles: AUDITORS, delegated: 'never' },
  'audit.export': { on: 'role', roles: AUDITORS, delegated: 'never' },
  'principals.read': { on: 'role', roles: AUDITORS, delegated: 'never' },
  'principals.write': { on: 'role', roles: ADMINS, delegated: 'never' },
  'service-accounts.read': { on: 'role', roles: AUDITORS, delegated: 'never' },
  'service-accounts.write': { on: 'role', roles: ADMINS, delegated: 'never' },
  'system.read': { on: 'role', roles: AUDITORS, delegated: 'never' },
  'system.write': { on: 'role', roles: ADMINS, delegated: 'never' },
};

/** Kinds that only ADMIN creates and changes: they decide whose tokens are believed and where they are sent. */
export const ADMIN_KINDS: ReadonlySet<string> = new Set(['TrustedIssuer', 'TokenService', 'Budget', 'Namespace']);
