import { AccessError, isRole, type Principal, type PrincipalLookup, type PrincipalRecord } from '@onbehalf/access';
import { type PrincipalRow, type Store, untilRead } from '../store/index.ts';
import { deniedBy, denyKey, principalKey, SEPARATOR } from './deny-list.ts';
import type { PrincipalName, Principals } from './types.ts';

/**
 * Whether somebody whose token was verified at `since` (milliseconds since the epoch) may still enter, as they are known
 * now. @throws AccessError `principal_disabled`, `token_revoked`
 */
export function mayStillEnter(principals: PrincipalLookup, principal: Principal, since: number): void {
  const { issuer, subject, credential } = principal;
  const { sid, jti } = credential;
  const record = principals.lookup(issuer, subject);
  if (record?.disabled) throw new AccessError('principal_disabled', 'the principal is disabled', { issuer, subject });
  const tooOld = record?.notBefore !== undefined && since / 1000 < record.notBefore;
  const named = { issuer, subject, ...(sid && { sid }), ...(jti && { jti }) };
  const denied = principals.denied({ ...named, issuedAt: since / 1000 });
  if (tooOld || denied) throw new AccessError('token_revoked', 'the sign-in was revoked', { issuer, subject });
}

/** Principals and the deny list in memory, following the change log, so that every verification can ask them. */
export async function followPrincipals(store: Store): Promise<Principals> {
  const records = new Map<string, PrincipalRecord>();
  /** Issuer, claim and value to the moments before which they are denied. */
  const denied = new Map<string, Set<number>>();
  const deny = (key: string, put: boolean) => {
    const { issuer, claim, value, before } = deniedBy(key);
    const name = denyKey(issuer, claim, value);
    const known = denied.get(name) ?? new Set();
    if (put) denied.set(name, known.add(before));
    else if (known.delete(before) && known.size === 0) denied.delete(name);
  };
  const listeners = new Set<(ended: readonly PrincipalName[]) => void>();
  let revision = store.revision();

  const keep = (row: PrincipalRow) => records.set(principalKey(row.iss, row.sub), recordOf(row));
  const load = async () => {
    const { builder } = store;
    for (const row of await store.read<PrincipalRow>(builder.selectFrom('principals').selectAll().compile())) keep(row);
    const denials = await store.read(builder.selectFrom('deny_list').selectAll().compile());
    for (const { iss, claim, value } of denials) deny(denyKey(iss, claim, value), true);
  };
  const refresh = async (keys: ReadonlySet<string>, upTo: number) => {
    const ended: PrincipalName[] = [];
    let different = false;
    for (const key of keys) {
      const known = records.get(key);
      const before = known?.notBefore ?? 0;
      const name = nameOf(key);
      const { issuer, subject } = name;
      const query = store.builder.selectFrom('principals').selectAll().where('iss', '=', issuer);
      const [row] = await store.read<PrincipalRow>(query.where('sub', '=', subject).compile());
      if (row === undefined) records.delete(key);
      else keep(row);
      const next = records.get(key);
      // Who was merely seen is who they were.
      different ||= isOff(next) !== isOff(known) || next?.role !== known?.role || next?.notBefore !== known?.notBefore;
      if ((next?.notBefore ?? 0) > before) ended.push(name);
    }
    revision = upTo;
    if (different) for (const listener of listeners) listener(ended);
  };

  let following = load();
  const watch = store.watch(revision, (changes) => {
    // A denial is in its key: it counts at once.
    for (const { kind, key, op } of changes) if (kind === 'Deny') deny(key, op === 'put');
    const keys = new Set(changes.flatMap(({ kind, key }) => (kind === 'Principal' ? [key] : [])));
    const upTo = changes.at(-1)?.revision ?? revision;
    following = following.then(() => untilRead(() => refresh(keys, upTo)));
  });
  await following;

  return {
    lookup: (issuer, subject) => records.get(principalKey(issuer, subject)),
    denied({ issuer, subject, sid, jti, issuedAt = Number.NEGATIVE_INFINITY }) {
      if (denied.size === 0) return false;
      const claims = { sub: subject, sid, jti };
      return Object.entries(claims).some(([name, value]) => {
        const moments = value === undefined ? undefined : denied.get(denyKey(issuer, name, value));
        // What is no number is no moment after it.
        return moments !== undefined && [...moments].some((before) => !(issuedAt >= before));
      });
    },
    disabled: () => [...records].flatMap(([key, record]) => (record.disabled ? [nameOf(key)] : [])),
    has: (issuer) => [...records.keys()].some((key) => key.startsWith(principalKey(issuer, ''))),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async settled(wanted) {
      while (revision < wanted) {
        await following;
        if (revision < wanted) await new Promise((resolve) => setImmediate(resolve));
      }
    },
    close() {
      watch.close();
      listeners.clear();
    },
  };
}

const isOff = (record: PrincipalRecord | undefined) => record?.disabled === true;

function nameOf(key: string): PrincipalName {
  const at = key.indexOf(SEPARATOR);
  return { issuer: key.slice(0, at), subject: key.slice(at + 1) };
}

function recordOf(row: PrincipalRow): PrincipalRecord {
  const notBefore = Number(row.not_before);
  return {
    disabled: Number(row.disabled) !== 0,
    ...(notBefore > 0 && { notBefore: notBefore / 1000 }),
    ...(isRole(row.role) && { role: row.role }),
    ...(isKind(row.kind) && { kind: row.kind }),
    ...(row.name !== null && { name: row.name }),
    ...(row.email !== null && { email: row.email }),
  };
}

export function isKind(kind: string): kind is 'person' | 'service' | 'workload' {
  return kind === 'person' || kind === 'service' || kind === 'workload';
}
