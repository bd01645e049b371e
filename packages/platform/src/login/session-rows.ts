import { SecretValue } from '@onbehalf/secret-value';
import type { AuditBody, CommitUnit, LoginSessionRow, Store } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';

/** The tokens of one login. Sealed as one value. */
export interface LoginTokens {
  accessToken: string;
  /** Milliseconds since the epoch. */
  expiresAt: number;
  /** From this moment on the next one is asked for before it is handed out. */
  renewAt: number;
  /** Without one the login ends with its access token. */
  refreshToken?: string;
  /** Of another issuer: says at sign-out which of its logins is meant. */
  idToken?: string;
  /** What the command line refreshes with, of which each is good once (RFC 9700 section 4.14.2). */
  handle?: { current: string; previous?: string; rotatedAt: number };
  /** The access token is not for us to read: the ID token says who signed in. */
  opaque?: true;
  /** The issuer's last answer, which could not be judged yet: it is judged again before another one is asked for. */
  unjudged?: UnjudgedAnswer;
}

/** RFC 6749 section 5.1. */
export interface UnjudgedAnswer {
  /** As it was received. */
  body: string;
  /** Milliseconds since the epoch. */
  receivedAt: number;
}

/** A token with less than this left is renewed, of a short-lived one the second half. */
const RENEW_BELOW = 60_000;

export const renewAt = (expiresAt: number, now: number): number =>
  expiresAt - Math.min(RENEW_BELOW, Math.max(0, expiresAt - now) / 2);

export interface Login {
  idHash: string;
  sid: string | undefined;
  issuer: string;
  subject: string;
  tokens: LoginTokens;
  expiresAt: number;
  fence: number;
}

/** What else ends with a login, in the same unit. */
export type Ending = Pick<CommitUnit, 'statements' | 'changes'>;

export const REFRESHED_ELSEWHERE = 'login_refreshed';

/** The rows of login sessions: ids hashed, tokens sealed to their row. */
export function loginRows({ store, vault, now }: { store: Store; vault: Vault; now: () => number }) {
  const { builder } = store;
  const place = (idHash: string) => ({ kind: 'LoginSession', uid: idHash, field: 'tokens' });
  const seal = (idHash: string, tokens: LoginTokens) =>
    vault.sealInline(place(idHash), SecretValue.of(JSON.stringify(tokens)));

  /** Part of a unit: rows that are gone, and the change that ends what was made from them. */
  const removal = (ids: readonly string[]) => ({
    statements: ids.map((idHash) => ({
      query: builder.deleteFrom('login_sessions').where('id_hash', '=', idHash).compile(),
    })),
    changes: ids.map((idHash) => ({ kind: 'LoginSession' as const, key: idHash, op: 'delete' as const })),
  });

  return {
    async find(idHash: string): Promise<Login | undefined> {
      const query = builder.selectFrom('login_sessions').selectAll().where('id_hash', '=', idHash);
      const [row] = await store.read<LoginSessionRow>(query.compile());
      if (row === undefined || Number(row.expires_at) <= now()) return undefined;
      return {
        idHash,
        sid: row.sid ?? undefined,
        issuer: row.iss,
        subject: row.sub,
        tokens: JSON.parse(vault.openInline(place(idHash), row.sealed).reveal()) as LoginTokens,
        expiresAt: Number(row.expires_at),
        fence: Number(row.fence),
      };
    },
    async insert(login: Omit<Login, 'fence'>, csrfHash: string, line: AuditBody): Promise<void> {
      const { idHash, sid, issuer, subject, tokens, expiresAt } = login;
      const row = {
        ...{ id_hash: idHash, sid: sid ?? null, iss: issuer, sub: subject, sealed: seal(idHash, tokens) },
        ...{ csrf: csrfHash, created_at: now(), expires_at: expiresAt, last_seen: now(), fence: 0 },
      };
      await store.commit({
        statements: [{ query: builder.insertInto('login_sessions').values(row).compile(), expect: 1 }],
        changes: [{ kind: 'LoginSession', key: idHash, op: 'put' }],
        audit: [line],
      });
    },
    /** Only over what was read: another replica may have been first. @throws StoreError `login_refreshed` */
    async replace({ idHash, fence }: Login, tokens: LoginTokens, expiresAt: number, said?: AuditBody): Promise<void> {
      const query = builder
        .updateTable('login_sessions')
        .set({ sealed: seal(idHash, tokens), fence: fence + 1, expires_at: expiresAt, last_seen: now() })
        .where('id_hash', '=', idHash)
        .where('fence', '=', fence);
      await store.commit({
        statements: [{ query: query.compile(), expect: 1, conflict: REFRESHED_ELSEWHERE }],
        ...(said && { audit: [said] }),
      });
    },
    async remove({ idHash }: Pick<Login, 'idHash'>, line: AuditBody, also?: Ending): Promise<void> {
      const { statements, changes } = removal([idHash]);
      await store.commit({
        statements: [...statements, ...(also?.statements ?? [])],
        changes: [...changes, ...(also?.changes ?? [])],
        audit: [line],
      });
    },
    /** The ids of one person's logins, or of one `sid` of an issuer. */
    async ids({ issuer, ...which }: { issuer: string; sid: string } | { issuer: string; subject: string }) {
      const query = builder.selectFrom('login_sessions').select('id_hash').where('iss', '=', issuer);
      const mine = 'sid' in which ? query.where('sid', '=', which.sid) : query.where('sub', '=', which.subject);
      return (await store.read<Pick<LoginSessionRow, 'id_hash'>>(mine.compile())).map((row) => row.id_hash);
    },
    removal,
  };
}
