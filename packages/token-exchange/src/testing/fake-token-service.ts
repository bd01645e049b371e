import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SecretValue } from '@onbehalf/secret-value';
import type { ActorSource, SubjectSource, WorkloadSource } from '../types.ts';
import {
  type Anomaly,
  ISSUE_ANOMALIES,
  type Issue,
  isReplyAnomaly,
  type RefusalAnomaly,
  type ReplyAnomaly,
} from './anomalies.ts';
import { type AuthenticatedClient, checkClient, type FakeClient } from './client-check.ts';
import type { Dialect } from './dialects.ts';
import { type GrantSettings, introspectionOf, issueFor } from './grants.ts';
import { makeKeys, signText, signWith } from './keys.ts';
import { misbehave, sendJson, sendText } from './replies.ts';

/** Everything has a default; times come from `now`. */
export interface FakeOptions {
  /** Default: one client `platform` with the secret `platform-secret`. */
  readonly clients?: readonly FakeClient[];
  /** Path of the issuer, such as `/realms/one`. */
  readonly path?: string;
  /** Seconds; default 300. */
  readonly lifetime?: number;
  /** JWS algorithm of its keys; default `ES256`. */
  readonly alg?: string;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Whether `act` is issued from the actor token; default true. */
  readonly act?: boolean;
  /** Whether `sub_id` is issued (RFC 9493); default true. */
  readonly subId?: boolean;
  /** Put before `sub` of people from another issuer, with a colon; default none. */
  readonly prefix?: string;
  /** Audiences and resources that are known; default all. */
  readonly targets?: readonly string[];
  /** Of `dialects`; default the standard. */
  readonly dialect?: Dialect;
  /** Serve the metadata at the OpenID Connect address only. */
  readonly openidOnly?: boolean;
  /** RFC 7009. Default true. */
  readonly revocation?: boolean;
  /** Members of its metadata, instead of its own. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** A request at the token endpoint. */
export interface RecordedRequest {
  /** Its body. */
  readonly form: URLSearchParams;
  /** Names in lower case. */
  readonly headers: IncomingMessage['headers'];
  /** Who authenticated, and how; undefined where nobody did. */
  readonly client: AuthenticatedClient | undefined;
}

/** What a person's token says. */
export interface FakePerson {
  /** Default: this token service's. */
  readonly issuer?: string;
  /** Seconds; default 600. */
  readonly lifetime?: number;
  /** Beside, or instead of, the usual ones. */
  readonly claims?: Record<string, unknown>;
  /** A URN; default: an access token. */
  readonly tokenType?: string;
  /** The login session. */
  readonly sid?: string;
}

/** A token service on loopback, until `close`. */
export interface FakeTokenService extends AsyncDisposable {
  /** For `TokenServiceConfig.issuer`. */
  readonly issuer: string;
  /** Its token endpoint. */
  readonly endpoint: string;
  /** Its metadata. */
  readonly wellKnownUri: string;
  /** Its public keys. */
  readonly jwksUri: string;
  /** Requests at the token endpoint, in order. */
  readonly requests: RecordedRequest[];
  /** Requests at the revocation endpoint, in order. */
  readonly revocations: RecordedRequest[];
  /** Requests so far, by endpoint; `elsewhere` counts those that lead to none. */
  readonly counts: {
    token: number;
    metadata: number;
    jwks: number;
    introspection: number;
    revocation: number;
    elsewhere: number;
  };
  /**
   * Misbehave for the next requests, one each.
   * @param anomalies undefined behaves well
   */
  next(...anomalies: (Anomaly | undefined)[]): void;
  /**
   * Misbehave until told otherwise.
   * @param anomaly undefined behaves well
   */
  always(anomaly: Anomaly | undefined): void;
  /**
   * The revocation endpoint misbehaves until told otherwise.
   * @param anomaly undefined behaves well
   */
  failRevocations(anomaly: ReplyAnomaly | RefusalAnomaly | undefined): void;
  /**
   * What introspection says of a token.
   * @param token that this service issued
   */
  isActive(token: SecretValue): boolean;
  /** Let requests wait until the returned function is called. */
  hold(): () => void;
  /** Signs with a new key from now on; the old ones stay published. */
  rotateKeys(): Promise<void>;
  /**
   * A signed token, by the service's key (`own`) or by that of the platform that signs for agents.
   * @param claims all of them
   * @param by whose key; default `own`
   * @param typ of the header; default `at+jwt`
   */
  sign(claims: Record<string, unknown>, by?: 'own' | 'platform', typ?: string): Promise<SecretValue>;
  /**
   * A person with a token for this service.
   * @param subject `sub`
   * @param options what else it says
   */
  user(subject: string, options?: FakePerson): Promise<SubjectSource>;
  /**
   * An agent with actor tokens of the platform.
   * @param agent `name` as `NAMESPACE/NAME`; `chain`: the actors above it, nearest first
   */
  actor(agent: { uid: string; name: string; chain?: readonly string[] }): ActorSource;
  /** Assertions of the platform for agents. */
  readonly workload: WorkloadSource;
  /** Closes every connection; the promise waits for the socket. */
  close(): Promise<void>;
}

/** Where no anomaly has put another token. */
const TO_BE_SIGNED = 'to be signed';

/**
 * Starts one on a free port of 127.0.0.1.
 * @param options how it differs from the default
 */
export async function startFakeTokenService(options: FakeOptions = {}): Promise<FakeTokenService> {
  const now = options.now ?? Date.now;
  const clients = options.clients ?? [{ id: 'platform', secret: 'platform-secret' }];
  const path = options.path ?? '';
  const platform = await makeKeys('platform-1');
  const foreign = await makeKeys('foreign');
  let generation = 1;
  const keys = [await makeKeys('key-1', options.alg)];
  const issued = new Map<string, Record<string, unknown>>();
  const holders = new Map<string, string>();
  const replayed = new Set<string>();
  const requests: RecordedRequest[] = [];
  const revocations: RecordedRequest[] = [];
  const counts = { token: 0, metadata: 0, jwks: 0, introspection: 0, revocation: 0, elsewhere: 0 };
  let revocationFault: ReplyAnomaly | RefusalAnomaly | undefined;
  const queue: (Anomaly | undefined)[] = [];
  let standing: Anomaly | undefined;
  let held: Promise<void> | undefined;
  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer = `${origin}${path}`;
  const settings: GrantSettings = {
    issuer,
    now,
    lifetime: options.lifetime ?? 300,
    act: options.act ?? true,
    subId: options.subId ?? true,
    prefix: options.prefix ?? '',
    targets: options.targets,
  };
  const endpoints = {
    endpoint: `${issuer}/token`,
    jwksUri: `${issuer}/jwks`,
    wellKnownUri: options.openidOnly
      ? `${issuer}/.well-known/openid-configuration`
      : `${origin}/.well-known/oauth-authorization-server${path}`,
  };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = `${origin}${request.url ?? ''}`;
    const form = new URLSearchParams(await bodyOf(request));
    if (url === endpoints.wellKnownUri) {
      counts.metadata += 1;
      return sendJson(response, 200, {
        issuer,
        token_endpoint: endpoints.endpoint,
        jwks_uri: endpoints.jwksUri,
        introspection_endpoint: `${issuer}/introspect`,
        ...(options.revocation !== false && { revocation_endpoint: `${issuer}/revoke` }),
        ...options.metadata,
      });
    }
    if (url === endpoints.jwksUri) {
      counts.jwks += 1;
      return sendJson(response, 200, { keys: keys.map((one) => one.publicJwk) });
    }
    if (url === `${issuer}/introspect`) {
      counts.introspection += 1;
      const client = await checkClient(clients, issuer, request.headers, form, replayed);
      if (client === undefined) return sendJson(response, 401, { error: 'invalid_client' });
      return sendJson(response, 200, introspectionOf(form.get('token') ?? '', issued));
    }
    if (url === `${issuer}/revoke` && options.revocation !== false) {
      counts.revocation += 1;
      const client = await checkClient(clients, issuer, request.headers, form, replayed);
      revocations.push({ form, headers: request.headers, client });
      return revoke(response, form.get('token') ?? '', client);
    }
    if (url !== endpoints.endpoint || request.method !== 'POST') {
      counts.elsewhere += 1;
      return sendJson(response, 404, {});
    }
    counts.token += 1;
    const client = await checkClient(clients, issuer, request.headers, form, replayed);
    requests.push({ form, headers: request.headers, client });
    const anomaly = queue.length > 0 ? queue.shift() : standing;
    await held;
    if (anomaly !== undefined && isReplyAnomaly(anomaly)) return misbehave(response, anomaly, origin);
    return reply(response, form, client, anomaly);
  }

  /** RFC 7009 sections 2.1 and 2.2: what is unknown is no error, another client's token is. */
  async function revoke(
    response: ServerResponse,
    token: string,
    client: AuthenticatedClient | undefined,
  ): Promise<void> {
    if (typeof revocationFault === 'string') return misbehave(response, revocationFault, origin);
    if (revocationFault !== undefined) return refuse(response, revocationFault);
    if (client === undefined) return refuse(response, { error: 'invalid_client', status: 401 });
    const holder = holders.get(token);
    if (holder !== undefined && holder !== client.id) return refuse(response, { error: 'unauthorized_client' });
    issued.delete(token);
    response.writeHead(200).end();
  }

  async function reply(
    response: ServerResponse,
    sent: URLSearchParams,
    client: AuthenticatedClient | undefined,
    anomaly: Exclude<Anomaly, string> | keyof typeof ISSUE_ANOMALIES | undefined,
  ): Promise<void> {
    const { dialect } = options;
    if (client === undefined) return refuse(response, dialect?.badClient ?? { error: 'invalid_client', status: 401 });
    if (typeof anomaly === 'object') return refuse(response, anomaly);
    const refusal = dialect?.refuse?.(sent, client);
    if (refusal) return refuse(response, refusal);
    const form = dialect?.read?.(sent) ?? sent;
    const issue = await issueFor(form, client, keys, platform, settings);
    if ('error' in issue) return refuse(response, dialect?.badSubject ?? issue);
    dialect?.issue?.(issue, sent, client);
    issue.body.access_token = TO_BE_SIGNED;
    if (typeof anomaly === 'string') ISSUE_ANOMALIES[anomaly](issue);
    anomaly instanceof Function && anomaly(issue);
    if (issue.body.access_token === TO_BE_SIGNED) {
      const token = await tokenOf(issue);
      issue.body.access_token = token;
      holders.set(token, client.id);
    }
    sendText(response, 200, withMembers(issue.body, issue.more?.answer));
  }

  async function tokenOf({ claims, typ, signedBy, kid, more }: Issue): Promise<string> {
    const [key = foreign] = keys;
    let token: string;
    if (signedBy === 'opaque') token = crypto.randomUUID();
    else if (signedBy === 'none') token = `${encode({ alg: 'none', typ })}.${encode(claims)}.`;
    else if (more !== undefined) {
      const header = { alg: key.alg, kid: key.kid, typ };
      token = await signText(key, withMembers(header, more.header), withMembers(claims, more.claims));
    } else token = await signWith(signedBy === 'own' ? key : foreign, claims, typ, kid ?? key.kid);
    issued.set(token, claims);
    return token;
  }

  const service: FakeTokenService = {
    issuer,
    ...endpoints,
    requests,
    revocations,
    counts,
    failRevocations: (anomaly) => {
      revocationFault = anomaly;
    },
    isActive: (token) => issued.has(token.reveal()),
    next: (...anomalies) => queue.push(...anomalies),
    always: (anomaly) => {
      standing = anomaly;
    },
    hold: () => {
      let release = () => {};
      held = new Promise((resolve) => {
        release = () => {
          held = undefined;
          resolve();
        };
      });
      return release;
    },
    rotateKeys: async () => {
      generation += 1;
      keys.unshift(await makeKeys(`key-${generation}`, options.alg));
    },
    sign: async (claims, by = 'own', typ = 'at+jwt') => {
      const [key = foreign] = keys;
      return SecretValue.of(await signWith(by === 'own' ? key : platform, claims, typ));
    },
    user: async (subject, person = {}) => {
      const principal = { issuer: person.issuer ?? issuer, subject };
      const iat = Math.floor(now() / 1000);
      const exp = iat + (person.lifetime ?? 600);
      const claims = { iss: principal.issuer, sub: subject, aud: issuer, iat, exp, jti: crypto.randomUUID() };
      const sid = person.sid === undefined ? {} : { sid: person.sid };
      const token = await service.sign({ ...claims, ...sid, ...person.claims });
      return {
        principal,
        refreshable: false,
        ...(person.sid === undefined ? {} : { loginSession: person.sid }),
        current: async () => ({
          token,
          tokenType: person.tokenType ?? 'urn:ietf:params:oauth:token-type:access_token',
          expiresAt: exp * 1000,
        }),
      };
    },
    actor: ({ uid, name, chain }) => {
      const identity = {
        iss: 'https://platform.example',
        sub: `agent:${name}`,
        agentUid: uid,
        ...(chain && { chain }),
      };
      return {
        identity,
        current: async (audience) => ({
          token: await service.sign(
            { iss: identity.iss, sub: identity.sub, agent_uid: uid, aud: audience, jti: crypto.randomUUID() },
            'platform',
            'actor+jwt',
          ),
          tokenType: 'urn:ietf:params:oauth:token-type:jwt',
        }),
      };
    },
    workload: {
      assertion: (agent, audience) =>
        service.sign({ iss: 'https://platform.example', sub: `agent:${agent.name}`, aud: audience }, 'platform', 'JWT'),
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    [Symbol.asyncDispose]: () => service.close(),
  };
  return service;
}

function refuse(response: ServerResponse, refusal: RefusalAnomaly): void {
  const { error, status = 400, description, claims, headers = {} } = refusal;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  sendJson(response, status, { error, error_description: description, claims });
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** The object as JSON, with members behind it as they are written. */
function withMembers(object: object, members: string | undefined): string {
  const text = JSON.stringify(object);
  return members === undefined ? text : `${text.slice(0, -1)},${members}}`;
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
