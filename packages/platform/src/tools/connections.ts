import {
  Client,
  type PriorDiscovery,
  SSEClientTransport,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client';
import { ToolError } from './errors.ts';
import type { McpServer } from './ports.ts';

const IDLE_MS = 120_000;
const CLIENT = { name: 'onbehalf', version: '0.1.0' };

interface Connection {
  client: Promise<Client>;
  session: string;
  server: string;
  idle: NodeJS.Timeout | undefined;
  users: number;
}

export interface Connections {
  /** Runs `use` over the connection of `key`, made at its first use and closed when idle. */
  with<T>(
    key: { session: string; server: McpServer; rest: string; prior: PriorDiscovery | undefined },
    fetch: () => typeof globalThis.fetch,
    use: (client: Client) => Promise<T>,
  ): Promise<T>;
  /** Closes those of a session or of a server (by uid). */
  end(filter: { session?: string; server?: string }): void;
  close(): Promise<void>;
}

/**
 * One connection per (session, server, target without its scopes, mode): scopes choose the token of a request. Servers of
 * the older era share a session id otherwise.
 */
export function createConnections(): Connections {
  const open = new Map<string, Connection>();

  function drop(key: string, connection: Connection) {
    if (open.get(key) === connection) open.delete(key);
    clearTimeout(connection.idle);
    connection.client.then((client) => client.close()).catch(() => undefined);
  }

  return {
    async with({ session, server, rest, prior }, fetch, use) {
      const key = JSON.stringify([session, server.metadata.uid, server.metadata.generation, rest]);
      let connection = open.get(key);
      if (!connection) {
        connection = {
          client: connectClient(server, fetch(), prior),
          session,
          server: server.metadata.uid,
          idle: undefined,
          users: 0,
        };
        open.set(key, connection);
      }
      clearTimeout(connection.idle);
      connection.users++;
      let broken = true;
      try {
        const client = await connection.client;
        const result = await use(client);
        broken = false;
        return result;
      } finally {
        connection.users--;
        const mine = connection;
        if (broken) drop(key, mine);
        else if (mine.users === 0) {
          mine.idle = setTimeout(() => drop(key, mine), IDLE_MS);
          mine.idle.unref();
        }
      }
    },
    end({ session, server }) {
      for (const [key, connection] of open)
        if (connection.session === session || connection.server === server) drop(key, connection);
    },
    async close() {
      const closing = [...open.values()].map(({ client }) =>
        client.then((open) => open.close()).catch(() => undefined),
      );
      for (const [key, connection] of open) drop(key, connection);
      await Promise.all(closing);
    },
  };
}

/** No capability is declared, so sampling, roots and elicitation are refused by the protocol itself. */
export async function connectClient(
  server: McpServer,
  fetch: typeof globalThis.fetch,
  prior: PriorDiscovery | undefined,
): Promise<Client> {
  if (server.spec.protocol === 'Stdio' || server.spec.url === undefined)
    throw new ToolError('tool_unsupported', 'this version has no stdio client', 'administrator');
  const client = new Client(CLIENT, {
    capabilities: {},
    versionNegotiation: { mode: 'auto' },
    inputRequired: { autoFulfill: false },
  });
  const url = new URL(server.spec.url);
  const transport =
    server.spec.protocol === 'SSE'
      ? new SSEClientTransport(url, { fetch })
      : new StreamableHTTPClientTransport(url, { fetch, requestInit: { redirect: 'manual' } });
  await client.connect(transport, { timeout: 30_000, ...(prior && { prior }) });
  return client;
}
