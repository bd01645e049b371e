import { CodedError } from '@onbehalf/resources';

export type RuntimeErrorCode =
  | 'session_not_found'
  | 'turn_running'
  | 'agent_not_found'
  | 'agent_disabled'
  | 'agent_unsupported'
  | 'too_many_turns'
  | 'over_budget'
  | 'idempotency_key_reused'
  | 'after_beyond_end'
  | 'turn_lost'
  | 'turn_ended'
  | 'turn_waiting'
  | 'turn_elsewhere'
  | 'shutting_down';

export class RuntimeError extends CodedError<RuntimeErrorCode> {}

/** Ends a turn as `failed{code}`. The message is for the person. */
export class TurnFailure extends CodedError<keyof typeof TURN_CODES> {}

/** The person asked to stop. */
export class TurnStopped extends Error {
  override readonly name = 'TurnStopped';
}

/** Why a tool call was not sent, decided here. */
export const CALL_REFUSALS = {
  tool_unknown: 'the model named a tool that the agent does not have',
  tool_not_offered: 'the tool is bound, but missing, drifted, switched off or beyond what the server allows',
  tool_denied: 'the policy does not allow this person this tool through this agent',
  bad_arguments: 'the model wrote arguments that are no JSON object',
  approval_unavailable: 'the tool needs an approval, which this version cannot ask for',
} as const;

/** How a turn can end `failed` or `interrupted`, beside the codes of the model. */
export const TURN_CODES = {
  user_token_required: 'the sign-in ran out in the turn, and nobody signed in again within a day',
  access_revoked: 'the grant was removed while the turn ran',
  principal_revoked: 'the person was disabled while the turn ran',
  agent_disabled: 'the agent was switched off while the turn ran',
  agent_removed: 'the agent was removed while the turn ran',
  max_steps: 'the agent did not finish within its number of steps',
  max_duration: 'the turn took longer than it may',
  store_unavailable: 'the server could not write',
  server_restarted: 'the server was stopped or killed in the turn',
  internal: 'something went wrong in the server',
} as const;
