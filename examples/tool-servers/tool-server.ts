/**
 * What the two example tool servers share: an MCP endpoint that verifies each bearer token itself, with `jose` and the
 * issuer's published keys. It knows nothing of the server that sends the calls.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose';

/** A person, as the token names them: two issuers' `42` are two people. */
export interface Caller {
  /** Key of this person's data. */
  person: string;
  claims: JWTPayload & { act?: { sub?: string }; scope?: string; sub_id?: { iss?: string; sub?: string } };
  /** Throws unless the token carries the scope. */
  need(scope: string): void;
}

export interface ToolServerOptions {
  name: string;
  issuer: string;
  /** Port 0 takes a free one. */
  port: number;
  host?: string;
  /** Registers the tools for one request. `caller` is absent where no person is named: listing is allowed, calling is not. */
  register(server: McpServer, caller: Caller | undefined): void;
  /** Told what each verified `tools/call` carried. */
  onSeen?(seen: Seen): void;
}

export interface Seen {
  server: string;
  tool: string;
  iss: unknown;
  sub: unknown;
  act: unknown;
  aud: unknown;
  scope: unknown;
  lifetimeS: number;
  jti: unknown;
}

export interface RunningToolServer {
  url: string;
  close(): Promise<void>;
}

class Refused extends Error {
  readonly status: 401 | 403;
  readonly error: string;

  constructor(status: 401 | 403, error: string, message: string) {
    super(message);
    this.status = status;
    this.error = error;
  }
}

const MAX_BODY = 1_048_576;

export async function startToolServer(options: ToolServerOptions): Promise<RunningToolServer> {
  const host = options.host ?? '127.0.0.1';
  let keys: ReturnType<typeof createRemoteJWKSet> | undefined;
  let audience = '';

  async function verify(request: IncomingMessage): Promise<Caller['claims'] | undefined> {
    const [scheme, token] = (request.headers.authorization ?? '').split(' ');
    if (scheme === '') return undefined;
    if (scheme?.toLowerCase() !== 'bearer' || !token)
      throw new Refused(401, 'invalid_request', 'send one bearer token');
    keys ??= createRemoteJWKSet(await jwksUri(options.issuer), { cooldownDuration: 1_000 });
    try {
      const { payload } = await jwtVerify<Caller['claims']>(token, keys, {
        issuer: options.issuer,
        audience,
        typ: 'at+jwt',
        algorithms: ['EdDSA', 'ES256', 'RS256'],
        requiredClaims: ['sub', 'exp', 'iat'],
      });
      return payload;
    } catch (error) {
      throw new Refused(401, 'invalid_token', error instanceof Error ? error.message : 'the token is not valid');
    }
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0];
    if (path === '/.well-known/oauth-protected-resource/mcp' || path === '/.well-known/oauth-protected-resource') {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ resource: audience, authorization_servers: [options.issuer] }));
      return;
    }
    if (path !== '/mcp') {
      response.writeHead(404).end();
      return;
    }
    const claims = await verify(request);
    const body = await readBody(request);
    const person =
      claims?.act?.sub === undefined || claims.sub === undefined
        ? undefined
        : `${claims.sub_id?.iss ?? claims.iss} ${claims.sub_id?.sub ?? claims.sub}`;
    const calls = toolCalls(body);
    if (calls.length > 0 && (claims === undefined || person === undefined))
      throw new Refused(401, 'invalid_token', 'a tool is called for a person: the token must name one, and the agent');
    const scopes = new Set((claims?.scope ?? '').split(' '));
    const caller: Caller | undefined =
      claims && person !== undefined
        ? {
            person,
            claims,
            need(scope) {
              if (!scopes.has(scope)) throw new Error(`the scope ${scope} is needed`);
            },
          }
        : undefined;
    if (claims)
      for (const tool of calls)
        options.onSeen?.({
          server: options.name,
          tool,
          iss: claims.iss,
          sub: claims.sub,
          act: claims.act,
          aud: claims.aud,
          scope: claims.scope,
          lifetimeS: Number(claims.exp) - Number(claims.iat),
          jti: claims.jti,
        });
    const handler = createMcpHandler(() => {
      const server = new McpServer({ name: options.name, version: '1.0.0' });
      options.register(server, caller);
      return server;
    });
    const answer = await handler.fetch(toRequest(request, body));
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.body) Readable.fromWeb(answer.body).pipe(response);
    else response.end();
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      const refused =
        error instanceof Refused ? error : new Refused(401, 'invalid_request', 'the request is not valid');
      if (response.headersSent) return response.destroy();
      response.writeHead(refused.status, {
        'content-type': 'application/json',
        'www-authenticate': `Bearer error="${refused.error}", resource_metadata="${audience.replace(/\/mcp$/, '')}/.well-known/oauth-protected-resource/mcp"`,
      });
      return response.end(JSON.stringify({ error: refused.error, error_description: refused.message }));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, host, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  audience = `http://${host}:${port}/mcp`;
  return {
    url: audience,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** RFC 8414: where the issuer publishes its keys. */
async function jwksUri(issuer: string): Promise<URL> {
  const response = await fetch(`${issuer}/.well-known/oauth-authorization-server`);
  const metadata = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown };
  if (metadata.issuer !== issuer || typeof metadata.jwks_uri !== 'string')
    throw new Refused(401, 'invalid_token', 'the issuer cannot be read');
  return new URL(metadata.jwks_uri);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY) throw new Refused(403, 'invalid_request', 'the body is too large');
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function toolCalls(body: string): string[] {
  if (body === '') return [];
  const messages: unknown[] = [JSON.parse(body)].flat();
  return messages.flatMap((message) => {
    const { method, params } = message as { method?: unknown; params?: { name?: unknown } };
    return method === 'tools/call' ? [String(params?.name)] : [];
  });
}

function toRequest(request: IncomingMessage, body: string): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) if (typeof value === 'string') headers.set(name, value);
  const method = request.method ?? 'GET';
  return new Request(`http://${request.headers.host ?? 'localhost'}${request.url ?? '/'}`, {
    method,
    headers,
    ...(method === 'POST' && { body }),
  });
}
