/**
 * A tool server behind Keycloak. It verifies each token itself: signature, issuer, audience (its own client id), type,
 * and in `azp` the client of the agent that may call it. Listing is open; calling is not.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose';
import { z } from 'zod';

export interface KeycloakToolServerOptions {
  /** The address of the realm. */
  issuer: string;
  /** The client id that stands for this server. */
  audience: string;
  /** The clients of the agents that may call it. */
  agents: readonly string[];
  /** Default: a free one. */
  port?: number;
  tool: { name: string; description: string; answer(subject: string): unknown };
  /** Told the claims of each verified call. */
  onSeen?(claims: JWTPayload): void;
}

export interface KeycloakToolServer {
  url: string;
  close(): Promise<void>;
}

export async function startKeycloakToolServer(options: KeycloakToolServerOptions): Promise<KeycloakToolServer> {
  const { issuer, audience, agents, tool } = options;
  const keys = createRemoteJWKSet(new URL(`${issuer}/protocol/openid-connect/certs`), { cooldownDuration: 0 });

  async function verify(authorization: string): Promise<JWTPayload> {
    const token = /^Bearer (\S+)$/.exec(authorization)?.[1] ?? '';
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience,
      typ: 'at+jwt',
      algorithms: ['RS256'],
      requiredClaims: ['sub', 'exp', 'azp'],
    });
    // A token that is also good elsewhere could be replayed by that other server.
    if (payload.aud !== audience) throw new errors.JWTClaimValidationFailed('too many audiences', payload, 'aud');
    if (!agents.includes(String(payload.azp)))
      throw new errors.JWTClaimValidationFailed('not an agent', payload, 'azp');
    return payload;
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const { authorization } = request.headers;
    const calls = /"method"\s*:\s*"tools\/call"/.test(body);
    const claims = calls || authorization !== undefined ? await verify(authorization ?? '') : undefined;
    if (claims && calls) options.onSeen?.(claims);
    const handler = createMcpHandler(() => {
      const server = new McpServer({ name: audience, version: '1.0.0' });
      server.registerTool(tool.name, { description: tool.description, inputSchema: z.object({}) }, async () => ({
        content: [{ type: 'text', text: JSON.stringify(tool.answer(String(claims?.sub))) }],
      }));
      return server;
    });
    const headers = new Headers();
    for (const [name, value] of Object.entries(request.headers)) headers.set(name, String(value));
    const { method = 'GET' } = request;
    const answer = await handler.fetch(
      new Request(`http://${request.headers.host}${request.url}`, {
        method,
        headers,
        ...(method === 'POST' && { body }),
      }),
    );
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.body) Readable.fromWeb(answer.body).pipe(response);
    else response.end();
  }

  const server = createServer((request, response) => {
    handle(request, response).catch(() => {
      response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
