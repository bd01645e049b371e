import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { IssuerConfig } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { authenticateClient } from '@onbehalf/token-exchange';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import type { LoginIssuer } from '../../src/login/index.ts';

export const CLIENT = 'onbehalf-console';
const SECRET = 'a secret of 32 characters, or more';

export interface Asked {
  path: string;
  form: URLSearchParams;
  authorization: string | undefined;
}

/**
 * An OpenID provider on a real socket, in the shape of those that companies have: codes, rotating refresh tokens,
 * UserInfo, revocation. `change` bends what it answers with; `asked` is what arrived.
 */
export async function startOtherIssuer(name = 'office') {
  const newKey = async (kid: string) => {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' } };
  };
  let key = await newKey('k1');
  const published = [key.jwk];
  const asked: Asked[] = [];
  const codes = new Map<string, { sub: string; nonce: string; sid: string }>();
  const refreshTokens = new Map<string, { sub: string; sid: string }>();
  const opaqueTokens = new Map<string, string>();
  const change = {
    opaque: false,
    /** What opaque tokens begin with. */
    opaquePrefix: '',
    lifetime: 300,
    access: {} as JWTPayload,
    id: {} as JWTPayload,
    metadata: {} as Record<string, unknown>,
    expiresIn: undefined as unknown,
    userinfoStatus: 200,
    /** Instead of an answer of the token endpoint. */
    status: undefined as number | undefined,
    error: 'invalid_grant',
    userinfo: undefined as string | undefined,
    withoutIdTokenOnRefresh: false,
    jwksStatus: 200,
    /** Seconds that its clock is ahead of ours. */
    ahead: 0,
    /** Who is signed in there: the browser is sent back at once. */
    knows: undefined as string | undefined,
  };

  const sign = (claims: Record<string, unknown>, typ: string) =>
    new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: key.kid, typ }).sign(key.privateKey);
  const now = () => Math.floor(Date.now() / 1000) + change.ahead;
  const accessToken = (sub: string, sid: string, more: Record<string, unknown> = {}) =>
    sign(
      {
        ...{ iss: url, sub, sid, aud: ['our-api', 'platform'], client_id: CLIENT, scope: 'openid', jti: randomUUID() },
        ...{ iat: now(), exp: now() + change.lifetime },
        ...more,
      },
      'at+jwt',
    );
  const idToken = (sub: string, sid: string, more: JWTPayload = {}) =>
    sign({ iss: url, sub, sid, aud: CLIENT, name: sub.toUpperCase(), iat: now(), exp: now() + 300, ...more }, 'JWT');

  async function answer(sub: string, sid: string, nonce: string | undefined) {
    const refresh = randomUUID();
    refreshTokens.set(refresh, { sub, sid });
    const opaque = change.opaquePrefix + randomUUID();
    opaqueTokens.set(opaque, sub);
    const withId = nonce !== undefined || !change.withoutIdTokenOnRefresh;
    return {
      access_token: change.opaque ? opaque : await accessToken(sub, sid, change.access),
      token_type: 'Bearer',
      expires_in: change.expiresIn ?? change.lifetime,
      refresh_token: refresh,
      ...(withId && { id_token: await idToken(sub, sid, { ...(nonce !== undefined && { nonce }), ...change.id }) }),
    };
  }

  async function token(form: URLSearchParams): Promise<[number, unknown]> {
    if (change.status !== undefined) return [change.status, { error: change.error }];
    if (form.get('grant_type') === 'refresh_token') {
      const known = refreshTokens.get(form.get('refresh_token') ?? '');
      if (known === undefined) return [400, { error: 'invalid_grant' }];
      refreshTokens.delete(form.get('refresh_token') ?? '');
      return [200, await answer(known.sub, known.sid, undefined)];
    }
    const known = codes.get(form.get('code') ?? '');
    codes.delete(form.get('code') ?? '');
    if (known === undefined) return [400, { error: 'invalid_grant' }];
    return [200, await answer(known.sub, known.sid, known.nonce)];
  }

  /** What the form of the provider does once somebody has typed a password. */
  function consent(location: string, sub: string, sid: string = randomUUID()): string {
    const query = new URL(location).searchParams;
    const code = randomUUID();
    codes.set(code, { sub, nonce: query.get('nonce') ?? '', sid });
    const back = new URL(query.get('redirect_uri') ?? '');
    back.search = new URLSearchParams({ code, state: query.get('state') ?? '', iss: url }).toString();
    return back.pathname + back.search;
  }

  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', url).pathname;
    const form = new URLSearchParams(await textOf(request));
    asked.push({ path, form, authorization: request.headers.authorization });
    const say = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (path === '/.well-known/openid-configuration')
      return say(200, {
        issuer: url,
        authorization_endpoint: `${url}/authorize`,
        token_endpoint: `${url}/token`,
        jwks_uri: `${url}/jwks`,
        userinfo_endpoint: `${url}/userinfo`,
        revocation_endpoint: `${url}/revoke`,
        end_session_endpoint: `${url}/end`,
        authorization_response_iss_parameter_supported: true,
        id_token_signing_alg_values_supported: ['ES256'],
        ...change.metadata,
      });
    if (path === '/authorize' && change.knows !== undefined) {
      const { origin } = new URL(new URL(request.url ?? '', url).searchParams.get('redirect_uri') ?? '');
      const location = origin + consent(new URL(request.url ?? '', url).href, change.knows);
      return response.writeHead(302, { location }).end();
    }
    if (path === '/jwks') return say(change.jwksStatus, { keys: published });
    if (path === '/token') return say(...(await token(form)));
    if (path === '/userinfo') {
      const sub = opaqueTokens.get(request.headers.authorization?.slice('Bearer '.length) ?? '');
      return sub === undefined ? say(401, {}) : say(change.userinfoStatus, { sub: change.userinfo ?? sub });
    }
    if (path === '/revoke' || path === '/end') return say(200, {});
    return say(404, {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const login: LoginIssuer = {
    name,
    issuer: url,
    clientId: CLIENT,
    async authenticate(endpoint, form, headers, signal) {
      const client = { auth: 'SecretBasic', id: CLIENT, keyId: '1', secret: SecretValue.of(SECRET) } as const;
      await authenticateClient(client, { issuer: url, endpoint }, form, headers, signal);
    },
    scopes: ['openid', 'orders'],
    resource: [],
    audience: [],
  };
  const config: IssuerConfig = {
    name,
    issuer: url,
    keys: { kind: 'static', jwks: { keys: published } },
    algorithms: ['ES256'],
    audiences: { api: ['our-api'] },
    subjectClaims: ['sub'],
    maxRole: 'REGULAR',
    loginClientId: CLIENT,
  };

  return {
    ...{ url, login, config, asked, change, accessToken, idToken, sign },
    /** From now on it signs with another key, and publishes both. */
    async rotate(kid: string) {
      key = await newKey(kid);
      published.push(key.jwk);
    },
    requests: (path: string) => asked.filter((one) => one.path === path),
    consent,
    /** Back-Channel Logout 1.0 section 2.4. */
    logoutToken: (claims: Record<string, unknown>, typ = 'logout+jwt') =>
      sign(
        {
          ...{ iss: url, aud: CLIENT, iat: now(), exp: now() + 120, jti: randomUUID() },
          events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
          ...claims,
        },
        typ,
      ),
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
    },
  };
}

export type OtherIssuer = Awaited<ReturnType<typeof startOtherIssuer>>;

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
