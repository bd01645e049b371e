import type { Principal, Role } from './types.ts';

/** Every verb implies `read`; `admin` implies all. */
export type Verb = 'read' | 'run' | 'use' | 'write' | 'admin' | 'decide';

/** What the policy needs to know of a resource. `uid`, never the name, is what grants hold on to. */
export interface PolicyResource {
  kind: string;
  /** Empty for a cluster-scoped kind. */
  namespace: string;
  name: string;
  uid: string;
  owner?: { issuer: string; subject: string };
  /** Whether it is switched on. */
  enabled: boolean;
}

export type Grantee =
  | { principal: { issuer: string; subject: string } }
  | { group: { issuer: string; name: string } }
  | { role: Role }
  | { everyone: { issuer: string } };

export interface PolicyGrant {
  uid: string;
  to: Grantee;
  on: { kind: string; uid: string } | { namespace: string };
  verbs: readonly Verb[];
  /**
   * `server/tool` in the target's namespace, `namespace.server/tool` elsewhere; `*` stands for any server or any tool.
   * A bare server name in `deny` means that name in every namespace.
   */
  tools?: { allow?: readonly string[]; deny?: readonly string[] };
  /** Milliseconds since the epoch. */
  expiresAt?: number;
}

/** Switches of the whole installation. */
export interface PolicySwitches {
  /** Nobody runs an agent or calls a tool. */
  stopAll?: boolean;
  /** Nobody runs an agent or calls a tool in these namespaces. */
  stoppedNamespaces?: readonly string[];
}

export interface PolicyInput {
  /** Of the change log, for audit lines. */
  revision: number;
  resources: Iterable<PolicyResource>;
  grants: Iterable<PolicyGrant>;
  switches?: PolicySwitches;
  /** Principals that are disabled: for decisions on behalf of somebody whose token was verified a while ago. */
  disabled?: Iterable<{ issuer: string; subject: string }>;
}

export interface CompiledGrant {
  uid: string;
  /** The namespace that bare server names in `tools` belong to. */
  namespace: string;
  kind: string | undefined;
  verbs: number;
  expiresAt: number;
  allow: readonly string[] | undefined;
  deny: readonly string[] | undefined;
}

/** The grants on one target, by whom they are for. */
export interface GrantIndex {
  principals: Map<string, CompiledGrant[]>;
  groups: Map<string, CompiledGrant[]>;
  /** Group grants by issuer, for a token that does not say its groups. */
  groupIssuers: Map<string, CompiledGrant[]>;
  roles: Map<Role, CompiledGrant[]>;
  everyone: Map<string, CompiledGrant[]>;
}

/** Immutable: made whole by `compileTable` and swapped whole when something changes. */
export interface PolicyTable {
  readonly revision: number;
  readonly resources: ReadonlyMap<string, PolicyResource>;
  readonly names: ReadonlyMap<string, PolicyResource>;
  readonly onResource: ReadonlyMap<string, GrantIndex>;
  readonly onNamespace: ReadonlyMap<string, GrantIndex>;
  readonly disabled: ReadonlySet<string>;
  readonly stopAll: boolean;
  readonly stoppedNamespaces: ReadonlySet<string>;
}

const BITS: Readonly<Record<Verb, number>> = { read: 1, run: 2, use: 4, write: 8, admin: 16, decide: 32 };
export const ALL_VERBS = 63;

export function bitOf(verb: Verb): number {
  return BITS[verb];
}

export function compileTable(input: PolicyInput): PolicyTable {
  const resources = new Map<string, PolicyResource>();
  const names = new Map<string, PolicyResource>();
  for (const resource of input.resources) {
    const kept = Object.freeze({ ...resource });
    resources.set(kept.uid, kept);
    names.set(nameKey(kept.kind, kept.namespace, kept.name), kept);
  }
  const onResource = new Map<string, GrantIndex>();
  const onNamespace = new Map<string, GrantIndex>();
  for (const grant of input.grants) {
    if ('namespace' in grant.on) {
      addGrant(indexFor(onNamespace, grant.on.namespace), grant, undefined, grant.on.namespace);
    } else {
      const target = resources.get(grant.on.uid);
      addGrant(indexFor(onResource, grant.on.uid), grant, grant.on.kind, target?.namespace ?? '');
    }
  }
  return Object.freeze({
    revision: input.revision,
    resources,
    names,
    onResource,
    onNamespace,
    disabled: new Set([...(input.disabled ?? [])].map(({ issuer, subject }) => pairKey(issuer, subject))),
    stopAll: input.switches?.stopAll ?? false,
    stoppedNamespaces: new Set(input.switches?.stoppedNamespaces),
  });
}

/** The resource of that name, or undefined. */
export function findResource(
  table: PolicyTable,
  kind: string,
  namespace: string,
  name: string,
): PolicyResource | undefined {
  return table.names.get(nameKey(kind, namespace, name));
}

/** Injective, because neither an issuer nor a group's issuer holds a NUL. */
export function pairKey(issuer: string, subject: string): string {
  return `${issuer}\u0000${subject}`;
}

interface Keys {
  self: string;
  groups: readonly string[];
}

const keysOfPrincipal = new WeakMap<Principal, Keys>();

/** A principal's keys, computed once: principals are made anew at each verification and never changed. */
export function keysOf(principal: Principal): Keys {
  const known = keysOfPrincipal.get(principal);
  if (known !== undefined) return known;
  const { issuer, subject, groups, groupsUnknown } = principal;
  // Groups belong to their issuer: a partner's `finance` is not our `finance`.
  const keys = {
    self: pairKey(issuer, subject),
    groups: groupsUnknown ? [] : groups.map((group) => pairKey(issuer, group)),
  };
  keysOfPrincipal.set(principal, keys);
  return keys;
}

function addGrant(index: GrantIndex, grant: PolicyGrant, kind: string | undefined, namespace: string): void {
  const compiled: CompiledGrant = {
    uid: grant.uid,
    namespace,
    kind,
    verbs: grant.verbs.reduce((bits, verb) => bits | (verb === 'admin' ? ALL_VERBS : BITS[verb] | BITS.read), 0),
    expiresAt: grant.expiresAt ?? Number.POSITIVE_INFINITY,
    allow: grant.tools?.allow,
    deny: grant.tools?.deny,
  };
  const { to } = grant;
  if ('principal' in to) push(index.principals, pairKey(to.principal.issuer, to.principal.subject), compiled);
  else if ('group' in to) {
    push(index.groups, pairKey(to.group.issuer, to.group.name), compiled);
    push(index.groupIssuers, to.group.issuer, compiled);
  } else if ('role' in to) push(index.roles, to.role, compiled);
  else push(index.everyone, to.everyone.issuer, compiled);
}

function indexFor(indexes: Map<string, GrantIndex>, key: string): GrantIndex {
  const known = indexes.get(key);
  if (known !== undefined) return known;
  const index: GrantIndex = {
    principals: new Map(),
    groups: new Map(),
    groupIssuers: new Map(),
    roles: new Map(),
    everyone: new Map(),
  };
  indexes.set(key, index);
  return index;
}

function push<K>(map: Map<K, CompiledGrant[]>, key: K, grant: CompiledGrant): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [grant]);
  else list.push(grant);
}

function nameKey(kind: string, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}
