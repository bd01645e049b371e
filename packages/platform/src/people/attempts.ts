import type { SecretValue } from '@onbehalf/secret-value';
import type { PasswordRow, Store } from '../store/index.ts';
import { passwordMatches } from './passwords.ts';

/** Wrong passwords before the first pause. */
const FREE = 5;
const FIRST_PAUSE = 15_000;
const LONGEST_PAUSE = 15 * 60_000;
const MOST_UNKNOWN = 10_000;

export type Attempt = { result: 'right' | 'wrong' } | { result: 'locked'; until: number };

interface Count {
  failed: number;
  lockedUntil: number;
}

/** Each wrong password after the fifth doubles the pause. While it lasts, the right one is not looked at either. */
const afterFailure = ({ failed }: Count, now: number): Count => {
  const count = failed + 1;
  const pause = count < FREE ? 0 : Math.min(FIRST_PAUSE * 2 ** (count - FREE), LONGEST_PAUSE);
  return { failed: count, lockedUntil: pause === 0 ? 0 : now + pause };
};

/** Passwords with lock-out. Names that nobody has behave like others: same time, same pauses. */
export function createAttempts({ store, now }: { store: Store; now: () => number }) {
  const { builder } = store;
  const unknown = new Map<string, Count>();
  const queues = new Map<string, Promise<unknown>>();

  const find = async (sub: string): Promise<PasswordRow | undefined> =>
    (await store.read<PasswordRow>(builder.selectFrom('passwords').selectAll().where('sub', '=', sub).compile()))[0];

  async function keep(sub: string, row: PasswordRow | undefined, count: Count) {
    if (row === undefined) {
      unknown.delete(sub);
      if (count.failed > 0) unknown.set(sub, count);
      if (unknown.size > MOST_UNKNOWN) unknown.delete(unknown.keys().next().value ?? sub);
      return;
    }
    const set = { failed: count.failed, locked_until: count.lockedUntil };
    const query = builder.updateTable('passwords').set(set).where('sub', '=', sub);
    await store.commit({ statements: [{ query: query.compile() }] });
  }

  async function attempt(sub: string, password: SecretValue): Promise<Attempt> {
    const row = await find(sub);
    const count = row
      ? { failed: Number(row.failed), lockedUntil: Number(row.locked_until) }
      : (unknown.get(sub) ?? { failed: 0, lockedUntil: 0 });
    if (count.lockedUntil > now()) return { result: 'locked', until: count.lockedUntil };
    if (await passwordMatches(password, row?.hash)) {
      if (count.failed > 0) await keep(sub, row, { failed: 0, lockedUntil: 0 });
      return { result: 'right' };
    }
    await keep(sub, row, afterFailure(count, now()));
    return { result: 'wrong' };
  }

  /** One at a time for each name: a hundred guesses at once are a hundred guesses. */
  return (sub: string, password: SecretValue): Promise<Attempt> => {
    const before = queues.get(sub) ?? Promise.resolve();
    const turn = before.then(
      () => attempt(sub, password),
      () => attempt(sub, password),
    );
    queues.set(sub, turn);
    const done = () => {
      if (queues.get(sub) === turn) queues.delete(sub);
    };
    turn.then(done, done);
    return turn;
  };
}
