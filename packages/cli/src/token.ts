import { CliError } from './error.ts';
import type { Io } from './io.ts';
import { readLogin, removeLogin, type StoredLogin, tokenFile, withLock, writeLogin } from './token-file.ts';

const REFRESH_BELOW_MS = 60_000;
export const CLIENT_ID = 'cli';

const signIn = (server: string) =>
  new CliError('unauthenticated', `you are not signed in at ${server}`, `onbehalf login --server ${server}`);

/** The token for the next request: from ONBEHALF_TOKEN, or of the stored login, renewed in time. */
export async function accessToken(io: Io, server: string): Promise<string> {
  if (io.env.ONBEHALF_TOKEN) return io.env.ONBEHALF_TOKEN;
  const path = tokenFile(io, server);
  const known = await readLogin(path);
  if (!known) throw signIn(server);
  if (known.expiresAt - io.now() > REFRESH_BELOW_MS) return known.accessToken;
  return withLock(path, async () => {
    // Another command may have been first.
    const login = await readLogin(path);
    if (!login) throw signIn(server);
    if (login.expiresAt - io.now() > REFRESH_BELOW_MS) return login.accessToken;
    if (login.refreshToken === undefined) throw signIn(server);
    const body = { grant_type: 'refresh_token', refresh_token: login.refreshToken, resource: login.resource };
    const renewed = await requestTokens(io, login, body).catch(async (error: unknown) => {
      if (error instanceof CliError && error.code === 'unauthenticated') await removeLogin(path);
      throw error;
    });
    await writeLogin(path, renewed);
    return renewed.accessToken;
  });
}

/** RFC 6749 sections 4.1.3 and 6, as a public client. */
export async function requestTokens(
  io: Io,
  login: Omit<StoredLogin, 'accessToken' | 'expiresAt'>,
  parameters: Record<string, string>,
): Promise<StoredLogin> {
  const response = await postForm(io, login.tokenEndpoint, parameters);
  const answer = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  if (!response.ok) {
    if (response.status >= 500)
      throw new CliError('unreachable', `the issuer of ${login.server} answered ${response.status}`, 'try again');
    const why =
      typeof answer.error_description === 'string' ? answer.error_description : String(answer.error ?? response.status);
    throw new CliError('unauthenticated', `your sign-in has ended: ${why}`, `onbehalf login --server ${login.server}`);
  }
  const { access_token: token, token_type: type, expires_in: lifetime, refresh_token: refresh } = answer;
  if (typeof token !== 'string' || token === '' || String(type).toLowerCase() !== 'bearer')
    throw new CliError('failure', `the issuer of ${login.server} sent no bearer token`);
  const { refreshToken: before, ...rest } = login;
  const refreshToken = typeof refresh === 'string' ? refresh : before;
  return {
    ...rest,
    accessToken: token,
    ...(refreshToken !== undefined && { refreshToken }),
    expiresAt: io.now() + (typeof lifetime === 'number' ? lifetime : 60) * 1_000,
  };
}

export async function postForm(io: Io, url: string, parameters: Record<string, string>): Promise<Response> {
  try {
    return await io.fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: new URLSearchParams({ client_id: CLIENT_ID, ...parameters }).toString(),
      redirect: 'error',
      credentials: 'omit',
      signal: AbortSignal.any([io.signal, AbortSignal.timeout(20_000)]),
    });
  } catch {
    throw new CliError('unreachable', `${new URL(url).origin} cannot be reached`, 'try again');
  }
}
