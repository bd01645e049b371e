import { ApiError } from '@onbehalf/client';
import { CommanderError } from 'commander';

/** Part of the interface: scripts depend on them. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  unauthenticated: 3,
  unreachable: 4,
  not_found: 5,
  denied: 6,
  conflict: 7,
  agent: 8,
  timeout: 9,
  interrupted: 130,
} as const;

export type CliErrorCode = Exclude<keyof typeof EXIT, 'ok'>;

/** A failure as a person reads it: the cause, and the command that helps. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: CliErrorCode;
  readonly next: string | undefined;

  constructor(code: CliErrorCode, message: string, next?: string) {
    super(message);
    this.code = code;
    this.next = next;
  }
}

export interface Explained {
  exit: number;
  code: string;
  message: string;
  status?: number;
  next?: string;
  errors?: ApiError['errors'];
}

const BY_STATUS: Readonly<Record<number, CliErrorCode>> = {
  401: 'unauthenticated',
  403: 'denied',
  404: 'not_found',
  408: 'timeout',
  409: 'conflict',
  412: 'conflict',
  501: 'agent',
  504: 'timeout',
};

const NEXT: Partial<Record<CliErrorCode, string>> = {
  unauthenticated: 'onbehalf login (or --local on the machine of the server)',
  unreachable: 'onbehalf up, or --server URL if it runs elsewhere',
  denied: 'onbehalf auth can-i VERB KIND/NAME',
  not_found: 'onbehalf get KIND',
};

/** The one place where an error gets its exit code. `help`: what to read when the command line itself is wrong. */
export function explainError(error: unknown, interrupted: boolean, help = 'onbehalf --help'): Explained {
  if (interrupted) return { exit: EXIT.interrupted, code: 'interrupted', message: 'interrupted' };
  if (error instanceof CliError)
    return {
      exit: EXIT[error.code],
      code: error.code,
      message: error.message,
      ...(error.next !== undefined && { next: error.next }),
    };
  if (error instanceof ApiError) {
    const group = groupOf(error);
    const next = error.code === 'turn_running' ? 'onbehalf sessions stop SESSION' : NEXT[group];
    return {
      exit: EXIT[group],
      code: error.code,
      message: error.message,
      ...(error.status !== 0 && { status: error.status }),
      ...(next !== undefined && { next }),
      ...(error.errors.length > 0 && { errors: error.errors }),
    };
  }
  if (error instanceof CommanderError)
    return { exit: EXIT.usage, code: 'usage', message: usageText(error), next: help };
  return { exit: EXIT.failure, code: 'failure', message: error instanceof Error ? error.message : String(error) };
}

/** What somebody wrote by mistake where no secret belongs is not repeated into a log. */
function usageText(error: CommanderError): string {
  const text = error.message.replace(/^error: /, '').replace(/(--[a-z-]+)=[^']*/g, '$1');
  return error.code === 'commander.excessArguments' ? text.replace(/: .*$/s, '') : text;
}

function groupOf(error: ApiError): CliErrorCode {
  if (error.code === 'unreachable' || /^http_50[234]$/.test(error.code)) return 'unreachable';
  if (error.code === 'model_unavailable') return 'agent';
  return BY_STATUS[error.status] ?? 'failure';
}
