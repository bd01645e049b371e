import type { IncomingMessage } from 'node:http';
import { addressBlock } from './address-block.ts';
import { type Budget, COUNTED, type Counted, HELD, type Held, RATES, type Rate } from './budgets.ts';
import { clientAddresses } from './client-address.ts';
import { LimitError } from './error.ts';

/** Keys that one budget tells apart at once; the one that was used longest ago goes first. */
const MOST_KEYS = 50_000;

export type LimitSettings = Readonly<Record<Budget, number>>;

/** How much of a budget is used: of those that are counted elsewhere nothing is said. */
export interface LimitUsage {
  budget: Budget;
  limit: number;
  used?: number;
  says: string;
}

export interface Limits {
  /** Takes `amount` from what fills again with time. @throws LimitError: then nothing is taken */
  take(budget: Rate, key: string, amount?: number): void;
  /** Takes one until the returned function gives it back. @throws LimitError */
  hold(budget: Held, key: string): () => void;
  /** @throws LimitError when there are as many already */
  check(budget: Counted, there: number): void;
  most(budget: Budget): number;
  /** What is told to a person about themselves; `counts`: of what is counted elsewhere. */
  usage(person: { issuer: string; subject: string }, counts?: Partial<Record<Counted, number>>): LimitUsage[];
  /** The address that a request counts for, as it is told: the last hop that is no proxy of ours. */
  address(request: IncomingMessage): string;
}

export const personKey = ({ issuer, subject }: { issuer: string; subject: string }): string => `${issuer}\n${subject}`;

/** The key of an address: of IPv6 its /64. */
export const addressKey = addressBlock;

/** Named budgets per person and per address, in memory. */
export function createLimits(o: {
  settings: LimitSettings;
  trustedProxies: readonly string[];
  /** Milliseconds, of a clock that does not jump. */
  elapsed?: () => number;
}): Limits {
  const { settings, elapsed = () => performance.now() } = o;
  const buckets = new Map<Rate, Map<string, { left: number; at: number }>>();
  const held = new Map<Held, Map<string, number>>();
  const mapOf = <K, V>(all: Map<K, Map<string, V>>, budget: K) => {
    const known = all.get(budget) ?? new Map<string, V>();
    all.set(budget, known);
    return known;
  };
  const perMs = (budget: Rate) => settings[budget] / (RATES[budget].seconds * 1000);

  function left(budget: Rate, key: string): number {
    const known = buckets.get(budget)?.get(key);
    if (known === undefined) return settings[budget];
    return Math.min(settings[budget], known.left + (elapsed() - known.at) * perMs(budget));
  }

  function refuse(budget: Budget, says: string, retryAfter: number): never {
    throw new LimitError(budget, `too many: ${settings[budget]} ${says} (budget ${budget})`, retryAfter);
  }

  return {
    take(budget, key, amount = 1) {
      const now = left(budget, key);
      if (now < amount)
        refuse(budget, RATES[budget].says, Math.max(1, Math.ceil((amount - now) / perMs(budget) / 1000)));
      const all = mapOf(buckets, budget);
      all.delete(key);
      all.set(key, { left: now - amount, at: elapsed() });
      if (all.size > MOST_KEYS) all.delete(all.keys().next().value ?? key);
    },
    hold(budget, key) {
      const all = mapOf(held, budget);
      const count = all.get(key) ?? 0;
      if (count >= settings[budget]) refuse(budget, HELD[budget].says, 1);
      all.set(key, count + 1);
      let given = false;
      return () => {
        if (given) return;
        given = true;
        const rest = (all.get(key) ?? 1) - 1;
        if (rest > 0) all.set(key, rest);
        else all.delete(key);
      };
    },
    check(budget, there) {
      if (there >= settings[budget]) refuse(budget, COUNTED[budget].says, 60);
    },
    most: (budget) => settings[budget],
    usage(person, counts = {}) {
      const key = personKey(person);
      const of = <B extends Budget>(
        table: Readonly<Record<string, { of: string; says: string }>>,
        used: (name: B) => number | undefined,
      ) =>
        Object.entries(table).flatMap(([name, { of: whom, says }]) => {
          const count = used(name as B);
          const usage = { budget: name as B, limit: settings[name as B], says };
          return whom === 'person' ? [{ ...usage, ...(count !== undefined && { used: count }) }] : [];
        });
      return [
        ...of<Rate>(RATES, (budget) => Math.ceil(settings[budget] - left(budget, key))),
        ...of<Held>(HELD, (budget) => held.get(budget)?.get(key) ?? 0),
        ...of<Counted>(COUNTED, (budget) => counts[budget]),
      ];
    },
    address: clientAddresses(o.trustedProxies),
  };
}
