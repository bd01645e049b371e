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
  roles: Map<string, CompiledGrant[]>;
  everyone: Map<string, CompiledGrant[]>;
}

/**
 * What is decided over. Nobody but `createPolicyTable` changes it, and all that one revision changes is replaced in one
 * synchronous step: a decision, which is synchronous too, sees whole revisions.
 */
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

/** What one revision changes. What is named in `removed` and put again is replaced. */
export interface PolicyChange {
  revision: number;
  /** The uids of resources and of grants that are gone. */
  removed?: Iterable<string>;
  resources?: Iterable<PolicyResource>;
  grants?: Iterable<PolicyGrant>;
  /** All that are disabled now; left out where that has not changed. */
  disabled?: Iterable<{ issuer: string; subject: string }>;
}

const BITS: Readonly<Record<Verb, number>> = { read: 1, run: 2, use: 4, write: 8, admin: 16, decide: 32 };
export const ALL_VERBS = 63;

export function bitOf(verb: Verb): number {
  return BITS[verb];
}

/** A table that is made once. */
export const compileTable = (input: PolicyInput): PolicyTable => createPolicyTable(input).table;

/** A table that is kept up to date: a change costs what it changes, not what there is. */
export function createPolicyTable(input: PolicyInput): { table: PolicyTable; change(change: PolicyChange): void } {
  const resources = new Map<string, PolicyResource>();
  const names = new Map<string, PolicyResource>();
  const onResource = new Map<string, GrantIndex>();
  const onNamespace = new Map<string, GrantIndex>();
  const disabled = new Set<string>();
  /** Each grant and where it stands. */
  const grants = new Map<string, PolicyGrant>();
  let revision = input.revision;

  function removeResource(uid: string): void {
    const known = resources.get(uid);
    if (known === undefined) return;
    resources.delete(uid);
    const key = nameKey(known.kind, known.namespace, known.name);
    if (names.get(key)?.uid === uid) names.delete(key);
  }

  function removeGrant(uid: string): void {
    const known = grants.get(uid);
    if (known === undefined) return;
    grants.delete(uid);
    const [indexes, key] = placeOf(known);
    const index = indexes.get(key);
    if (index !== undefined && dropGrant(index, known)) indexes.delete(key);
  }

  const placeOf = ({ on }: PolicyGrant): [Map<string, GrantIndex>, string] =>
    'namespace' in on ? [onNamespace, on.namespace] : [onResource, on.uid];

  function change({ removed = [], resources: put = [], grants: given = [], ...next }: PolicyChange): void {
    revision = next.revision;
    for (const uid of removed) {
      removeResource(uid);
      removeGrant(uid);
    }
    for (const resource of put) {
      removeResource(resource.uid);
      const kept = Object.freeze({ ...resource });
      resources.set(kept.uid, kept);
      names.set(nameKey(kept.kind, kept.namespace, kept.name), kept);
    }
    for (const grant of given) {
      removeGrant(grant.uid);
      grants.set(grant.uid, grant);
      const [indexes, key] = placeOf(grant);
      const { on } = grant;
      if ('namespace' in on) addGrant(indexFor(indexes, key), grant, undefined, on.namespace);
      else addGrant(indexFor(indexes, key), grant, on.kind, resources.get(on.uid)?.namespace ?? '');
    }
    if (next.disabled === undefined) return;
    disabled.clear();
    for (const { issuer, subject } of next.disabled) disabled.add(pairKey(issuer, subject));
  }

  const { switches, ...rest } = input;
  change(rest);
  return {
    change,
    table: Object.freeze({
      get revision() {
        return revision;
      },
      ...{ resources, names, onResource, onNamespace, disabled },
      stopAll: switches?.stopAll ?? false,
      stoppedNamespaces: new Set(switches?.stoppedNamespaces),
    }),
  };
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
  for (const [list, key] of listsOf(index, grant.to)) push(list, key, compiled);
}

/** Where a grant stands in an index. */
function listsOf(index: GrantIndex, to: Grantee): readonly (readonly [Map<string, CompiledGrant[]>, string])[] {
  if ('principal' in to) return [[index.principals, pairKey(to.principal.issuer, to.principal.subject)]];
  if ('group' in to)
    return [
      [index.groups, pairKey(to.group.issuer, to.group.name)],
      [index.groupIssuers, to.group.issuer],
    ];
  return 'role' in to ? [[index.roles, to.role]] : [[index.everyone, to.everyone.issuer]];
}

/** Whether the index is empty now. */
function dropGrant(index: GrantIndex, { uid, to }: PolicyGrant): boolean {
  for (const [map, key] of listsOf(index, to)) {
    const left = map.get(key)?.filter((grant) => grant.uid !== uid) ?? [];
    if (left.length > 0) map.set(key, left);
    else map.delete(key);
  }
  return Object.values(index).every((map: Map<string, CompiledGrant[]>) => map.size === 0);
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

function push(map: Map<string, CompiledGrant[]>, key: string, grant: CompiledGrant): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [grant]);
  else list.push(grant);
}

function nameKey(kind: string, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}
