import type { FormEndpoint } from '../types.ts';
import { json, type WireRequest, type WireResponse } from '../wire.ts';
import { type Check, errorAnswer, pass, TokenError } from './errors.ts';

/** Bytes of a form: two JWTs of 16 KiB and what goes with them. */
export const FORM_LIMIT = 64 * 1024;

/** Each may stand once; RFC 8693 would allow several `resource` and `audience`, this service takes one target. */
const ONCE = new Set([
  ...['grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type', 'scope', 'assertion'],
  ...['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type', 'delegate'],
  ...['code', 'code_verifier', 'redirect_uri', 'refresh_token', 'device_code', 'token', 'token_type_hint'],
  // OpenID Connect Back-Channel Logout 1.0 section 2.5.
  'logout_token',
]);

export type Form = ReadonlyMap<string, string>;

interface FormFacts {
  request: WireRequest;
  type: string;
  text: string;
  fields: readonly (readonly [name: string, value: string])[];
}

const occurs = ({ fields }: FormFacts, name: string) => fields.filter(([field]) => field === name).length;

const CHECKS: readonly Check<FormFacts>[] = [
  {
    // RFC 6749 section 3.2
    name: 'post_only',
    error: 'invalid_request',
    says: 'the endpoint takes POST',
    passes: ({ request }) => request.method === 'POST',
  },
  {
    // RFC 6749 section 2.3.1: nothing of a token request belongs into an address, which ends up in logs.
    name: 'body_only',
    error: 'invalid_request',
    says: 'parameters belong into the body',
    passes: ({ request }) => !request.url.includes('?'),
  },
  {
    name: 'form_encoded',
    error: 'invalid_request',
    says: 'the body must be application/x-www-form-urlencoded',
    passes: ({ type }) => type === 'application/x-www-form-urlencoded',
  },
  {
    name: 'utf_8',
    error: 'invalid_request',
    says: 'the body is not UTF-8',
    passes: ({ text }) => !text.includes('\ufffd'),
  },
  {
    // RFC 6749 section 3.2: parameters must not be included more than once.
    name: 'single_valued_once',
    error: 'invalid_request',
    says: 'a parameter stands there twice',
    passes: (facts) => facts.fields.every(([name]) => !ONCE.has(name) || occurs(facts, name) === 1),
  },
  {
    name: 'one_target',
    error: 'invalid_target',
    says: 'one target per request: at most one resource and one audience',
    passes: (facts) => occurs(facts, 'resource') <= 1 && occurs(facts, 'audience') <= 1,
  },
];

/** Parameters that are empty count as absent (RFC 6749 section 3.2). @throws TokenError */
export function parseForm(request: WireRequest): Form {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const text = new TextDecoder().decode(request.body);
  const fields = type === 'application/x-www-form-urlencoded' ? [...new URLSearchParams(text)] : [];
  pass(CHECKS, { request, type, text, fields });
  return new Map(fields.filter(([, value]) => value !== ''));
}

/** An endpoint that another room answers: what is no form never reaches it. */
export async function answerForm(request: WireRequest, endpoint: FormEndpoint): Promise<WireResponse> {
  let form: Form;
  try {
    form = parseForm(request);
  } catch (error) {
    if (error instanceof TokenError) return errorAnswer(error, false);
    throw error;
  }
  const { status, body } = await endpoint(form);
  return json(status, body);
}

export function required(form: Form, name: string): string {
  const value = form.get(name);
  if (value === undefined) throw new TokenError('invalid_request', `${name}_present`, `${name} is missing`);
  return value;
}

/** RFC 6749 section 3.3. */
export function scopesOf(form: Form): readonly string[] {
  const scopes = (form.get('scope') ?? '').split(' ').filter((value) => value !== '');
  if (!scopes.every((scope) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)))
    throw new TokenError('invalid_scope', 'scope_syntax', 'a scope has a character that no scope may have');
  return [...new Set(scopes)];
}
