import { type Decision, decideTool, type Principal } from '@onbehalf/access';
import type { Policy } from './types.ts';

type ToolQuestion = Parameters<typeof decideTool>[2];

/** Why a turn that is under way ends over a decision. */
type RunVerdict = Verdict & { code?: 'principal_revoked' | 'access_revoked' | 'agent_disabled' };

/** A decision, and which policy was asked. */
type Verdict = Decision & { revision: number };

/** What a turn asks while it runs, closed over the principal as the table knows them at that moment. */
export interface TurnPolicy {
  run(agents: readonly { uid: string }[]): RunVerdict;
  tool(call: ToolQuestion): Verdict;
}

export function authorizeFor(policy: Policy, principal: Principal, now: () => number): TurnPolicy {
  const current = () => policy.current(principal);
  return {
    run(agents) {
      const who = current();
      const { revision } = policy.table();
      for (const { uid } of agents) {
        const decision = policy.decide(who, 'run', { kind: 'Agent', uid });
        if (decision.effect !== 'allow') {
          const code =
            decision.rule === 'inactive'
              ? 'principal_revoked'
              : decision.rule === 'disabled'
                ? 'agent_disabled'
                : 'access_revoked';
          return { ...decision, code, revision };
        }
      }
      return { effect: 'allow', rule: 'run', reason: 'may run every agent of the chain', revision };
    },
    tool(call) {
      const table = policy.table();
      return { ...decideTool(table, current(), call, { now: now() }), revision: table.revision };
    },
  };
}
