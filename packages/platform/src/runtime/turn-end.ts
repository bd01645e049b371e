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
