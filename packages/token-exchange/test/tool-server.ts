import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose';

export interface Seen {
  readonly url: string;
  readonly method: string | undefined;
  readonly authorization: string | undefined;
  readonly body: string;
  /** Verified, and for this server; undefined where there was no such token. */
  readonly claims: JWTPayload | undefined;
}

export interface ToolServer extends AsyncDisposable {
  readonly origin: string;
  readonly url: string;
  readonly seen: Seen[];
  /** May answer instead of the server. */
  intercept: ((seen: Seen, response: ServerResponse) => unknown) | undefined;
}

/** A tool server that believes nobody: signature, issuer and audience of each token are checked. */
export async function startToolServer(
  service: { issuer: string; jwksUri: string },
  options: { open?: readonly string[] } = {},
): Promise<ToolServer> {
  const keys = createRemoteJWKSet(new URL(service.jwksUri), { cooldownDuration: 0 });
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const tools: ToolServer = {
    origin,
    url: `${origin}/mcp`,
    seen,
    intercept: undefined,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const { authorization } = request.headers;
    const claims = await claimsOf(authorization);
    const one = { url: request.url ?? '', method: request.method, authorization, body, claims };
    seen.push(one);
    tools.intercept?.(one, response);
    if (response.writableEnded) return;
    const method = body === '' ? undefined : JSON.parse(body).method;
    if (claims === undefined && !options.open?.includes(method)) return unauthorized(response);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { sub: claims?.sub, act: claims?.act } }));
  }

  async function claimsOf(authorization: string | undefined): Promise<JWTPayload | undefined> {
    const token = /^Bearer (.+)$/.exec(authorization ?? '')?.[1];
    if (token === undefined) return undefined;
    return jwtVerify(token, keys, { issuer: service.issuer, audience: tools.url, typ: 'at+jwt' }).then(
      ({ payload }) => payload,
      () => undefined,
    );
  }

  return tools;
}

export function unauthorized(response: ServerResponse, challenge = 'Bearer error="invalid_token"'): void {
  response.writeHead(401, { 'www-authenticate': challenge }).end();
}
