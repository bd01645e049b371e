import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Provider } from 'oidc-provider';
import { addressKey, formTooLarge, LimitError, type Limits } from '../limits/index.ts';
import { assets } from './pages/assets.ts';
import { PageError, sendError, sendJson, sendNotFound, sendPage } from './pages/browser.ts';
import type { createConfirm } from './pages/confirm.ts';
import type { createLoginLinks } from './pages/link.ts';
import { errorPage, linkPage, pageHeaders } from './pages/pages.ts';
import type { createSignIn } from './pages/sign-in.ts';
import { FORM_LIMIT } from './token-service/form.ts';
import { answer, json, noStore, pathOf, runHandler, toWire, type WireRequest, type WireResponse } from './wire.ts';

export interface RoutesOptions {
  issuer: string;
  respond(request: WireRequest): Promise<WireResponse> | WireResponse | undefined;
  /** Headers by which oidc-provider knows the public address, whatever name the request came to. */
  forwarded: Readonly<Record<string, string>>;
  provider: () => Provider;
  limits: Pick<Limits, 'take' | 'address'>;
  links: ReturnType<typeof createLoginLinks>;
  signIn: ReturnType<typeof createSignIn>;
  confirm: ReturnType<typeof createConfirm>;
  onError(error: unknown): void;
}

const PROGRAMS =
  /^\/(sts\/|jwks$|oidc\/backchannel-logout\/|login\/cli\/(token|revoke)$|\.well-known\/(openid-configuration|oauth-authorization-server)$)/;
const AUTHORIZATION = '/oidc/auth';
/** oidc-provider's own, to the letter: it would also answer to other cases and to a slash at the end. */
const OPENID = /^\/oidc\/(auth(\/[\w-]{1,64})?|session\/end(\/confirm|\/success)?)$/;
const OURS = /^\/(oidc\/|login\/(link|assets|sign-in|confirm)(\/|$))/;

/** Everything that the issuer answers itself. False: the request is somebody else's, and untouched. */
export function createRoutes(o: RoutesOptions) {
  async function program(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const wire = await boundedForm(request, response);
    if (wire === undefined) return;
    const said = await o.respond({ ...wire, address: o.limits.address(request) });
    if (said === undefined) sendNotFound(response);
    else answer(response, said);
  }

  async function page(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    delete request.headers['x-forwarded-host'];
    Object.assign(request.headers, o.forwarded);
    const read = request.method === 'GET' || request.method === 'HEAD';
    const write = request.method === 'POST';
    const asset = assets.get(path.slice('/login/assets/'.length));
    if (path === '/login/link' && read) return sendPage(response, linkPage());
    if (path === '/login/link/describe' && write) return o.links.describe(request, response);
    if (path === '/oidc/link' && write) return o.links.use(request, response);
    if (path.startsWith('/login/assets/') && read && asset !== undefined) {
      const headers = { ...noStore, 'cache-control': 'no-cache', 'content-type': asset.type };
      return answer(response, { status: 200, headers, body: asset.body });
    }
    const interaction = /^\/login\/(sign-in|confirm)\/[\w-]{1,64}$/.exec(path)?.[1];
    if (interaction !== undefined) {
      const { show, submit } = interaction === 'confirm' ? o.confirm : o.signIn;
      if (read) return show(request, response);
      if (write) return submit(request, response);
    }
    if (OPENID.test(path)) return openId(request, response);
    return sendNotFound(response);
  }

  async function openId(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = pathOf(request.url ?? '');
    // Each that is begun makes rows.
    if (path === AUTHORIZATION) o.limits.take('signIns', addressKey(o.limits.address(request)));
    // To go on takes a cookie and nothing else; the library stumbles over a query there.
    if (path.startsWith(`${AUTHORIZATION}/`)) request.url = path;
    for (const [name, value] of Object.entries(pageHeaders)) response.setHeader(name, value);
    if (request.method !== 'POST') return o.provider().callback()(request, response);
    const wire = await boundedForm(request, response);
    if (wire !== undefined) answer(response, await runHandler(o.provider().callback(), wire));
  }

  /** Undefined: it was refused. What parses forms below takes time that grows with the square of their fields. */
  async function boundedForm(request: IncomingMessage, response: ServerResponse): Promise<WireRequest | undefined> {
    const wire = await toWire(request, FORM_LIMIT);
    const problem =
      wire === undefined
        ? 'the body is too large'
        : formTooLarge(wire.body.toString('latin1'))
          ? 'the form has more than 64 fields'
          : undefined;
    if (problem === undefined) return wire;
    const refusal = { error: 'invalid_request', error_description: problem };
    answer(response, json(413, refusal, { connection: 'close' }));
    return undefined;
  }

  return async (request: IncomingMessage, response: ServerResponse): Promise<boolean> => {
    const path = pathOf(request.url ?? '');
    const programs = PROGRAMS.test(path);
    if (!programs && !OURS.test(path)) return false;
    try {
      await (programs ? program(request, response) : page(path, request, response));
    } catch (error) {
      if (response.headersSent) response.destroy();
      else if (error instanceof PageError) sendError(response, error);
      else if (error instanceof LimitError)
        sendPage(response, errorPage(`${error.message}. Try again later.`), 429, error);
      else {
        o.onError(error);
        sendJson(response, 500, { error: 'server_error', detail: 'Something went wrong in the server. Try again.' });
      }
    }
    return true;
  };
}
