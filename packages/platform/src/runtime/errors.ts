export type RuntimeErrorCode =
  | 'session_not_found'
  | 'turn_running'
  | 'agent_not_found'
  | 'agent_disabled'
  | 'agent_unsupported'
  | 'too_many_turns'
  | 'after_beyond_end'
  | 'turn_lost'
  | 'shutting_down';

export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly code: RuntimeErrorCode;

  constructor(code: RuntimeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Ends a turn as `failed{code}`. The message is for the person. */
export class TurnFailure extends Error {
  override readonly name = 'TurnFailure';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The person asked to stop. */
export class TurnStopped extends Error {
  override readonly name = 'TurnStopped';
}
