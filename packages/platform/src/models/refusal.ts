import { isObject } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import { quoted } from '../audit/index.ts';
import { ModelError } from './messages.ts';

/** Keys that providers repeat in part, so that the one that was sent is not found as it is. */
const KEYS = /\b(?:sk|pk|key|gsk|xai|AIza)[-_][\w*.-]{4,}/g;

/** LiteLLM says an exhausted budget with 400, 401, 422 or 429. */
export const overBudget = (body: string) => /budget_exceeded|exceeded.{0,20}budget/i.test(body);

/** What a status other than 200 means, and what the provider said of it. */
export function refusal(status: number, body: string, sent: SecretValue | undefined): ModelError {
  const reason = reasonOf(jsonOf(body), sent);
  if (overBudget(body)) return new ModelError('model_over_budget', `the budget of this model is used up${reason}`);
  if (status === 401 || status === 403 || /no_db_connection/.test(body))
    return new ModelError(
      'model_credential',
      `the provider refused the credential with ${status}: check the ModelConfig${reason}`,
    );
  if (status === 429)
    return new ModelError('model_rate_limited', `the provider limits the rate: try again later${reason}`);
  if (status >= 500) return new ModelError('model_unavailable', `the provider answered ${status}${reason}`);
  return new ModelError('model_rejected', `the provider refused the request with ${status}${reason}`);
}

/**
 * A provider's own words, with its code: ` (invalid_request_error: this model has no tools)`. One line, bounded, without
 * the key that was sent and without what looks like one.
 */
export function reasonOf(error: unknown, sent: SecretValue | undefined): string {
  const inner = isObject(error) && error.error !== undefined ? error.error : error;
  const { code, type, message, detail } = isObject(inner) ? inner : { message: inner };
  const name = [code, type].find((one) => /^(?:[A-Za-z_]{1,40}|\d{3})$/.test(String(one ?? '')));
  const said = [message, detail].find((one) => typeof one === 'string' && one.trim() !== '');
  const parts = [
    ...(name === undefined ? [] : [String(name)]),
    ...(said === undefined ? [] : [clean(String(said), sent)]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join(': ')})`;
}

const clean = (text: string, sent: SecretValue | undefined): string =>
  quoted(text, sent ? [sent] : []).replace(KEYS, '[secret]');

/** The body as JSON, or as the text that it is; of a page in HTML nothing helps. */
function jsonOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return body.trimStart().startsWith('<') ? undefined : body;
  }
}
