import type { IncomingMessage, ServerResponse } from 'node:http';
import { securityHeaders } from './security-headers.ts';
import type { Services } from './services.ts';

/** The console's sign-in: `/login` sends the browser to the issuer, `/login/callback` takes the code. */
export function loginPages(
  services: Services,
): (request: IncomingMessage, response: ServerResponse) => Promise<boolean> {
  const { sessions } = services.identity;
  return async (request, response) => {
    const url = request.url ?? '/';
    const path = url.split('?')[0];
    if (path !== '/login' && path !== '/login/callback') return false;
    for (const [name, value] of Object.entries({
      ...securityHeaders(services, 'console'),
      'cache-control': 'no-store',
    }))
      response.setHeader(name, value);
    if (request.method !== 'GET') {
      response.writeHead(405, { allow: 'GET' }).end();
      return true;
    }
    // The cookies belong to one host name: the public one.
    if (request.headers.host !== new URL(services.config.publicUrl).host) {
      response.writeHead(302, { location: `${services.config.publicUrl}${path === '/login' ? url : '/login'}` }).end();
      return true;
    }
    try {
      if (path === '/login') {
        const returnTo = new URL(url, services.config.publicUrl).searchParams.get('returnTo') ?? undefined;
        const { location, setCookie } = await sessions.begin(returnTo);
        response.writeHead(302, { location, 'set-cookie': setCookie }).end();
      } else {
        const { location, setCookie } = await sessions.callback(url, request.headers.cookie);
        response.writeHead(302, { location, 'set-cookie': setCookie }).end();
      }
    } catch {
      response.writeHead(302, { location: '/ui/?signin=failed' }).end();
    }
    return true;
  };
}
