import {
  capRole,
  createPolicyTable,
  decide,
  issuerNames,
  legacyIssuer,
  type PolicyGrant,
  type PolicyResource,
  type Principal,
  type Role,
} from '@onbehalf/access';
import { namespaceOrDefault } from '@onbehalf/resources';
import { LOCAL_ADMIN, type Principals } from '../people/index.ts';
import { namespaceOf, type Registry, type Stored, type StoredResource } from '../store/index.ts';
import type { Policy } from './types.ts';

const MAX_NOTED = 10_000;

/** Compiles the table in one place, from what is stored, and swaps it whole when something changes. */
export function createPolicy(o: {
  registry: Registry;
  now: () => number;
  principals: Pick<Principals, 'lookup' | 'disabled' | 'onChange'>;
  /** The embedded issuer: what its people may is in the principals, and no cap is for them. */
  issuer: string;
}): Policy {
  const { registry } = o;
  const listeners = new Set<() => void>();
  const noted = new Map<string, Principal>();
  /** What was made of each resource: its generation, and whom a Grant is bound to. */
  const seen = new Map<string, string>();
  /** When Grants end. */
  const ends = new Map<string, number>();
  let caps = capsOf(registry);
  const all = [...registry.all()];
  const { table, change } = createPolicyTable({
    revision: registry.revision(),
    resources: all.map(resourceOf),
    grants: registry.list('Grant').flatMap(grantOf),
    disabled: o.principals.disabled(),
  });
  for (const resource of all) take(resource);

  function take(resource: StoredResource): void {
    const { uid } = resource.metadata;
    seen.set(uid, versionOf(resource));
    ends.delete(uid);
    if (resource.kind === 'Grant' && resource.spec.expiresAt !== undefined)
      ends.set(uid, Date.parse(resource.spec.expiresAt));
  }

  /** A Grant that ends closes sockets and stops calls as one that is taken away. */
  let expiry: NodeJS.Timeout | undefined;
  function awaitEnd(): void {
    clearTimeout(expiry);
    const now = o.now();
    let next = Number.POSITIVE_INFINITY;
    for (const at of ends.values()) if (at > now && at < next) next = at;
    if (next === Number.POSITIVE_INFINITY) return;
    expiry = setTimeout(refresh, Math.min(next - now + 1, 2_147_483_647)).unref();
  }
  function refresh(): void {
    awaitEnd();
    for (const listener of [...listeners]) listener();
  }

  /** What a write of a status alone changes is nothing that anybody would decide otherwise for. */
  function follow(uids: ReadonlySet<string>): void {
    const changed = [...uids].flatMap((uid) => {
      const resource = registry.byUid(uid);
      const before = seen.get(uid);
      return before === (resource && versionOf(resource)) ? [] : [{ uid, resource, before }];
    });
    if (changed.length === 0) return;
    change({
      revision: registry.revision(),
      // Also what stays: a Grant may have lost its target.
      removed: changed.map(({ uid }) => uid),
      resources: changed.flatMap(({ resource }) => (resource ? [resourceOf(resource)] : [])),
      grants: changed.flatMap(({ resource }) => (resource?.kind === 'Grant' ? grantOf(resource) : [])),
    });
    for (const { uid, resource } of changed) {
      if (resource) take(resource);
      else {
        seen.delete(uid);
        ends.delete(uid);
      }
    }
    caps = capsOf(registry);
    // Nobody's rights were about what was not there, unless it is what gives them.
    const giving = (kind: string | undefined) => kind === 'Grant' || kind === 'TrustedIssuer';
    if (changed.some(({ resource, before }) => before !== undefined || giving(resource?.kind))) refresh();
  }
  function followPeople(): void {
    change({ revision: registry.revision(), disabled: o.principals.disabled() });
    refresh();
  }
  const stops = [registry.onChange(follow), o.principals.onChange(followPeople)];
  awaitEnd();

  /** What an issuer could make of somebody yesterday, it may not be able to today; or nobody trusts it any more. */
  function capped(principal: Principal): Principal {
    const { issuer } = principal;
    if (issuer === LOCAL_ADMIN.issuer || issuer === o.issuer) return principal;
    const cap = caps.get(issuer);
    const role = cap === undefined ? 'INACTIVE' : capRole(principal.role, cap);
    return role === principal.role ? principal : { ...principal, role };
  }

  const policy: Policy = {
    refresh,
    close() {
      clearTimeout(expiry);
      for (const stop of stops) stop();
    },
    table: () => table,
    decide: (principal, action, resource, context) =>
      decide(table, principal, action, resource, { door: 'api', ...context, now: o.now() }),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    note(principal) {
      const key = `${principal.issuer}\n${principal.subject}`;
      noted.delete(key);
      noted.set(key, principal);
      if (noted.size > MAX_NOTED) noted.delete(noted.keys().next().value ?? '');
    },
    principalOf(ref): Principal {
      if (ref.issuer === LOCAL_ADMIN.issuer && ref.subject === LOCAL_ADMIN.subject) return LOCAL_ADMIN;
      const known = o.principals.lookup(ref.issuer, ref.subject);
      const seen = noted.get(`${ref.issuer}\n${ref.subject}`);
      if (seen && (seen.credential.expiresAt ?? 0) > o.now() && !known?.disabled) return capped(seen);
      return capped({
        issuer: ref.issuer,
        subject: ref.subject,
        kind: known?.kind ?? 'person',
        role: known?.disabled ? 'INACTIVE' : (known?.role ?? 'REGULAR'),
        groups: [],
        groupsUnknown: true,
        delegated: false,
        credential: { kind: 'bearer' },
      });
    },
    // What comes from a file or the environment has no writer.
    writerMayUse: (writer, { kind, uid }) =>
      writer === undefined ? 'allow' : policy.decide(policy.principalOf(writer), 'use', { kind, uid }).effect,
    current(principal) {
      const known = o.principals.lookup(principal.issuer, principal.subject);
      if (known?.disabled) return { ...principal, role: 'INACTIVE' };
      if (principal.issuer !== o.issuer) return capped(principal);
      return known?.role ? { ...principal, role: known.role } : principal;
    },
  };
  return policy;
}

/** What each issuer can make of anyone at most; who is not in it is not trusted. */
const capsOf = (registry: Registry): ReadonlyMap<string, Role> =>
  new Map(
    registry
      .list('TrustedIssuer')
      .flatMap((trusted) =>
        issuersOf(trusted).map((issuer): [string, Role] => [issuer, trusted.spec.maxRole ?? 'REGULAR']),
      ),
  );

/** The issuers that a TrustedIssuer stands for: itself, one for each tenant, or that of shared-secret tokens. */
export function issuersOf({ metadata, spec }: Stored<'TrustedIssuer'>): string[] {
  return spec.legacyHs256 ? [legacyIssuer(metadata.name)] : issuerNames(spec);
}

const resourceOf = (resource: StoredResource): PolicyResource => ({
  kind: resource.kind,
  namespace: namespaceOf(resource),
  name: resource.metadata.name,
  uid: resource.metadata.uid,
  ...(resource.metadata.owner && { owner: resource.metadata.owner }),
  enabled: !('enabled' in resource.spec) || resource.spec.enabled !== false,
});

const versionOf = ({ kind, metadata, status }: StoredResource): string =>
  `${metadata.generation} ${metadata.owner?.issuer} ${metadata.owner?.subject} ${kind === 'Grant' ? status.targetUid : ''}`;

/** A Grant that is bound to no target yet gives nothing. */
function grantOf(grant: Stored<'Grant'>): PolicyGrant[] {
  const { to, on, verbs, tools, expiresAt } = grant.spec;
  const grantee = to.principal
    ? { principal: to.principal }
    : to.group
      ? { group: to.group }
      : to.role
        ? { role: to.role }
        : to.everyone
          ? { everyone: to.everyone }
          : undefined;
  const target =
    on.kind === undefined
      ? { namespace: on.namespace ?? namespaceOrDefault(grant.metadata) }
      : grant.status.targetUid === undefined
        ? undefined
        : { kind: on.kind, uid: grant.status.targetUid };
  if (!grantee || !target) return [];
  return [
    {
      uid: grant.metadata.uid,
      to: grantee,
      on: target,
      verbs,
      ...(tools && { tools: { ...(tools.allow && { allow: tools.allow }), ...(tools.deny && { deny: tools.deny }) } }),
      ...(expiresAt !== undefined && { expiresAt: Date.parse(expiresAt) }),
    },
  ];
}
