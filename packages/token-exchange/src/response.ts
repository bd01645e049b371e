import { redact, SecretValue } from '@onbehalf/secret-value';
import { TokenExchangeError, untrusted } from './errors.ts';
import { objectOf } from './metadata.ts';
import type { Profile } from './profiles/profile.ts';
import { ACCESS_TOKEN, JWT } from './profiles/rfc8693.ts';
import type { Answer } from './transport.ts';
import type { ExchangeKind, ServiceError } from './types.ts';

export interface GrantedToken {
  readonly token: SecretValue;
  readonly type: string;
  /** Seconds; undefined where the service does not say, or says nonsense. */
  readonly expiresIn: number | undefined;
  readonly scope: string | undefined;
}

/** RFC 8693 section 2.2.1. Refresh and ID tokens in the answer are not even read. */
export function parseGrant(answer: Answer, profile: Profile, kind: ExchangeKind): GrantedToken {
  const body = answer.status === 200 ? objectOf(answer.json) : undefined;
  if (body === undefined) throw untrusted('the answer is not a JSON object', { deviation: 'format' });
  const { access_token, issued_token_type, token_type, expires_in, scope } = body;
  if (typeof access_token !== 'string' || access_token === '' || !/^[\x21-\x7e]+$/.test(access_token)) {
    throw untrusted('the answer holds no access_token', { deviation: 'access_token' });
  }
  if (typeof token_type !== 'string' || token_type.toLowerCase() !== 'bearer') {
    throw untrusted('the answer is not a bearer token', { deviation: 'token_type' });
  }
  if (typeof expires_in === 'number' && expires_in <= 0) {
    throw untrusted('the answer has expired already', { deviation: 'expires_in' });
  }
  return {
    token: SecretValue.of(access_token),
    type: issuedType(issued_token_type, profile, kind),
    expiresIn: typeof expires_in === 'number' && Number.isFinite(expires_in) ? expires_in : undefined,
    scope: typeof scope === 'string' ? scope : undefined,
  };
}

/** Client credentials and assertions answer by RFC 6749, which has no `issued_token_type`. */
function issuedType(value: unknown, profile: Profile, kind: ExchangeKind): string {
  const required = kind !== 'workload' && profile.issuedTokenTypeRequired;
  if (value === undefined && !required) return ACCESS_TOKEN;
  const allowed = kind === 'delegation' ? [profile.delegationTokenType] : [ACCESS_TOKEN, JWT];
  if (typeof value !== 'string' || !allowed.includes(value)) {
    throw untrusted('the answer is missing its issued_token_type, or has one that is no access token', {
      deviation: 'issued_token_type',
    });
  }
  return value;
}

/** Turns an error answer into ours. What the service says is kept without anything that was sent to it. */
export function refusal(
  answer: Answer,
  profile: Profile,
  kind: ExchangeKind,
  sent: readonly SecretValue[],
): TokenExchangeError {
  const body = objectOf(answer.json);
  const error = textOf(body?.error, /^[\x20-\x7e]{1,100}$/);
  const serviceError: ServiceError = { status: answer.status, error, description: describe(body, sent) };
  const code = profile.codeOf({ kind, ...serviceError });
  const what = error === undefined ? `status ${answer.status}` : error;
  const claims = body?.claims;
  return new TokenExchangeError(code, `the token service refused: ${what}`, {
    serviceError,
    claimsChallenge: code === 'interaction_required' && typeof claims === 'string' ? claims : undefined,
    retryAfter: answer.retryAfter,
  });
}

function describe(body: Record<string, unknown> | undefined, sent: readonly SecretValue[]): string | undefined {
  const text = body?.error_description;
  if (typeof text !== 'string') return undefined;
  return redact(text.slice(0, 20_000), sent)
    .replace(/eyJ[\w-]*(\.[\w-]*)*/g, '[token]')
    .replace(/[^\x20-\x7e]+/g, ' ')
    .slice(0, 300);
}

function textOf(value: unknown, pattern: RegExp): string | undefined {
  return typeof value === 'string' && pattern.test(value) ? value : undefined;
}
