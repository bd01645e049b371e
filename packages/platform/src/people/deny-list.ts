import type { Store } from '../store/index.ts';
import type { PrincipalName } from './types.ts';

export const SEPARATOR = ' ';

/** Keys in the change log: an issuer holds no space. */
export const principalKey = (issuer: string, subject: string): string => `${issuer}${SEPARATOR}${subject}`;
/** `claim` is `jti` or `sid`, or `sid<SECONDS`: then what was issued before that moment. */
export const denyKey = (issuer: string, claim: string, value: string): string => `${issuer} ${claim} ${value}`;

/** What a key denies, and of which age: seconds since the epoch. */
export function deniedBy(key: string): { issuer: string; claim: string; value: string; before: number } {
  const [issuer = '', named = ''] = key.split(SEPARATOR, 2);
  const [claim = '', before] = named.split('<');
  const value = key.slice(issuer.length + named.length + 2);
  return { issuer, claim, value, before: before === undefined ? Number.POSITIVE_INFINITY : Number(before) };
}

/** The tokens with this `sid` that were issued up to now (milliseconds): their issuer may use it for another login. */
export const sidUntil = (now: number) => `sid<${Math.floor(now / 1000) + 1}` as const;

export interface Denial {
  issuer: string;
  claim: 'jti' | 'sid' | `sid<${number}`;
  value: string;
  /** Milliseconds since the epoch. */
  until: number;
}

/** Part of a unit: what carries this claim is refused until then. */
export function denial({ builder }: Pick<Store, 'builder'>, { issuer, claim, value, until }: Denial) {
  const insert = builder.insertInto('deny_list').values({ iss: issuer, claim, value, until });
  const query = insert.onConflict((conflict) => conflict.columns(['iss', 'claim', 'value']).doUpdateSet({ until }));
  return {
    statements: [{ query: query.compile() }],
    changes: [{ kind: 'Deny' as const, key: denyKey(issuer, claim, value), op: 'put' as const }],
  };
}

/** The row of a person of whom nothing is known yet but their name. */
export const nobodyYet = (iss: string, sub: string, at: number) => ({
  ...{ iss, sub, kind: 'person', name: null, email: null, role: null },
  ...{ disabled: 0, not_before: 0, created_at: at, last_seen: null },
});

/** Part of a unit: whatever was issued for this person before `at` is refused. They are not disabled. */
export function notBefore({ builder }: Pick<Store, 'builder'>, { issuer, subject }: PrincipalName, at: number) {
  const insert = builder.insertInto('principals').values({ ...nobodyYet(issuer, subject, at), not_before: at });
  const query = insert.onConflict((conflict) => conflict.columns(['iss', 'sub']).doUpdateSet({ not_before: at }));
  return {
    statements: [{ query: query.compile() }],
    changes: [{ kind: 'Principal' as const, key: principalKey(issuer, subject), op: 'put' as const }],
  };
}
