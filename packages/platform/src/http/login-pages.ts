import type { IncomingMessage, ServerResponse } from 'node:http';
import { signInCode } from '@onbehalf/resources';
import type { Logger } from 'pino';
import type { Control } from '../control/index.ts';
import {
  choicePage,
  confirmHeaders,
  confirmPage,
  errorPage,
  PageError,
  pageHeaders,
  readForm,
  requireSameOrigin,
} from '../issuer/index.ts';
import { LoginError, type LoginSessions, type NativeConfirmation } from '../login/index.ts';
import { securityHeaders } from './security-headers.ts';

const CALLBACK = /^\/login\/callback(?:\/([a-z0-9-]{1,63}))?$/;

const CONFIRM = '/login/cli/confirm';
const PATHS: ReadonlySet<string> = new Set(['/login', '/login/cli', CONFIRM, '/login/issuers']);

export interface LoginPagesPorts {
  publicUrl: string;
  sessions: LoginSessions;
  control: Pick<Control, 'noteSubjectToken'>;
  log: Pick<Logger, 'warn'>;
}

/** The console's sign-in: `/login` sends the browser to an issuer, `/login/callback` (and below, for others) takes the code. */
export function loginPages({
  publicUrl,
  sessions,
  control,
  log,
}: LoginPagesPorts): (request: IncomingMessage, response: ServerResponse) => Promise<boolean> {
  async function begin(url: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { cookie } = request.headers;
    const { pathname, searchParams: query } = new URL(url, publicUrl);
    if (pathname === '/login/issuers') {
      const items = sessions.issuers();
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ items }));
      return;
    }
    if (pathname === '/login/cli') {
      const { location, setCookie } = await sessions.beginNative(query, cookie);
      response.writeHead(302, { location, 'set-cookie': setCookie }).end();
      return;
    }
    const returnTo = query.get('returnTo') ?? undefined;
    const known = sessions.issuers();
    const issuer = query.get('issuer') ?? (known.length === 1 ? known[0]?.name : undefined);
    if (issuer === undefined) {
      response.writeHead(200, { ...pageHeaders, 'content-type': 'text/html; charset=utf-8' });
      response.end(choicePage(known.map((choice) => shown(choice, returnTo))));
      return;
    }
    const { location, setCookie } = await sessions.begin(returnTo, issuer, cookie);
    response.writeHead(302, { location, 'set-cookie': setCookie }).end();
  }

  function shown({ name, issuer }: { name: string; issuer: string }, returnTo: string | undefined) {
    const own = issuer === publicUrl;
    const link = `/login?${new URLSearchParams({ issuer: name, ...(returnTo !== undefined && { returnTo }) })}`;
    return { label: own ? 'User name and password' : name, detail: own ? 'an account of this server' : issuer, link };
  }

  async function complete(url: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const done = await sessions.callback(url, request.headers.cookie);
    if (done.issuer && done.subjectToken) await note(done.issuer, done.subjectToken);
    response.setHeader('set-cookie', done.setCookie);
    if ('confirm' in done) ask(done.confirm, response);
    else response.writeHead(302, { location: done.location }).end();
  }

  /** Before a code is handed on: the page names the account and the client, and shows what the terminal shows. */
  function ask(asked: NativeConfirmation, response: ServerResponse): void {
    const { name, subject, issuer, at, redirectUri } = asked;
    const html = confirmPage({
      account: name === undefined ? subject : `${name} (${subject})`,
      detail: `an account of ${issuer}, ${at}`,
      code: signInCode(asked.challenge),
      redirectUri,
      action: CONFIRM,
      fields: { state: asked.state },
    });
    response.writeHead(200, { ...confirmHeaders(redirectUri), 'content-type': 'text/html; charset=utf-8' }).end(html);
  }

  async function decide(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      requireSameOrigin(request, publicUrl, 'needed');
      const form = await readForm(request);
      const agreed = form.get('decision') === 'yes';
      const done = await sessions.decideNative(form.get('state') ?? '', agreed, request.headers.cookie);
      response.writeHead(303, { location: done.location, 'set-cookie': done.setCookie }).end();
    } catch (error) {
      if (!(error instanceof PageError || error instanceof LoginError)) throw error;
      const status = error instanceof PageError ? error.status : 400;
      const says = `${error.message} Start it again on the command line.`;
      response.writeHead(status, { ...pageHeaders, 'content-type': 'text/html; charset=utf-8' }).end(errorPage(says));
    }
  }

  /** Nobody is kept out because an administrator could not be told. */
  const note = (issuer: string, found: Parameters<Control['noteSubjectToken']>[1]) =>
    control.noteSubjectToken(issuer, found).catch(() => log.warn({ issuer }, 'the condition could not be written'));

  return async (request, response) => {
    const url = request.url ?? '/';
    const path = url.split('?')[0] ?? '';
    const callback = CALLBACK.exec(path);
    if (!PATHS.has(path) && callback === null) return false;
    const headers = { ...securityHeaders(publicUrl, 'console'), 'cache-control': 'no-store' };
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const method = path === CONFIRM ? 'POST' : 'GET';
    if (request.method !== method) {
      response.writeHead(405, { allow: method }).end();
      return true;
    }
    // The cookies belong to one host name: the public one.
    if (request.headers.host !== new URL(publicUrl).host) {
      response.writeHead(302, { location: `${publicUrl}${callback === null ? url : '/login'}` }).end();
      return true;
    }
    try {
      if (path === CONFIRM) await decide(request, response);
      else await (callback === null ? begin(url, request, response) : complete(url, request, response));
    } catch (error) {
      const known = error instanceof LoginError ? error : undefined;
      const code = known?.code.replace('login_', '') ?? 'failed';
      log.warn({ code, why: known?.message ?? 'unexpected', issuer: callback?.[1] }, 'a sign-in was not completed');
      if (known?.code === 'login_unusable') await note(callback?.[1] ?? '', known.message);
      response.writeHead(302, { location: `/ui/?signin=${code}` }).end();
    }
    return true;
  };
}
