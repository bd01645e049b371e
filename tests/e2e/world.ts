import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Running, up } from '@onbehalf/platform/up';
import type { TurnResult } from '@onbehalf/resources';
import { adminCall } from '../../examples/demo/api.ts';
import { freePort } from '../../examples/demo/free-port.ts';
import { signIn } from '../../examples/demo/sign-in.ts';
import { startHr } from '../../examples/tool-servers/hr.ts';
import { startOrders } from '../../examples/tool-servers/orders.ts';
import type { RunningToolServer, Seen } from '../../examples/tool-servers/tool-server.ts';
import { routeTable } from './route-table.ts';

export { freePort };

export interface Answer<T = Record<string, unknown>> {
  status: number;
  headers: Headers;
  body: T;
}

export interface World extends AsyncDisposable {
  url: string;
  dataDir: string;
  server: Running;
  /** What it said at its start. */
  notes: readonly string[];
  orders: RunningToolServer;
  hr: RunningToolServer;
  seen: { orders: Seen[]; hr: Seen[] };
  /** As `local-admin`. */
  admin<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: T }>;
  /** A fresh access token of this person, signed in through the front door. */
  token(user: string): Promise<string>;
  /** With that token; JSON in and out. */
  as<T = Record<string, unknown>>(
    token: string | undefined,
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer<T>>;
  apply(yaml: string): Promise<{ status: number; body: Record<string, unknown> }>;
  /** Applies what must be taken. @throws {AssertionError} with the answer, where it is not. */
  applied(yaml: string): Promise<void>;
}

export interface WorldOptions {
  env?: Record<string, string>;
  dataDir?: string;
  port?: number;
  /** Leave the demo's people and resources out. */
  bare?: boolean;
  /** The ModelConfig `default` comes from the environment. */
  withoutModel?: boolean;
  /** The configuration file, as YAML. */
  config?: string;
}

const PEOPLE = {
  alice: 'REGULAR',
  bob: 'REGULAR',
  carol: 'REGULAR',
  rita: 'RESTRICTED',
  root: 'ADMIN',
  mallory: 'INACTIVE',
  audrey: 'AUDITOR',
} as const;

/** The whole product in this process, with the demo's people and resources, on free ports. */
export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'onbehalf-e2e-')));
  const port = options.port ?? (await freePort());
  const configFile = options.config === undefined ? undefined : join(dataDir, 'onbehalf.yaml');
  if (configFile !== undefined) await writeFile(configFile, options.config ?? '');
  const url = `http://localhost:${port}`;
  const seen: World['seen'] = { orders: [], hr: [] };
  const notes: string[] = [];
  const orders = await startOrders({ issuer: url, port: 0, onSeen: (entry) => seen.orders.push(entry) });
  const hr = await startHr({ issuer: url, port: 0, onSeen: (entry) => seen.hr.push(entry) });
  const server = await up({
    flags: { port, dataDir },
    ...(configFile !== undefined && { configFile }),
    env: {
      ONBEHALF_PRIVATE_NETWORKS: '127.0.0.1/32',
      ONBEHALF_LOG_LEVEL: 'silent',
      XDG_STATE_HOME: join(dataDir, 'state'),
      ...options.env,
    },
    print: (line) => notes.push(line),
  }).catch(async (error: unknown) => {
    // What listens would keep the test alive after it has failed.
    await orders.close();
    await hr.close();
    throw error;
  });
  const admin: World['admin'] = (method, path, body) => adminCall(server.adminSocket, method, path, body);
  const world: World = {
    url,
    dataDir,
    server,
    notes,
    orders,
    hr,
    seen,
    admin,
    async token(user) {
      const { body } = await admin<{ url: string }>('POST', '/login-links', { user });
      return signIn(url, body.url);
    },
    async as<T>(
      token: string | undefined,
      method: string,
      path: string,
      body?: unknown,
      headers: Record<string, string> = {},
    ) {
      const response = await fetch(`${url}/api${path}`, {
        method,
        headers: {
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const answer = text === '' ? undefined : (JSON.parse(text) as unknown);
      if (response.ok) checkAnswer(method, path, response.status, answer);
      return { status: response.status, headers: response.headers, body: answer as T };
    },
    apply: (documents) => admin('POST', '/apply', { documents }),
    async applied(yaml) {
      const { status, body } = await world.apply(yaml);
      assert.equal(status, 200, JSON.stringify(body));
    },
    async [Symbol.asyncDispose]() {
      await server.close();
      await orders.close();
      await hr.close();
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
  if (!options.bare) await furnish(world, options.withoutModel ?? false);
  return world;
}

async function furnish(world: World, withoutModel: boolean): Promise<void> {
  for (const [subject, role] of Object.entries(PEOPLE))
    await world.admin('POST', '/principals', { subject, role, name: subject.toUpperCase() });
  const yaml = (await readFile(join(import.meta.dirname, '..', '..', 'examples', 'demo.yaml'), 'utf8'))
    .replaceAll('http://localhost:8484', world.url)
    .replaceAll('http://127.0.0.1:9201/mcp', world.orders.url)
    .replaceAll('http://127.0.0.1:9202/mcp', world.hr.url);
  await world.applied(withoutModel ? yaml.slice(yaml.indexOf('\n---\n') + 5) : yaml);
  for (const name of ['orders', 'hr']) await world.admin('POST', `/mcp-servers/${name}/actions/test`);
}

/** Opens a session and says one thing. */
export async function say(world: World, token: string, content: string, session?: string) {
  const id = session ?? (await world.as<{ id: string }>(token, 'POST', '/agents/assistant/sessions', {})).body.id;
  return world.as<TurnResult>(token, 'POST', `/agents/assistant/sessions/${id}/messages`, { content });
}

const patterns = routeTable.map((route) => ({
  route,
  pattern: new RegExp(`^${route.path.replaceAll(/:[a-z]+/g, '[^/]+')}$`),
}));

/** Every answer of every test is held against what the OpenAPI document promises for it. */
function checkAnswer(method: string, path: string, status: number, answer: unknown): void {
  const address = path.split('?')[0] ?? '';
  const found = patterns.find(({ route, pattern }) => route.method === method && pattern.test(address));
  if (!found) return;
  const promised = found.route.responses[status];
  if (promised === undefined) throw new Error(`${method} ${address} answered ${status}, which is not described`);
  if (promised === null || promised === 'event-stream') return;
  const parsed = promised.safeParse(answer);
  if (!parsed.success)
    throw new Error(`${method} ${address} answered otherwise than described: ${parsed.error.message}`);
}

/** Lets somebody run the assistant, by a Grant of their own name. */
export const grantRun = (world: World, user: string) =>
  world.applied(`
apiVersion: onbehalf.dev/v1alpha1
kind: Grant
metadata: {name: ${user}}
spec: {to: {principal: {issuer: "${world.url}", subject: ${user}}}, on: {kind: Agent, name: assistant}, verbs: [run]}
`);
