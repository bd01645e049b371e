import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { Control } from '../control/index.ts';
import { choicePage, pageHeaders } from '../issuer/index.ts';
import { LoginError, type LoginSessions } from '../login/index.ts';
import { securityHeaders } from './security-headers.ts';

const CALLBACK = /^\/login\/callback(?:\/([a-z0-9-]{1,63}))?$/;

const PATHS: ReadonlySet<string> = new Set(['/login', '/login/cli', '/login/issuers']);

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
  async function begin(url: string, response: ServerResponse): Promise<void> {
    const { pathname, searchParams: query } = new URL(url, publicUrl);
    if (pathname === '/login/issuers') {
      const items = sessions.issuers();
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ items }));
      return;
    }
    if (pathname === '/login/cli') {
      const { location, setCookie } = await sessions.beginNative(query);
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
    const { location, setCookie } = await sessions.begin(returnTo, issuer);
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
    response.writeHead(302, { location: done.location, 'set-cookie': done.setCookie }).end();
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
    if (request.method !== 'GET') {
      response.writeHead(405, { allow: 'GET' }).end();
      return true;
    }
    // The cookies belong to one host name: the public one.
    if (request.headers.host !== new URL(publicUrl).host) {
      response.writeHead(302, { location: `${publicUrl}${callback === null ? url : '/login'}` }).end();
      return true;
    }
    try {
      await (callback === null ? begin(url, response) : complete(url, request, response));
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
