/**
 * The runtime: sessions, turns, events, and the one way to call a tool. A turn runs without a socket and goes on when the
 * client leaves; every event is stored before it is told. It asks for decisions through `Authorize` and runs agents
 * through `AgentExecutor`. It never sees a token and never talks to a network.
 */

export { createDeclarativeExecutor, type DeclarativeOptions } from './declarative.ts';
export { CALL_REFUSALS, RuntimeError, TURN_CODES } from './errors.ts';
export type {
  AgentExecutor,
  Authorize,
  Caller,
  EventDraft,
  ToolPolicy,
  TurnBudget,
  TurnContext,
  TurnInput,
  Verdict,
} from './ports.ts';
export { createRuntime, type Runtime, type RuntimeOptions } from './runtime.ts';
