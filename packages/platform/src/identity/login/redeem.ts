import { CONSOLE } from '../issuer/provider.ts';
import type { LoginTokens } from './session-rows.ts';

/** What the token endpoint of a login answers: tokens, `ended` when the login is over, or nothing for now. */
export type Redeemed = { tokens: LoginTokens } | { failed: 'ended' | 'unavailable' };

/** RFC 6749 sections 4.1.3 and 6, as the client `console`. */
export async function redeem(
  fetch: typeof globalThis.fetch,
  issuer: string,
  fields: Readonly<Record<string, string>>,
  now: number,
): Promise<Redeemed> {
  const answer = await fetch(`${issuer}/sts/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
    body: new URLSearchParams({ client_id: CONSOLE, ...fields }).toString(),
  });
  if (answer.status >= 500 || answer.status === 429) return { failed: 'unavailable' };
  const said = (await answer.json()) as Record<string, unknown>;
  const { access_token: accessToken, refresh_token: refreshToken, expires_in: expiresIn } = said;
  if (answer.status !== 200 || typeof accessToken !== 'string' || typeof refreshToken !== 'string')
    return { failed: 'ended' };
  return { tokens: { accessToken, refreshToken, expiresAt: now + Number(expiresIn) * 1000 } };
}
