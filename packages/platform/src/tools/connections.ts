import {
  Client,
  type PriorDiscovery,
  SdkHttpError,
  SSEClientTransport,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client';
import { ToolError } from './errors.ts';
import type { McpServer } from './ports.ts';
import { readTolerantly } from './tolerant.ts';

const IDLE_MS = 120_000;
const CLIENT = { name: 'onbehalf', version: '0.1.0' };

interface Connection {
  key: string;
  client: Promise<Client>;
  session: string;
  server: string;
  idle: NodeJS.Timeout | undefined;
  users: number;
  /** Nobody new gets it: it is closed when those who use it are done. */
  retired: boolean;
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

  /** What one call met says nothing about the calls beside it: they go on to their end. */
  function retire(connection: Connection) {
    if (connection.retired) return;
    if (open.get(connection.key) === connection) open.delete(connection.key);
    connection.retired = true;
    clearTimeout(connection.idle);
    if (connection.users === 0) connection.client.then(end).catch(() => undefined);
  }

  /** At once: what is under way on it ends as not known. */
  function cut(connection: Connection) {
    retire(connection);
    connection.client.then((client) => client.close()).catch(() => undefined);
  }

  function connectionOf(key: string, session: string, server: McpServer, connect: () => Promise<Client>): Connection {
    const known = open.get(key);
    if (known) return known;
    const made: Connection = {
      ...{ key, session, server: server.metadata.uid, idle: undefined, users: 0, retired: false },
      client: connect(),
    };
    open.set(key, made);
    made.client.then(
      (client) => {
        client.onclose = () => retire(made);
      },
      () => retire(made),
    );
    return made;
  }

  return {
    async with({ session, server, rest, prior }, fetch, use) {
      const key = JSON.stringify([session, server.metadata.uid, server.metadata.generation, rest]);
      for (let again = false; ; again = true) {
        const connection = connectionOf(key, session, server, () => connectClient(server, fetch(), prior));
        clearTimeout(connection.idle);
        connection.users++;
        try {
          const client = await connection.client;
          try {
            return await use(client);
          } catch (error) {
            if (!isEndedSession(error, client)) throw error;
            retire(connection);
            if (again) throw error;
          }
        } finally {
          connection.users--;
          if (connection.users === 0) {
            if (connection.retired) connection.client.then(end).catch(() => undefined);
            else connection.idle = setTimeout(() => retire(connection), IDLE_MS).unref();
          }
        }
      }
    },
    end({ session, server }) {
      for (const connection of open.values())
        if (connection.session === session || connection.server === server) cut(connection);
    },
    async close() {
      const closing = [...open.values()].map(({ client }) => client.then((one) => one.close()).catch(() => undefined));
      for (const connection of open.values()) retire(connection);
      await Promise.all(closing);
    },
  };
}

/**
 * The server knows the session no more (revision 2025-11-25, Transports, Session Management, point 4): the request was not
 * looked at, and is made again in a new one.
 */
const isEndedSession = (error: unknown, { transport }: Client): boolean =>
  error instanceof SdkHttpError && error.status === 404 && sessionOf(transport) !== undefined;

const sessionOf = (transport: Client['transport']) =>
  transport instanceof StreamableHTTPClientTransport ? transport.sessionId : undefined;

/** Tells the server that its session is over (point 5 there), if it can still be told. */
async function end(client: Client): Promise<void> {
  const { transport } = client;
  if (transport instanceof StreamableHTTPClientTransport && transport.sessionId !== undefined)
    await transport.terminateSession().catch(() => undefined);
  await client.close();
}

/** No capability is declared, so sampling, roots and elicitation are refused by the protocol itself. */
export async function connectClient(
  server: McpServer,
  fetch: typeof globalThis.fetch,
  prior: PriorDiscovery | undefined,
  leftOut: (what: string) => void = () => undefined,
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
  readTolerantly(client, leftOut);
  return client;
}
