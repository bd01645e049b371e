import { AccessError } from '@onbehalf/access';
import { CodedError, type DocumentError, type Problem } from '@onbehalf/resources';
import { TokenExchangeError } from '@onbehalf/token-exchange';
import { z } from 'zod';
import { AuditError } from '../audit/index.ts';
import { ControlError } from '../control/index.ts';
import { EgressError } from '../egress/index.ts';
import { IssuerError } from '../issuer/index.ts';
import { LimitError } from '../limits/index.ts';
import { ModelError } from '../models/index.ts';
import { PeopleError } from '../people/index.ts';
import { RuntimeError } from '../runtime/index.ts';
import { StoreError } from '../store/index.ts';
import { VaultError } from '../vault/index.ts';

/** Every code that a client of the API can get, with its status and what it means. docs/errors.md lists the same. */
export const PROBLEMS = {
  unauthenticated: [401, 'A credential is needed'],
  forbidden: [403, 'Not allowed'],
  csrf: [403, 'The request does not come from the console itself'],
  not_found: [404, 'There is no such thing'],
  method_not_allowed: [405, 'This address has no such method'],
  conflict: [409, 'Somebody else wrote first'],
  stale_resource_version: [409, 'The resource was changed since it was read'],
  managed_elsewhere: [409, 'The resource is managed elsewhere'],
  already_exists: [409, 'The name is taken'],
  witness_agrees: [409, 'The audit witness agrees with the store'],
  turn_running: [409, 'A turn is running in this session'],
  turn_not_waiting: [409, 'The turn does not wait for a token'],
  tool_changed: [409, 'The tool is not the one that was looked at'],
  agent_disabled: [409, 'The agent is switched off'],
  too_large: [413, 'The request is too large'],
  query_too_large: [414, 'The query is too large'],
  headers_too_large: [431, 'The request has too many headers'],
  unsupported_media_type: [415, 'The body must be application/json'],
  misdirected: [421, 'This server does not answer for that host name'],
  invalid_request: [400, 'The request is not valid'],
  invalid_documents: [422, 'The documents are not valid; nothing was changed'],
  idempotency_key_reused: [422, 'The Idempotency-Key was used for another message'],
  after_beyond_end: [400, 'The session is not that long'],
  agent_unsupported: [501, 'This version cannot run that kind of agent'],
  models_disabled: [403, 'Models are switched off'],
  too_many_turns: [429, 'The agent is busy'],
  rate_limited: [429, 'Too many requests'],
  model_unavailable: [502, 'The model provider cannot be reached'],
  internal: [500, 'Something went wrong in the server'],
  unavailable: [503, 'The server cannot write at the moment'],
  storage_full: [507, 'The disk of the server is full'],
  shutting_down: [503, 'The server is stopping'],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type ProblemCode = keyof typeof PROBLEMS;

/** An error that a route answers with. */
export class HttpProblem extends CodedError<ProblemCode> {
  readonly errors: readonly DocumentError[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ProblemCode,
    detail: string,
    options: { errors?: readonly DocumentError[]; headers?: Record<string, string> } = {},
  ) {
    super(code, detail);
    this.errors = options.errors;
    this.headers = options.headers ?? {};
  }

  get status(): number {
    return PROBLEMS[this.code][0];
  }
}

/** What is not there and what may not be seen are one answer. */
export const NOT_FOUND = 'there is no such thing, or you may not see it';

const RUNTIME: Partial<Record<RuntimeError['code'], ProblemCode>> = {
  session_not_found: 'not_found',
  agent_not_found: 'not_found',
  turn_running: 'turn_running',
  agent_disabled: 'agent_disabled',
  agent_unsupported: 'agent_unsupported',
  too_many_turns: 'too_many_turns',
  over_budget: 'rate_limited',
  idempotency_key_reused: 'idempotency_key_reused',
  after_beyond_end: 'after_beyond_end',
  shutting_down: 'shutting_down',
};

const PEOPLE: Partial<Record<(PeopleError | IssuerError)['code'], ProblemCode>> = {
  user_not_found: 'not_found',
  user_exists: 'already_exists',
  client_exists: 'already_exists',
};

/** The one place where an error becomes an answer. What is not known here is `internal`, and says nothing. */
export function toProblem(error: unknown): HttpProblem {
  if (error instanceof HttpProblem) return error;
  if (error instanceof AccessError) {
    const code = error.status === 403 ? 'forbidden' : error.status === 404 ? 'not_found' : 'unauthenticated';
    return new HttpProblem(code, error.message);
  }
  if (error instanceof RuntimeError) {
    const code = RUNTIME[error.code] ?? 'internal';
    // Hidden and missing read the same.
    const busy = PROBLEMS[code][0] === 429;
    return new HttpProblem(code, code === 'not_found' ? NOT_FOUND : error.message, {
      ...(busy && { headers: { 'retry-after': '5' } }),
    });
  }
  if (error instanceof ControlError)
    return new HttpProblem(error.code, error.message, error.errors && { errors: error.errors });
  if (error instanceof PeopleError || error instanceof IssuerError)
    return new HttpProblem(PEOPLE[error.code] ?? 'invalid_request', error.message);
  if (error instanceof LimitError)
    return new HttpProblem('rate_limited', error.message, { headers: { 'retry-after': String(error.retryAfter) } });
  if (error instanceof z.ZodError) return new HttpProblem('invalid_request', zodDetail(error));
  if (error instanceof StoreError) return storeProblem(error);
  if (error instanceof AuditError)
    return error.code === 'witness_agrees'
      ? new HttpProblem('witness_agrees', error.message)
      : new HttpProblem(
          'unavailable',
          error.code === 'audit_unavailable' ? 'the audit cannot be written' : error.message,
          { headers: { 'retry-after': '5' } },
        );
  if (error instanceof ModelError)
    return error.code === 'model_disabled'
      ? new HttpProblem('models_disabled', error.message)
      : new HttpProblem('model_unavailable', error.message);
  if (error instanceof VaultError)
    return error.code === 'masked_value'
      ? new HttpProblem('invalid_request', 'a masked value was sent back: leave it out to keep the stored one')
      : new HttpProblem('unavailable', `a credential cannot be used (${error.code})`);
  if (error instanceof EgressError || error instanceof TokenExchangeError)
    return new HttpProblem('invalid_request', error.message);
  return frameworkProblem(error);
}

function storeProblem(error: StoreError): HttpProblem {
  const retry = { headers: { 'retry-after': '5' } };
  if (error.code === 'precondition_failed') {
    const code =
      error.conflict === 'resource_version'
        ? 'stale_resource_version'
        : error.conflict === 'resource_exists'
          ? 'already_exists'
          : 'conflict';
    return new HttpProblem(code, 'somebody else wrote first: read again and repeat');
  }
  if (error.code === 'store_full')
    return new HttpProblem('storage_full', 'nothing was changed; make room and try again', retry);
  return new HttpProblem('unavailable', 'the store cannot be written at the moment', retry);
}

/** What fastify refuses by itself. */
function frameworkProblem(error: unknown): HttpProblem {
  const { code, statusCode } = error as { code?: string; statusCode?: number };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new HttpProblem('too_large', 'the body is larger than this address takes');
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new HttpProblem('unsupported_media_type', 'send application/json');
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new HttpProblem('invalid_request', 'the body is no valid JSON, or the address is malformed');
  return new HttpProblem('internal', 'the server has noted what happened');
}

export function zodDetail(error: z.ZodError): string {
  return error.issues
    .map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`)
    .join('; ')
    .slice(0, 1_000);
}

export function problemBody(problem: HttpProblem): Problem {
  const [status, title] = PROBLEMS[problem.code];
  return {
    type: `urn:onbehalf:problem:${problem.code}`,
    title,
    status,
    code: problem.code,
    detail: problem.message,
    ...(problem.errors && { errors: [...problem.errors] }),
  };
}
