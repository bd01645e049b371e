import type { SecretValue } from '@onbehalf/secret-value';
import { addressKey, LimitError, type Limits } from '../limits/index.ts';
import type { PasswordRow, Store } from '../store/index.ts';
import { createTurns, HashingBusy } from './hashing.ts';
import { passwordMatches } from './passwords.ts';

/** Wrong passwords before the first pause. */
const FREE = 5;
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 15_000;
/** Of one name, so many wait for a pause to end. */
const MOST_WAITING = 5;
const MOST_UNKNOWN = 10_000;

export interface PasswordTry {
  subject: string;
  password: SecretValue;
  /** As `Limits.address` says. */
  address: string;
  /** The id of a browser that this person has signed in with before. */
  browser?: string | undefined;
}

interface Count {
  failed: number;
  /** The next password of the name is looked at no sooner. */
  pauseUntil: number;
}

/** Each wrong password after the fifth doubles the pause, whoever tried it. */
const afterFailure = ({ failed }: Count, now: number): Count => {
  const count = failed + 1;
  const pause = count < FREE ? 0 : Math.min(FIRST_PAUSE * 2 ** (count - FREE), LONGEST_PAUSE);
  return { failed: count, pauseUntil: pause === 0 ? 0 : now + pause };
};

/**
 * Passwords, so many for each address and for each name from it. A name alone refuses nobody, or anybody could lock its
 * person out: what was tried for it from everywhere makes the next try wait. A browser that its person has signed in
 * with before neither waits nor shares the budgets of its address. Names that nobody has behave like others.
 */
export function createAttempts(o: {
  store: Store;
  limits: Pick<Limits, 'take'>;
  now: () => number;
  /** Milliseconds. */
  sleep?: (ms: number) => Promise<unknown>;
}): (tried: PasswordTry) => Promise<boolean> {
  const { store, limits, now, sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms)) } = o;
  const { builder } = store;
  const unknown = new Map<string, Count>();
  const queues = new Map<string, { last: Promise<unknown>; length: number }>();
  const hashing = createTurns();

  const find = async (sub: string): Promise<PasswordRow | undefined> =>
    (await store.read<PasswordRow>(builder.selectFrom('passwords').selectAll().where('sub', '=', sub).compile()))[0];

  const countOf = (sub: string, row: PasswordRow | undefined): Count =>
    row
      ? { failed: Number(row.failed), pauseUntil: Number(row.locked_until) }
      : (unknown.get(sub) ?? { failed: 0, pauseUntil: 0 });

  async function keep(sub: string, row: PasswordRow | undefined, count: Count) {
    if (row === undefined) {
      unknown.delete(sub);
      if (count.failed > 0) unknown.set(sub, count);
      if (unknown.size > MOST_UNKNOWN) unknown.delete(unknown.keys().next().value ?? sub);
      return;
    }
    const set = { failed: count.failed, locked_until: count.pauseUntil };
    const query = builder.updateTable('passwords').set(set).where('sub', '=', sub);
    await store.commit({ statements: [{ query: query.compile() }] });
  }

  async function attempt({ subject, password, address, browser }: PasswordTry): Promise<boolean> {
    const row = await find(subject);
    const count = countOf(subject, row);
    const pause = browser === undefined ? count.pauseUntil - now() : 0;
    if (pause > 0) await sleep(pause);
    const right = await hashing(browser ?? addressKey(address), () => passwordMatches(password, row?.hash));
    if (!right) await keep(subject, row, afterFailure(count, now()));
    else if (count.failed > 0) await keep(subject, row, { failed: 0, pauseUntil: 0 });
    return right;
  }

  /** One at a time for each name: a hundred guesses at once are a hundred guesses. */
  async function inTurn(tried: PasswordTry): Promise<boolean> {
    const key = `${tried.browser ?? ''}\n${tried.subject}`;
    const queue = queues.get(key) ?? { last: Promise.resolve(), length: 0 };
    if (queue.length >= MOST_WAITING)
      throw new LimitError('passwordsOfName', 'too many passwords wait for this name', 15);
    const turn = queue.last.then(
      () => attempt(tried),
      () => attempt(tried),
    );
    queues.set(key, Object.assign(queue, { last: turn, length: queue.length + 1 }));
    try {
      return await turn;
    } finally {
      queue.length -= 1;
      if (queue.length === 0) queues.delete(key);
    }
  }

  /** Whether it is right. @throws LimitError */
  return async (tried) => {
    const { subject, address, browser } = tried;
    const from = addressKey(address);
    // Before anything is computed.
    if (browser === undefined) limits.take('passwords', from);
    limits.take('passwordsOfName', `${browser ?? from}\n${subject}`);
    try {
      return await inTurn(tried);
    } catch (error) {
      throw error instanceof HashingBusy ? new LimitError('passwords', error.message, 1) : error;
    }
  };
}
