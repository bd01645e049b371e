import {
  capRole,
  compileTable,
  decide,
  legacyIssuer,
  type PolicyGrant,
  type PolicyResource,
  type PolicyTable,
  type Principal,
  type Role,
} from '@onbehalf/access';
import { LOCAL_ADMIN, type Principals } from '../people/index.ts';
import { namespaceOf, type Registry, type Stored } from '../store/index.ts';
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
  const listeners = new Set<() => void>();
  const noted = new Map<string, Principal>();
  let table: PolicyTable = compile();
  let caps = capsOf(o.registry);

  function compile(): PolicyTable {
    return compileTable({
      revision: o.registry.revision(),
      resources: [...o.registry.all()].map(
        (resource): PolicyResource => ({
          kind: resource.kind,
          namespace: namespaceOf(resource),
          name: resource.metadata.name,
          uid: resource.metadata.uid,
          ...(resource.metadata.owner && { owner: resource.metadata.owner }),
          enabled: !('enabled' in resource.spec) || resource.spec.enabled !== false,
        }),
      ),
      grants: o.registry.list('Grant').flatMap(grantOf),
      disabled: o.principals.disabled(),
    });
  }
  /** A Grant that ends closes sockets and stops calls as one that is taken away. */
  let expiry: NodeJS.Timeout | undefined;
  function refresh() {
    table = compile();
    caps = capsOf(o.registry);
    clearTimeout(expiry);
    const at = nextExpiry(o.registry.list('Grant'), o.now());
    if (at !== undefined) expiry = setTimeout(refresh, Math.min(at - o.now() + 1, 2_147_483_647)).unref();
    for (const listener of [...listeners]) listener();
  }
  const stops = [o.registry.onChange(refresh), o.principals.onChange(refresh)];
  refresh();

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
        namesOf(trusted).map((issuer): [string, Role] => [issuer, trusted.spec.maxRole ?? 'REGULAR']),
      ),
  );

/** The issuers that a TrustedIssuer stands for: itself, one for each tenant, or that of shared-secret tokens. */
function namesOf({ metadata, spec }: Stored<'TrustedIssuer'>): string[] {
  if (spec.legacyHs256) return [legacyIssuer(metadata.name)];
  if (!spec.issuer.includes('{tenantid}')) return [spec.issuer];
  return (spec.tenants ?? []).map((tenant) => spec.issuer.replace('{tenantid}', tenant));
}

/** When the next Grant ends, or nothing. */
function nextExpiry(grants: readonly Stored<'Grant'>[], now: number): number | undefined {
  const ends = grants.flatMap(({ spec }) => (spec.expiresAt === undefined ? [] : [Date.parse(spec.expiresAt)]));
  const ahead = ends.filter((at) => at > now);
  return ahead.length === 0 ? undefined : Math.min(...ahead);
}

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
      ? { namespace: on.namespace ?? grant.metadata.namespace ?? 'default' }
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
