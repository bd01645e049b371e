import type { IncomingMessage, ServerResponse } from 'node:http';
import type { PrincipalLookup } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import type { Provider } from 'oidc-provider';
import type { Audit } from '../../audit/index.ts';
import { LimitError, type Limits } from '../../limits/index.ts';
import { createAttempts, type PasswordTry } from '../../people/index.ts';
import type { Store } from '../../store/index.ts';
import type { Vault } from '../../vault/index.ts';
import type { CountedRefusals } from '../counted-refusals.ts';
import { CONSOLE } from '../doors.ts';
import { PageError, readJson, requireSameOrigin, sendJson, sendPage, stringOf } from './browser.ts';
import { knownBrowsers } from './known-browser.ts';
import { errorPage, signInPage } from './pages.ts';

export interface SignInOptions {
  issuer: string;
  provider: () => Provider;
  store: Store;
  audit: Audit;
  principals: PrincipalLookup;
  vault: Vault;
  limits: Pick<Limits, 'take' | 'address'>;
  cookiePrefix: string;
  secureCookies: boolean;
  now: () => number;
}

/** The page of one authorization request: user name and password. */
export function createSignIn(o: SignInOptions & { refusals: Pick<CountedRefusals, 'count'> }) {
  const { issuer, audit, principals, limits } = o;
  const browsers = knownBrowsers(o);
  const attempt = createAttempts(o);

  async function show(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const interaction = await o
      .provider()
      .interactionDetails(request, response)
      .catch(() => undefined);
    if (interaction === undefined)
      return sendPage(response, errorPage('This sign-in has expired, or cookies are switched off.'), 400);
    const { client_id: client, login_hint: hint } = interaction.params;
    const name = client === CONSOLE ? 'the console' : 'the command line';
    sendPage(response, signInPage(name, typeof hint === 'string' ? hint : ''));
  }

  async function submit(request: IncomingMessage, response: ServerResponse): Promise<void> {
    requireSameOrigin(request, issuer, 'needed');
    const body = await readJson(request);
    const username = stringOf(body, 'username');
    const password = stringOf(body, 'password');
    if (username === undefined || password === undefined)
      throw new PageError(400, 'invalid_request', 'Enter your user name and your password.');
    const provider = o.provider();
    const interaction = await provider.interactionDetails(request, response).catch(() => {
      throw new PageError(400, 'expired', 'This sign-in has expired. Go back and start again.');
    });
    await check({
      subject: username,
      password: SecretValue.of(password),
      address: limits.address(request),
      browser: browsers.idOf(request.headers.cookie, username),
    });
    const result = { login: { accountId: username, amr: ['pwd'] } };
    const location = await provider.interactionResult(request, response, result, { mergeWithLastSubmission: false });
    const { session, uid } = interaction;
    // Somebody else was signed in here. Their session is over before this one begins: it gets another id.
    if (session !== undefined && session.accountId !== username) {
      await (await provider.Session.findByUid(session.uid))?.destroy();
      const stored = await provider.Interaction.find(uid);
      if (stored !== undefined) {
        delete stored.session;
        await stored.persist();
      }
    }
    response.appendHeader('set-cookie', browsers.remember(username));
    sendJson(response, 200, { location });
  }

  /** Who is there, who is not and who is disabled get the same answer. @throws PageError */
  async function check(tried: PasswordTry): Promise<void> {
    const { subject, address } = tried;
    const matches = await attempt(tried).catch((error: unknown) => {
      if (!(error instanceof LimitError)) throw error;
      o.refusals.count(address);
      const { retryAfter: seconds } = error;
      throw new PageError(429, 'rate_limited', `Too many attempts. Try again in ${seconds} seconds.`, seconds);
    });
    const record = principals.lookup(issuer, subject);
    const right = matches && record !== undefined && !record.disabled;
    await audit.append({
      type: 'login',
      phase: 'single',
      // A name that nobody has may be a password in the wrong field.
      principal: { issuer, subject: record === undefined ? '' : subject, amr: ['pwd'] },
      address,
      outcome: right ? 'signed in' : 'refused',
      ...(!right && { reason: matches ? 'disabled' : 'wrong' }),
    });
    if (!right) throw new PageError(401, 'wrong', 'The user name or the password is not right.');
  }

  return { show, submit };
}
