import type { Hooks } from './types.ts';

/**
 * Several hooks as one, asked in this order. The first that refuses withholds the token; the rest are not asked.
 * @param all in the order in which they are asked
 */
export function combineHooks(...all: readonly Hooks[]): Hooks {
  return {
    async beforeExchange(context) {
      for (const hooks of all) await hooks.beforeExchange?.(context);
    },
    async onOutcome(outcome) {
      for (const hooks of all) await hooks.onOutcome?.(outcome);
    },
    onHit(outcome) {
      for (const hooks of all) hooks.onHit?.(outcome);
    },
  };
}
