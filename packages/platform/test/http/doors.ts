import { createHash } from 'node:crypto';
import { type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createVerifier, type Role } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import { pino } from 'pino';
import WebSocket from 'ws';
import { loadConfig } from '../../src/config.ts';
import { createApp } from '../../src/http/app.ts';
import { createAuthenticator } from '../../src/http/authenticate.ts';
import { createReadiness } from '../../src/http/readiness.ts';
import type { Route } from '../../src/http/route.ts';
import { sessionRoutes } from '../../src/http/routes/sessions.ts';
import { createLimits } from '../../src/limits/index.ts';
import { createTickets, createUsers, followPrincipals } from '../../src/people/index.ts';
import { createPolicy, type Presence } from '../../src/policy/index.ts';
import { until } from '../control/fixture.ts';
import { startChain } from '../runtime/chain.ts';

export const PUBLIC_URL = 'http://localhost:8484';
const HOST = 'localhost:8484';
const COOKIE = 'onbehalf-session';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  body: Record<string, unknown>;
}

/**
 * The doors over a real runtime, store, policy and verifier. alice and bob of one issuer may run the assistant; logins of
 * the console are kept here in two lines, since they are another room's.
 */
export async function startDoors(
  options: { routes?: Route[]; limits?: Record<string, number>; consoleDir?: string } = {},
) {
  const chain = await startChain();
  await chain.ready();
  const { sts, store, registry, audit, runtime, tools } = chain;
  const clock = { ahead: 0 };
  const now = () => Date.now() + clock.ahead;
  await chain.apply(
    [
      `kind: TrustedIssuer\nmetadata: {name: sts}\nspec: {issuer: "${sts.issuer}", jwksUri: "${sts.jwksUri}", maxRole: ADMIN}`,
      ...['alice', 'bob', 'rita', 'root'].map(
        (name) =>
          `kind: Grant\nmetadata: {name: ${name}}\nspec: {to: {principal: {issuer: "${sts.issuer}", subject: ${name}}}, on: {kind: Agent, name: assistant}, verbs: [run]}`,
      ),
    ]
      .map((text) => `apiVersion: onbehalf.dev/v1alpha1\n${text}\n`)
      .join('---\n'),
  );
  for (const { metadata } of registry.list('Grant'))
    await registry.updateStatus(metadata.uid, (status) => ({ ...status, targetUid: chain.agent().metadata.uid }));
  const principals = await followPrincipals(store);
  const users = createUsers({ store, audit, principals, now, issuer: PUBLIC_URL });
  const policy = createPolicy({ registry, principals, issuer: PUBLIC_URL, now });
  const verifier = createVerifier({
    issuers: () => [
      {
        ...{ name: 'sts', issuer: sts.issuer, keys: { kind: 'jwks', uri: sts.jwksUri }, algorithms: ['ES256'] },
        ...{ audiences: { api: [sts.issuer] }, typ: ['at+jwt', 'JWT'], subjectClaims: ['sub'] },
        ...{ claims: { roles: 'roles' }, maxRole: 'ADMIN' },
      },
    ],
    ...{ fetch: globalThis.fetch, principals, now },
  });
  const logins = new Map<string, { token: SecretValue; csrf: string; idHash: string }>();
  const sessionOf = async (known: { token: SecretValue; csrf: string; idHash: string } | undefined) => {
    if (known === undefined) return undefined;
    const verified = await verifier.verify(known.token, 'api');
    const principal = { ...verified, credential: { ...verified.credential, kind: 'session' as const } };
    return { ...known, principal, subject: subjectOf(verified, known.token) };
  };
  const subjectOf = (
    principal: { issuer: string; subject: string; credential: { expiresAt?: number } },
    token: SecretValue,
  ) => ({
    ...{ principal, refreshable: false },
    current: async () => ({
      ...{ token, tokenType: 'urn:ietf:params:oauth:token-type:access_token' },
      expiresAt: principal.credential.expiresAt ?? 0,
    }),
  });
  const byHash = (hash: string) => sessionOf([...logins.values()].find(({ idHash }) => idHash === hash));
  const tickets = createTickets({ store, principals, session: byHash, now });
  const limits = createLimits({
    settings: { ...loadConfig({ env: {} }).limits, ...options.limits },
    trustedProxies: [],
  });
  const presence: Presence = { session: byHash, verifier, principals, now };
  const authenticator = createAuthenticator({
    ...{ publicUrl: PUBLIC_URL, limits, now, verifier, tickets, users, policy, registry, runtime },
    login: {
      sessions: { cookieName: COOKIE, authenticate: (cookie) => sessionOf(logins.get(cookie.reveal())) as never },
      subjectOfBearer: subjectOf,
      subjectOfLegacy: () => undefined,
    },
  });
  const logged: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void logged.push(line) });
  const keyedHash = (value: string) => ({ key: 'k1', hash: createHash('sha256').update(value).digest('base64url') });
  const readiness = createReadiness({ store, now });
  const ports = { limits, registry, audit, policy, tools, runtime, presence, authenticator, keyedHash, log, now };
  const app = {
    ...{ ...ports, readiness, publicUrl: PUBLIC_URL, version: 'test', pages: [] },
    consoleDir: options.consoleDir,
    routes: [...sessionRoutes(ports), ...(options.routes ?? [])],
  };
  const tcp = await createApp(app, 'tcp');
  await tcp.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = tcp.app.server.address() as AddressInfo;

  async function token(subject: string, role: Role = 'REGULAR', more: { lifetime?: number; sid?: string } = {}) {
    const source = await sts.user(subject, { ...more, claims: { roles: [role] } });
    return (await source.current()).token;
  }
  const bearer = async (...who: Parameters<typeof token>) => ({
    authorization: `Bearer ${(await token(...who)).reveal()}`,
  });

  function ask(
    method: string,
    path: string,
    headers: Record<string, string | string[]> = {},
    body?: string | Buffer,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        { host: '127.0.0.1', port, method, path, headers: { host: HOST, ...headers } },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            const json = /json/.test(response.headers['content-type'] ?? '') && text !== '';
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text,
              body: json ? JSON.parse(text) : {},
            });
          });
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }

  return {
    ...{ chain, clock, policy, principals, users, tickets, limits, readiness, logged, app, port, token, bearer, ask },
    issuer: sts.issuer,
    uid: chain.agent().metadata.uid,
    /** A console login of this person: its cookie and what unsafe requests repeat. */
    async login(subject: string, role: Role = 'REGULAR') {
      const cookie = crypto.randomUUID();
      const login = { token: await token(subject, role), csrf: `csrf-of-${subject}`, idHash: `hash-${cookie}` };
      logins.set(cookie, login);
      return { ...login, cookie: `${COOKIE}=${cookie}`, end: () => logins.delete(cookie) };
    },
    /** One socket: its frames in order, and how it ended. `refused`: the status of the upgrade. */
    async socket(headers: Record<string, string>, query = 'protocol=2') {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/api/agents/assistant/react?${query}`, {
        headers: { host: HOST, ...headers },
      });
      const frames: Record<string, unknown>[] = [];
      let closed: number | undefined;
      socket.on('message', (data) => frames.push(JSON.parse(String(data)) as Record<string, unknown>));
      socket.on('close', (code) => {
        closed = code;
      });
      const refused = await new Promise<number | undefined>((resolve, reject) => {
        socket.once('open', () => resolve(undefined));
        socket.once('unexpected-response', (_request, response) => resolve(response.statusCode));
        socket.once('error', reject);
      });
      return {
        ...{ frames, refused },
        send: (frame: unknown) => socket.send(JSON.stringify(frame)),
        raw: (data: string | Buffer) => socket.send(data),
        async frame(type: string) {
          await until(() => frames.some((one) => one.type === type));
          return frames.find((one) => one.type === type) ?? {};
        },
        async closedWith() {
          await until(() => closed !== undefined);
          return closed;
        },
        close: () => socket.terminate(),
      };
    },
    async [Symbol.asyncDispose]() {
      tcp.closeSockets();
      await tcp.app.close();
      policy.close();
      verifier.close();
      principals.close();
      await chain.close();
    },
  };
}

export type Doors = Awaited<ReturnType<typeof startDoors>>;
