import { SecretValue } from '@onbehalf/secret-value';
import { TokenExchangeError, untrusted } from './errors.ts';
import { objectOf } from './json.ts';
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

/** `b64token` of RFC 6750 section 2.1. */
const BEARER_TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/**
 * RFC 8693 section 2.2.1. Refresh and ID tokens in the answer are not even read. `sent` is what went there: handed back,
 * it would reach a tool server as the exchanged token.
 */
export function parseGrant(
  answer: Answer,
  profile: Profile,
  kind: ExchangeKind,
  sent: readonly SecretValue[],
): GrantedToken {
  const body = answer.status === 200 ? objectOf(answer.json) : undefined;
  if (body === undefined) throw untrusted('the answer is not a JSON object', { deviation: 'format' });
  const { access_token, issued_token_type, token_type, expires_in, scope } = body;
  if (typeof access_token !== 'string' || !BEARER_TOKEN.test(access_token)) {
    throw untrusted('the answer holds no access_token', { deviation: 'access_token' });
  }
  if (sent.some((secret) => isHandedBack(access_token, secret.reveal()))) {
    throw untrusted('the answer is a token that was sent', { deviation: 'handed_back' });
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

/** Or a padded copy. A short secret may be in there by chance. */
const isHandedBack = (token: string, sent: string): boolean =>
  token === sent || (sent.length >= 16 && token.includes(sent));

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
  const error = readText(body?.error, sent, 100);
  const serviceError: ServiceError = {
    status: answer.status,
    error,
    description: readText(body?.error_description, sent, 300),
  };
  const code = profile.codeOf({ kind, ...serviceError });
  const what = error === undefined ? `status ${answer.status}` : error;
  const claims = body?.claims;
  // It is passed on whole, or not at all.
  const challenge = typeof claims === 'string' && withoutSecrets(claims, sent) === claims ? claims : undefined;
  return new TokenExchangeError(code, `the token service refused: ${what}`, {
    serviceError,
    claimsChallenge: code === 'interaction_required' ? challenge : undefined,
    retryAfter: answer.retryAfter,
  });
}

/** A member of an error answer, printable, cut, and without what was sent. */
function readText(value: unknown, sent: readonly SecretValue[], length: number): string | undefined {
  if (typeof value !== 'string') return undefined;
  const text = withoutSecrets(value, sent)
    .replace(/[^\x20-\x7e]+/g, ' ')
    .slice(0, length);
  return text === '' ? undefined : text;
}

/** Whole, cut off behind its first characters, or percent-encoded; and what looks like a JWT, whoever's it is. */
function withoutSecrets(text: string, sent: readonly SecretValue[]): string {
  let clean = text;
  for (const secret of sent) {
    const head = secret.reveal().slice(0, 16);
    for (const form of new Set([head, encodeURIComponent(head)])) {
      const [before = '', ...after] = clean.split(form);
      clean = [before, ...after.map((rest) => rest.replace(/^[\w\-.~+/=%]*/, ''))].join('[secret]');
    }
  }
  return clean.replace(/eyJ[\w-]*(\.[\w-]*)*/g, '[token]');
}
