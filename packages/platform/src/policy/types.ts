import type { Action, Decision, DecisionContext, DecisionResource, PolicyTable, Principal } from '@onbehalf/access';
import type { PrincipalName } from '../people/index.ts';
import type { WriterMayUse } from './bound-tools.ts';

/** The policy table in force. */
export interface Policy {
  table(): PolicyTable;
  decide(
    principal: Principal,
    action: Action,
    resource: DecisionResource,
    context?: Partial<DecisionContext>,
  ): Decision;
  /** Called when somebody could be decided about otherwise than before. */
  onChange(listener: () => void): () => void;
  /** Remembers what a verified token said of somebody, until it ends: their groups are known from nothing else. */
  note(principal: Principal): void;
  /** Somebody who is not on the line at the moment, as they are known now. */
  principalOf(ref: PrincipalName): Principal;
  writerMayUse: WriterMayUse;
  /** A principal whose token was verified a while ago, as they are known now. */
  current(principal: Principal): Principal;
  /** Has everybody ask again. */
  refresh(): void;
  close(): void;
}
