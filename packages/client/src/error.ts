import type { Problem } from '@onbehalf/resources';

/** What this library says by itself; every other code is the server's. */
export type ClientCode = 'unreachable' | 'invalid_answer' | 'closed';

/** A refusal by the server (RFC 9457), or the lack of an answer (`status` 0). Holds no header and no credential. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ClientCode | (string & {});
  /** HTTP status; 0 where there was no answer. */
  readonly status: number;
  readonly detail: string | undefined;
  /** Each mistake of the documents that were sent. */
  readonly errors: NonNullable<Problem['errors']>;
  /** Seconds to wait, where the server said so. */
  readonly retryAfterS: number | undefined;

  constructor(
    code: ApiError['code'],
    message: string,
    options: {
      status?: number;
      detail?: string | undefined;
      errors?: Problem['errors'] | undefined;
      retryAfterS?: number | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? 0;
    this.detail = options.detail;
    this.errors = options.errors ?? [];
    this.retryAfterS = options.retryAfterS;
  }
}

/** Whatever a refusal holds: a problem document, or what some proxy on the way wrote. */
export function problemError(status: number, text: string, retryAfter: string | null = null): ApiError {
  const retryAfterS = retryAfter !== null && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const problem = (typeof value === 'object' && value !== null ? value : {}) as Partial<Problem>;
  const code = typeof problem.code === 'string' ? problem.code : `http_${status}`;
  const detail = typeof problem.detail === 'string' ? problem.detail : undefined;
  const title = typeof problem.title === 'string' ? problem.title : `the server answered ${status}`;
  const errors = Array.isArray(problem.errors) ? problem.errors : undefined;
  return new ApiError(code, detail ?? title, { status, detail, errors, retryAfterS });
}
