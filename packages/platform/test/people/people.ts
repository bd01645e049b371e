import { codeRequest, redeemCode, type Tokens } from '../issuer/browser.ts';
import { type IdentityFixture, PASSWORD } from '../issuer/fixture.ts';

/** Signs in through the front door with a login link, as the command line does. */
export async function signInByLink(
  f: IdentityFixture,
  subject: string,
  more: Record<string, string> = {},
): Promise<Tokens> {
  const browser = f.browser();
  const { token } = await f.identity.loginLinks.create(subject);
  const used = await browser.request('/oidc/link', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token: token.reveal() }),
  });
  if (used.status !== 200) throw new Error(`link: ${used.status} ${await used.text()}`);
  const request = codeRequest(f.publicUrl, more);
  const { url } = await browser.authorize(request.address);
  return redeemCode(f.publicUrl, request, url);
}

/** The sign-in page of an authorization request, filled in. */
export async function signInByPassword(f: IdentityFixture, subject: string, password = PASSWORD) {
  await f.withPasswords();
  const browser = f.browser();
  const request = codeRequest(f.publicUrl);
  const page = await browser.follow(request.address);
  const answer = await browser.post(page.url.pathname, { username: subject, password });
  return { browser, request, page, answer };
}
