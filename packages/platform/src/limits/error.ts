import { CodedError } from '@onbehalf/resources';
import type { Budget } from './budgets.ts';

/** Somebody has used up a budget. Nothing was done. */
export class LimitError extends CodedError<'rate_limited'> {
  readonly budget: Budget;
  /** Seconds until it is worth trying again. */
  readonly retryAfter: number;

  constructor(budget: Budget, message: string, retryAfter: number) {
    super('rate_limited', message);
    this.budget = budget;
    this.retryAfter = retryAfter;
  }
}
