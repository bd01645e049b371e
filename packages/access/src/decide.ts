import { ACTIONS, type Action, ADMIN_KINDS, type Rule } from './actions.ts';
import { isOwner, verbsOn, verbsOnNamespace } from './matching.ts';
import { bitOf, keysOf, type PolicyResource, type PolicyTable } from './policy.ts';
import type { Door, Principal } from './types.ts';

/** `hide` is answered like what does not exist, `deny` as 403. `rule` is stable, for audit lines. */
export interface Decision {
  effect: 'allow' | 'deny' | 'hide';
  rule: string;
  reason: string;
}

/** What is asked about. A resource of the table is known by its uid; other members are then the table's. */
export interface DecisionResource {
  kind: string;
  namespace?: string;
  name?: string;
  uid?: string;
  owner?: { issuer: string; subject: string };
}

export interface DecisionContext {
  /** Milliseconds since the epoch. */
  now: number;
  door?: Door | 'gateway';
  /** The write touches what only ADMIN may set. */
  privileged?: boolean;
  /** The caller was invited to this thing: a share of the session, a named approver. */
  invited?: boolean;
  /** A delegated caller's own thread: the session that the same caller started for the same principal. */
  ownThread?: boolean;
  /** Why ADMIN looks into another's conversation. */
  reason?: string;
}

interface Question {
  table: PolicyTable;
  principal: Principal;
  action: Action;
  rule: Rule;
  resource: DecisionResource;
  context: DecisionContext;
}

/** Each answers, or leaves it to the next. Nobody answers: deny. */
const STEPS: readonly ((question: Question) => Decision | undefined)[] = [
  inactive,
  delegated,
  decideByRole,
  decideOwn,
  decideOn,
];

/** Pure, over an immutable table. Deny by default; an error denies. */
export function decide(
  table: PolicyTable,
  principal: Principal,
  action: Action,
  resource: DecisionResource,
  context: DecisionContext,
): Decision {
  try {
    if (!Object.hasOwn(ACTIONS, action)) return DENY.default;
    const question = { table, principal, action, rule: ACTIONS[action], resource, context };
    for (const step of STEPS) {
      const decision = step(question);
      if (decision !== undefined) return decision;
    }
    return DENY.default;
  } catch {
    return DENY.error;
  }
}

/** Those of a list that the principal may read. For a delegated caller: agents only. */
export function visible<R extends DecisionResource>(
  table: PolicyTable,
  principal: Principal,
  resources: Iterable<R>,
  context: DecisionContext,
): R[] {
  return [...resources].filter((resource) => decide(table, principal, 'read', resource, context).effect === 'allow');
}

export const DENY = {
  default: deny('default', 'no rule allows this'),
  error: deny('error', 'the decision could not be taken'),
  inactive: deny('inactive', 'the principal is not active'),
  delegated: deny('delegated', 'a delegated caller may only read and run agents'),
  role: deny('role', 'the role may not do this'),
  reason: deny('reason', 'a reason must be given'),
  privileged: deny('privileged', 'only an administrator may set this'),
  adminKind: deny('admin_kind', 'only an administrator may change resources of this kind'),
  verb: deny('verb', 'no grant gives this verb'),
  disabled: deny('disabled', 'it is switched off'),
  stopped: deny('stopped', 'runs are stopped here'),
} as const;

const HIDE = {
  unknown: hide('unknown', 'there is no such resource'),
  unreadable: hide('unreadable', 'no grant gives read'),
  foreign: hide('foreign', 'it belongs to somebody else'),
} as const;

const ALLOW = {
  role: allow('role', 'the role may do this'),
  owner: allow('owner', 'the caller owns it'),
  admin: allow('admin', 'administrators may do this'),
  auditor: allow('auditor', 'auditors may read this'),
  invited: allow('invited', 'the caller was invited'),
  grant: allow('grant', 'a grant gives the verb'),
} as const;

export function isInactive(table: PolicyTable, principal: Principal): boolean {
  return principal.role === 'INACTIVE' || table.disabled.has(keysOf(principal).self);
}

/** Whether a switch stops runs in a namespace. */
export function isStopped(table: PolicyTable, namespace: string): boolean {
  return table.stopAll || table.stoppedNamespaces.has(namespace);
}

function inactive({ table, principal }: Question): Decision | undefined {
  return isInactive(table, principal) ? DENY.inactive : undefined;
}

/** Before any look-up: a delegated caller learns nothing from the difference between 403 and 404. */
function delegated({ principal, rule, resource, context }: Question): Decision | undefined {
  if (!principal.delegated) return undefined;
  const admitted = {
    never: false,
    agents: resource.kind === 'Agent',
    services: principal.kind === 'service',
    thread: context.ownThread === true,
  };
  return admitted[rule.delegated] ? undefined : DENY.delegated;
}

function decideByRole({ principal, rule }: Question): Decision | undefined {
  if (rule.on !== 'role') return undefined;
  return rule.roles.includes(principal.role) ? ALLOW.role : DENY.role;
}

/** Another person's session, approval or turn is hidden, not forbidden. */
function decideOwn({ principal, rule, resource, context }: Question): Decision | undefined {
  if (rule.on !== 'own') return undefined;
  const known = isOwner(principal, resource) || (rule.invited === true && context.invited === true);
  if (known) {
    if (!rule.roles.includes(principal.role)) return DENY.role;
    return isOwner(principal, resource) ? ALLOW.owner : ALLOW.invited;
  }
  if (rule.others?.includes(principal.role) !== true) return HIDE.foreign;
  if (rule.reason === true && !context.reason?.trim()) return DENY.reason;
  return principal.role === 'ADMIN' ? ALLOW.admin : ALLOW.auditor;
}

/** On a resource, or on the namespace in which one is made. First whether it may be seen, then whether it may be done. */
function decideOn({ table, principal, action, rule, resource, context }: Question): Decision | undefined {
  if (rule.verb === undefined) return undefined;
  const target = rule.on === 'namespace' ? undefined : targetOf(table, resource);
  if (rule.on !== 'namespace' && target === undefined) return HIDE.unknown;
  const bits =
    target === undefined
      ? verbsOnNamespace(table, principal, resource.namespace ?? '', context.now)
      : verbsOn(table, principal, target, context.now);
  // Who may make nothing in a namespace learns only that: a namespace is no secret, what is in it may be.
  if (bits === 0) return target === undefined ? DENY.verb : HIDE.unreadable;
  if (!rule.roles.includes(principal.role)) return DENY.role;
  const changes = rule.verb === 'write' || rule.verb === 'admin';
  if (changes && context.privileged === true && principal.role !== 'ADMIN') return DENY.privileged;
  if (changes && ADMIN_KINDS.has(resource.kind) && principal.role !== 'ADMIN') return DENY.adminKind;
  if ((bits & bitOf(rule.verb)) === 0) return DENY.verb;
  if (rule.verb === 'run' && target !== undefined) {
    if (!target.enabled) return DENY.disabled;
    if (isStopped(table, target.namespace)) return DENY.stopped;
  }
  if (principal.role === 'ADMIN') return ALLOW.admin;
  return action !== 'create' && target !== undefined && isOwner(principal, target) ? ALLOW.owner : ALLOW.grant;
}

/** The table's own record. A namespace has none, and is a target by itself; anything else that is not in it is not. */
function targetOf(table: PolicyTable, resource: DecisionResource): PolicyResource | undefined {
  if (resource.kind === 'Namespace') {
    const name = resource.name ?? resource.namespace ?? '';
    return { kind: 'Namespace', namespace: name, name, uid: `Namespace/${name}`, enabled: true };
  }
  const found = resource.uid === undefined ? undefined : table.resources.get(resource.uid);
  return found?.kind === resource.kind ? found : undefined;
}

function allow(rule: string, reason: string): Decision {
  return Object.freeze({ effect: 'allow', rule, reason });
}

function deny(rule: string, reason: string): Decision {
  return Object.freeze({ effect: 'deny', rule, reason });
}

function hide(rule: string, reason: string): Decision {
  return Object.freeze({ effect: 'hide', rule, reason });
}
