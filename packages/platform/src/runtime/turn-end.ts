import { ModelError } from '../models/index.ts';
import { StoreError } from '../store/index.ts';
import { RuntimeError, TurnFailure, TurnStopped } from './errors.ts';
import type { EventDraft, FinishedTurn } from './ports.ts';

/** How a turn ends over an error: its code is for programs, its message for the person. */
export function endOf(error: unknown): Omit<FinishedTurn, 'usage'> {
  if (error instanceof TurnStopped) return { state: 'stopped' };
  if (error instanceof TurnFailure || error instanceof ModelError)
    return { state: 'failed', code: error.code, message: error.message };
  if (error instanceof RuntimeError && error.code === 'shutting_down')
    return { state: 'interrupted', code: 'server_restarted', message: 'the server was stopped in this turn' };
  if (error instanceof StoreError || (error instanceof Error && error.name === 'AuditError'))
    return { state: 'failed', code: 'store_unavailable', message: 'the server cannot write at the moment' };
  return { state: 'failed', code: 'internal', message: 'something went wrong in the server' };
}

/** Ends of the model's last answer that are none of its own choice, and that nobody would see in the text. */
const ANSWER_ENDS: Readonly<Record<string, string>> = {
  length: 'the answer was cut off where it reached the length that the model may write',
  content_filter: 'the provider’s filter held back the answer or a part of it',
  refusal: 'the model declined to answer',
};

/** How a turn ends whose last answer ended for this reason. */
export function completedBy(finishReason: string): Omit<FinishedTurn, 'usage'> {
  const message = Object.hasOwn(ANSWER_ENDS, finishReason) ? ANSWER_ENDS[finishReason] : undefined;
  return { state: 'completed', ...(message !== undefined && { code: finishReason, message }) };
}

/** What the log says of it. */
export function endedEvent({ state, code, message }: Omit<FinishedTurn, 'usage'>): EventDraft {
  return {
    type: 'turn.ended',
    data: {
      state: state as 'completed',
      ...(code !== undefined && { code }),
      ...(message !== undefined && { message }),
    },
  };
}
