import type { IncomingMessage, ServerResponse } from 'node:http';
import { signInCode } from '@onbehalf/resources';
import { answer, noStore } from '../wire.ts';
import { PageError, readForm, requireSameOrigin, sendPage } from './browser.ts';
import { confirmHeaders, confirmPage, errorPage } from './pages.ts';
import type { SignInOptions } from './sign-in.ts';

/**
 * The page between a sign-in and the command line. It names the account and who asks, and a POST of its own form is the
 * only way to a code: a page of another site, and another program of this machine, can open it and no more.
 */
export function createConfirm(o: SignInOptions) {
  const { issuer, principals } = o;

  async function pending(request: IncomingMessage, response: ServerResponse) {
    const found = await o
      .provider()
      .interactionDetails(request, response)
      .catch(() => undefined);
    const subject = found?.session?.accountId;
    const { redirect_uri: redirectUri, code_challenge: challenge } = found?.params ?? {};
    if (found?.prompt.name !== 'consent' || subject === undefined) return undefined;
    if (typeof redirectUri !== 'string' || typeof challenge !== 'string') return undefined;
    return { subject, redirectUri, challenge, uid: found.uid };
  }

  async function show(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = await pending(request, response);
    if (asked === undefined)
      return sendPage(response, errorPage('This sign-in has expired, or cookies are switched off.'), 400);
    const { subject, redirectUri, challenge, uid } = asked;
    const { name } = principals.lookup(issuer, subject) ?? {};
    const html = confirmPage({
      account: name === undefined ? subject : `${name} (${subject})`,
      detail: `an account of ${issuer}`,
      code: signInCode(challenge),
      redirectUri,
      action: `/login/confirm/${uid}`,
      fields: {},
    });
    const headers = { ...confirmHeaders(redirectUri), 'content-type': 'text/html; charset=utf-8' };
    answer(response, { status: 200, headers, body: html });
  }

  async function decide(request: IncomingMessage, response: ServerResponse): Promise<void> {
    requireSameOrigin(request, issuer, 'needed');
    const decision = (await readForm(request)).get('decision');
    if ((await pending(request, response)) === undefined)
      throw new PageError(400, 'expired', 'This sign-in has expired. Start it again on the command line.');
    const result =
      decision === 'yes'
        ? { consent: {} }
        : { error: 'access_denied', error_description: 'the person said no on the page of the sign-in' };
    const location = await o.provider().interactionResult(request, response, result);
    answer(response, { status: 303, headers: { ...noStore, location }, body: '' });
  }

  return {
    show,
    /** What goes wrong is a page here: no script reads it. */
    async submit(request: IncomingMessage, response: ServerResponse): Promise<void> {
      await decide(request, response).catch((error: unknown) => {
        if (!(error instanceof PageError)) throw error;
        sendPage(response, errorPage(error.message), error.status);
      });
    },
  };
}
