import { isRole, type Role } from '@onbehalf/access';
import { cut, roles } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import type { Audit } from '../audit/index.ts';
import { type PrincipalRow, type Statement, type Store, StoreError } from '../store/index.ts';
import { nobodyYet, principalKey } from './deny-list.ts';
import { PeopleError } from './error.ts';
import { localAdmin } from './local-admin.ts';
import { hashPassword } from './passwords.ts';
import { isKind } from './principals.ts';
import type { PrincipalName, Principals, UserInput, Users, UserView } from './types.ts';

const SEEN_EVERY = 3_600_000;

export function createUsers(o: {
  issuer: string;
  store: Store;
  audit: Audit;
  principals: Principals;
  now: () => number;
}): Users {
  const { issuer, store, audit, principals, now } = o;
  const { builder } = store;
  const seen = new Map<string, number>();

  async function commit(
    name: PrincipalName,
    statements: readonly Statement[],
    what: { by: PrincipalName; outcome: string; data?: Record<string, string | boolean> },
  ) {
    const { revision } = await store.commit({
      statements,
      changes: [{ kind: 'Principal', key: principalKey(name.issuer, name.subject), op: 'put' }],
      audit: [
        audit.line({
          type: 'change',
          phase: 'single',
          principal: what.by,
          target: { kind: 'Principal', person: { issuer: name.issuer, subject: name.subject } },
          outcome: what.outcome,
          ...(what.data && { data: what.data }),
        }),
      ],
    });
    await principals.settled(revision);
  }

  const find = async (iss: string, sub: string) => {
    const query = builder.selectFrom('principals').selectAll().where('iss', '=', iss).where('sub', '=', sub);
    return (await store.read<PrincipalRow>(query.compile()))[0];
  };
  const password = async (sub: string, value: SecretValue): Promise<Statement[]> => {
    const fresh = { hash: await hashPassword(value), failed: 0, locked_until: 0 };
    const insert = builder.insertInto('passwords').values({ sub, ...fresh });
    return [{ query: insert.onConflict((c) => c.column('sub').doUpdateSet(fresh)).compile() }];
  };

  async function create(user: UserInput, by: PrincipalName = localAdmin): Promise<UserView> {
    checkUser(user);
    const row: PrincipalRow = {
      iss: issuer,
      sub: user.subject,
      kind: 'person',
      name: user.name ?? null,
      email: user.email ?? null,
      role: user.role,
      disabled: 0,
      not_before: 0,
      created_at: now(),
      last_seen: null,
    };
    const insert = {
      query: builder.insertInto('principals').values(row).compile(),
      expect: 1,
      conflict: 'user_exists',
    };
    const secret = user.password === undefined ? [] : await password(user.subject, user.password);
    try {
      await commit({ issuer, subject: user.subject }, [insert, ...secret], {
        by,
        outcome: 'user created',
        data: { role: user.role },
      });
    } catch (error) {
      if (!(error instanceof StoreError && error.conflict === 'user_exists')) throw error;
      throw new PeopleError('user_exists', `there is a user ${user.subject} already`);
    }
    return viewOf(row);
  }

  return {
    create,
    async ensure(user, by) {
      const known = await find(issuer, user.subject);
      return known === undefined ? create(user, by) : viewOf(known);
    },
    async list() {
      const query = builder.selectFrom('principals').selectAll().orderBy('iss').orderBy('sub');
      return (await store.read<PrincipalRow>(query.compile())).map(viewOf);
    },
    async setRole(iss, sub, role, by = localAdmin) {
      if (iss !== issuer) throw new PeopleError('role_not_local', 'the role comes with the token of that issuer');
      checkRole(role);
      const before = await find(iss, sub);
      if (before === undefined) throw new PeopleError('user_not_found', `there is no user ${sub}`);
      const update = builder.updateTable('principals').set({ role }).where('iss', '=', iss).where('sub', '=', sub);
      await commit({ issuer: iss, subject: sub }, [{ query: update.compile(), expect: 1 }], {
        by,
        outcome: 'role set',
        data: { role, before: before.role ?? '' },
      });
    },
    async disable(iss, sub, disabled, by = localAdmin) {
      // Whoever may open the socket is the way back in when everything else is locked.
      if (iss === localAdmin.issuer)
        throw new PeopleError('invalid_user', 'the administration socket cannot be disabled');
      const at = now();
      // What was issued before stays refused when the principal is enabled again.
      const off = disabled ? { disabled: 1, not_before: at } : { disabled: 0 };
      const upsert = builder
        .insertInto('principals')
        .values({ ...nobodyYet(iss, sub, at), ...off })
        .onConflict((c) => c.columns(['iss', 'sub']).doUpdateSet(off));
      const logins = builder.deleteFrom('login_sessions').where('iss', '=', iss).where('sub', '=', sub);
      const links = builder.deleteFrom('login_links').where('sub', '=', sub);
      const ended = disabled
        ? [{ query: logins.compile() }, ...(iss === issuer ? [{ query: links.compile() }] : [])]
        : [];
      await commit({ issuer: iss, subject: sub }, [{ query: upsert.compile() }, ...ended], {
        by,
        outcome: disabled ? 'user disabled' : 'user enabled',
      });
    },
    async setPassword(sub, value, by = localAdmin) {
      checkPassword(value);
      if ((await find(issuer, sub)) === undefined) throw new PeopleError('user_not_found', `there is no user ${sub}`);
      await commit({ issuer, subject: sub }, await password(sub, value), { by, outcome: 'password set' });
    },
    async noteSeen({ issuer: iss, subject: sub, kind, name, email, credential }) {
      if (!isKind(kind) || credential.kind === 'local') return;
      const key = principalKey(iss, sub);
      const at = now();
      if ((seen.get(key) ?? 0) + SEEN_EVERY > at) return;
      seen.set(key, at);
      if (seen.size > 100_000) seen.clear();
      const known = iss === issuer ? {} : { name: name ?? null, email: email ?? null };
      const told = { kind, name: name ?? null, email: email ?? null, last_seen: at };
      const insert = builder.insertInto('principals').values({ ...nobodyYet(iss, sub, at), ...told });
      const query = insert.onConflict((c) => c.columns(['iss', 'sub']).doUpdateSet({ last_seen: at, ...known }));
      await store.commit({
        statements: [{ query: query.compile() }],
        changes: [{ kind: 'Principal', key, op: 'put' }],
      });
    },
  };
}

function checkUser({ subject, role, password }: UserInput): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$/.test(subject))
    throw new PeopleError('invalid_user', 'a user name is letters, digits and ._@+-, at most 128');
  checkRole(role);
  if (password !== undefined) checkPassword(password);
}

function checkRole(role: Role): void {
  if (!isRole(role))
    throw new PeopleError('invalid_user', `there is no role ${cut(String(role))}: known are ${roles.join(', ')}`);
}

function checkPassword(password: SecretValue): void {
  const { length } = password.reveal();
  if (length < 8 || length > 256) throw new PeopleError('invalid_user', 'a password has 8 to 256 characters');
}

function viewOf(row: PrincipalRow): UserView {
  const role: Role | undefined = isRole(row.role) ? row.role : undefined;
  return {
    issuer: row.iss,
    subject: row.sub,
    kind: isKind(row.kind) ? row.kind : 'person',
    ...(row.name !== null && { name: row.name }),
    ...(row.email !== null && { email: row.email }),
    ...(role && { role }),
    disabled: Number(row.disabled) !== 0,
    createdAt: new Date(Number(row.created_at)).toISOString(),
    ...(row.last_seen !== null && { lastSeen: new Date(Number(row.last_seen)).toISOString() }),
  };
}
