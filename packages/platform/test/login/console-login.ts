import { SecretValue } from '@onbehalf/secret-value';
import type { IdentityFixture } from '../issuer/fixture.ts';

/** The console's sign-in, from `/login` to the cookie. */
export async function consoleLogin(f: IdentityFixture, subject: string, browser = f.browser()) {
  const { token } = await f.identity.loginLinks.create(subject);
  await browser.post('/oidc/link', { token: token.reveal() });
  const begun = await f.identity.sessions.begin('/ui/agents');
  browser.keep(begun.setCookie);
  const { url } = await browser.follow(begun.location);
  const done = await f.identity.sessions.callback(
    `${url.pathname}${url.search}`,
    browser.cookieHeader('/login/callback'),
  );
  browser.keep(done.setCookie);
  const value = browser.cookies.find(({ name }) => name === f.identity.sessions.cookieName)?.value ?? '';
  return { browser, done, url, cookie: SecretValue.of(value) };
}
