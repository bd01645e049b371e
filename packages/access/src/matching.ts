import {
  ALL_VERBS,
  type CompiledGrant,
  type GrantIndex,
  keysOf,
  type PolicyResource,
  type PolicyTable,
} from './policy.ts';
import type { Principal } from './types.ts';

type Target = Pick<PolicyResource, 'kind' | 'namespace' | 'uid' | 'owner'>;

/** The verbs that a principal has on a resource, as bits: of ADMIN, of its owner, and of every grant that matches. */
export function verbsOn(table: PolicyTable, principal: Principal, target: Target, now: number): number {
  if (principal.role === 'ADMIN' || isOwner(principal, target)) return ALL_VERBS;
  return (
    verbsIn(table.onResource.get(target.uid), principal, target.kind, now) |
    (target.namespace === '' ? 0 : verbsIn(table.onNamespace.get(target.namespace), principal, target.kind, now))
  );
}

/** The verbs that a principal has on a namespace itself. */
export function verbsOnNamespace(table: PolicyTable, principal: Principal, namespace: string, now: number): number {
  if (principal.role === 'ADMIN') return ALL_VERBS;
  return verbsIn(table.onNamespace.get(namespace), principal, undefined, now);
}

export function isOwner(principal: Principal, target: { owner?: PolicyResource['owner'] }): boolean {
  return target.owner?.issuer === principal.issuer && target.owner.subject === principal.subject;
}

/**
 * The grants on a resource and its namespace that may restrict a principal's tools. Unlike for verbs, a token that does
 * not say its groups matches every group of its issuer.
 */
export function restrictionsOn(table: PolicyTable, principal: Principal, target: Target, now: number) {
  const found: { grant: CompiledGrant; certain: boolean }[] = [];
  for (const index of [table.onResource.get(target.uid), table.onNamespace.get(target.namespace)]) {
    if (index === undefined) continue;
    const certain = matchesIn(index, principal).map((grant) => ({ grant, certain: true }));
    const possible = principal.groupsUnknown ? (index.groupIssuers.get(principal.issuer) ?? []) : [];
    found.push(...certain, ...possible.map((grant) => ({ grant, certain: false })));
  }
  return found.filter(({ grant }) => counts(grant, target.kind, now));
}

/** The uids of the grants on a resource or its namespace that are for this principal. Ownership and ADMIN need none. */
export function grantsFor(table: PolicyTable, principal: Principal, target: Target, now: number): string[] {
  const indexes = [table.onResource.get(target.uid), table.onNamespace.get(target.namespace)];
  return indexes
    .flatMap((index) => (index === undefined ? [] : matchesIn(index, principal)))
    .filter((grant) => counts(grant, target.kind, now))
    .map(({ uid }) => uid);
}

function verbsIn(index: GrantIndex | undefined, principal: Principal, kind: string | undefined, now: number): number {
  if (index === undefined) return 0;
  const { self, groups } = keysOf(principal);
  let bits =
    sum(index.principals.get(self), kind, now) |
    sum(index.roles.get(principal.role), kind, now) |
    sum(index.everyone.get(principal.issuer), kind, now);
  if (index.groups.size > 0) for (const group of groups) bits |= sum(index.groups.get(group), kind, now);
  return bits;
}

function sum(grants: readonly CompiledGrant[] | undefined, kind: string | undefined, now: number): number {
  let bits = 0;
  if (grants !== undefined) for (const grant of grants) if (counts(grant, kind, now)) bits |= grant.verbs;
  return bits;
}

function matchesIn(index: GrantIndex, principal: Principal): CompiledGrant[] {
  const { self, groups } = keysOf(principal);
  return [
    index.principals.get(self),
    index.roles.get(principal.role),
    index.everyone.get(principal.issuer),
    ...groups.map((group) => index.groups.get(group)),
  ].flatMap((grants) => grants ?? []);
}

/** A grant on an object holds for that kind only, so that a uid taken over by another kind brings nothing along. */
function counts(grant: CompiledGrant, kind: string | undefined, now: number): boolean {
  return now < grant.expiresAt && (grant.kind === undefined || kind === undefined || grant.kind === kind);
}
