import type { IncomingMessage, ServerResponse } from 'node:http';
import type { IssuerConfig, Principal, PrincipalLookup, Role, Verifier } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import type { ActorSource, ClientConfig, PrivateKeyJwt, SubjectSource, WorkloadSource } from '@onbehalf/token-exchange';
import type { Audit } from '../audit/index.ts';
import type { Egress } from '../egress/index.ts';
import type { Registry, Store } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';

export interface PrincipalName {
  issuer: string;
  subject: string;
}

export interface AgentName {
  uid: string;
  namespace: string;
  name: string;
}

/** May this person run this agent (and every agent above it), and is this server bound to it? */
export interface TargetQuestion {
  /** Undefined for an agent's own token (Workload): then only the binding counts. */
  subject: PrincipalName | undefined;
  agent: AgentName;
  /** Undefined for a delegation: then the agent must be bound to the one above it. */
  server: { uid: string; namespace: string; name: string } | undefined;
  /** The agents above the one that acts, nearest first. */
  chain: readonly AgentName[];
}

export interface IdentityOptions {
  /** Origin of the installation, and the issuer's name. */
  publicUrl: string;
  /** Names cookies, so that two installations on one host do not share them. */
  installation: string;
  store: Store;
  vault: Vault;
  audit: Audit;
  registry: Registry;
  egress: Egress;
  /** Milliseconds since the epoch. */
  now?: () => number;
  /** Default: whether `publicUrl` is https. */
  secureCookies?: boolean;
  authorizeTarget(question: TargetQuestion): boolean;
  /** Other issuers whose tokens may be exchanged here, and the legacy ones whose subjects are minted. */
  trustedIssuers?: () => readonly IssuerConfig[];
  /** Those of them at which people sign in to the console. One that has changed is a new object. */
  loginIssuers?: () => readonly LoginIssuer[];
  /** Takes note of a failure that a client is only told as `server_error`. */
  onError?: (error: unknown) => void;
}

/** Our client at an issuer, and what its sign-in asks for. */
export interface LoginIssuer {
  /** Of the TrustedIssuer. */
  name: string;
  issuer: string;
  client: ClientConfig;
  scopes: readonly string[];
  resource: readonly string[];
  audience: readonly string[];
}

export interface UserInput {
  subject: string;
  name?: string;
  email?: string;
  role: Role;
  password?: SecretValue;
}

export interface UserView extends PrincipalName {
  kind: 'person' | 'service' | 'workload';
  name?: string;
  email?: string;
  role?: Role;
  disabled: boolean;
  /** ISO 8601 */
  createdAt: string;
  /** ISO 8601 */
  lastSeen?: string;
}

/** Local people of the embedded issuer; of other issuers' people only role and `disabled` are kept. Every change is audited. */
export interface Users {
  /** @throws IdentityError `user_exists`, `invalid_user` */
  create(user: UserInput, by?: PrincipalName): Promise<UserView>;
  /** Creates the user where there is none; leaves one that is there as it is. */
  ensure(user: UserInput, by?: PrincipalName): Promise<UserView>;
  /** The principals of every issuer. */
  list(): Promise<UserView[]>;
  /** @throws IdentityError `user_not_found`, `role_not_local` */
  setRole(issuer: string, subject: string, role: Role, by?: PrincipalName): Promise<void>;
  /** Also of a principal that was never seen. Ends logins, refresh tokens and links when it disables. */
  disable(issuer: string, subject: string, disabled: boolean, by?: PrincipalName): Promise<void>;
  /** @throws IdentityError `user_not_found`, `invalid_user` */
  setPassword(subject: string, password: SecretValue, by?: PrincipalName): Promise<void>;
}

export interface LoginLink {
  token: SecretValue;
  /** `publicUrl/login/link#TOKEN` */
  url: SecretValue;
  /** Milliseconds since the epoch. */
  expiresAt: number;
}

export interface LoginSession {
  principal: Principal;
  subject: SubjectSource;
  /** What unsafe requests must repeat in `x-onbehalf-csrf`. */
  csrf: string;
  idHash: string;
}

/** What decides whether a login's access token can be a subject at a token service (RFC 8693 section 2.1). */
export interface SubjectTokenFacts {
  /** `aud`; undefined of an opaque one, which only its issuer can read. */
  audience: readonly string[] | undefined;
  /** Milliseconds, from when it was issued. */
  lifetime: number;
}

export interface CompletedSignIn {
  setCookie: string[];
  location: string;
  /** Name of the TrustedIssuer. None where the command line was sent a refusal. */
  issuer?: string;
  subjectToken?: SubjectTokenFacts;
}

/** The console's logins: tokens stay here, the browser holds a cookie that means nothing elsewhere. */
export interface LoginSessions {
  readonly cookieName: string;
  /** The issuers at which somebody can sign in; the embedded one (`onbehalf`) only where it has people. */
  issuers(): readonly { name: string; issuer: string }[];
  /**
   * An authorization request at the issuer of that name, by default the embedded one. `returnTo` is a path of ours,
   * `/ui/` by default. @throws IdentityError `login_unavailable`
   */
  begin(returnTo?: string, issuer?: string): Promise<{ location: string; setCookie: string }>;
  /** The same for the command line, by its query (RFC 6749 section 4.1.1) with the name of the issuer in `issuer`. */
  beginNative(query: URLSearchParams): Promise<{ location: string; setCookie: string }>;
  /**
   * `cookies`: the request's Cookie header. @throws IdentityError `login_failed`, `login_refused`,
   * `login_unavailable`, `login_unusable`
   */
  callback(url: string, cookies: string | undefined): Promise<CompletedSignIn>;
  authenticate(cookie: SecretValue): Promise<LoginSession | undefined>;
  /** A login by what others hold of it: the hash of its id. */
  byHash(idHash: string): Promise<LoginSession | undefined>;
  /** Ends this login only. */
  logout(cookie: SecretValue): Promise<{ setCookie: string[] }>;
}

export interface Ticket {
  principal: Principal;
  subject: SubjectSource | undefined;
  loginIdHash?: string;
}

/** One WebSocket each: 30 s, one agent, one use. */
export interface Tickets {
  /** `login`: the cookie session or the bearer's subject that asks. A bearer's token is kept in memory only. */
  create(
    principal: Principal,
    agentUid: string,
    login?: { loginSession?: string | undefined; subject?: SubjectSource | undefined },
  ): Promise<SecretValue>;
  redeem(ticket: SecretValue, agentUid: string): Promise<Ticket | undefined>;
}

/** What the tools room asks of the embedded issuer. */
export interface PlatformClient {
  readonly publicUrl: string;
  readonly client: PrivateKeyJwt;
  readonly workload: WorkloadSource;
  actorFor(agent: AgentName): ActorSource;
  readonly fetch: typeof globalThis.fetch;
  readonly doorAudiences: readonly string[];
}

/** Requests at the token endpoint, those over the socket included. */
export interface TokenServiceCounts {
  exchanges: number;
  delegations: number;
  workloads: number;
  refused: number;
}

export interface ClientInput {
  id: string;
  grants: readonly ClientGrant[];
  /** Agents, as `namespace/name`, that the client may name as actors. */
  agents?: readonly string[];
  /** Public keys: the client signs its assertions. Without them it gets a secret. */
  jwks?: { keys: readonly object[] };
}

export type ClientGrant = 'exchange' | 'workload' | 'introspect';

/** Clients of the token service beside the built-in ones. */
export interface Clients {
  /** @throws IdentityError `client_exists`, `invalid_client` */
  add(client: ClientInput, by?: PrincipalName): Promise<{ id: string; secret?: SecretValue }>;
  list(): Promise<(Omit<ClientInput, 'jwks'> & { createdAt: string })[]>;
  remove(id: string, by?: PrincipalName): Promise<void>;
}

export interface Principals extends PrincipalLookup {
  /** For decisions on behalf of somebody whose token was verified a while ago. */
  disabled(): readonly PrincipalName[];
  /** Called after the view has taken a change over. `ended`: whose every token of before is refused from now on. */
  onChange(listener: (ended: readonly PrincipalName[]) => void): () => void;
}

export interface Identity {
  readonly issuer: string;
  /** Answers what is below /oidc, /sts, /jwks, /.well-known and /login/link, /login/assets; false: not ours. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<boolean>;
  /** Our own endpoints without a socket; anything else is refused. */
  readonly fetch: typeof globalThis.fetch;
  issuerConfig(): IssuerConfig;
  /** For every door: tokens of our own and of `trustedIssuers`. */
  readonly verifier: Verifier;
  readonly principals: Principals;
  readonly platform: PlatformClient;
  readonly users: Users;
  readonly loginLinks: {
    /** @throws IdentityError `user_not_found` */
    create(subject: string, by?: PrincipalName): Promise<LoginLink>;
  };
  readonly clients: Clients;
  readonly sessions: LoginSessions;
  readonly tickets: Tickets;
  /** The token that was presented, until it ends; then `current` rejects with `user_token_required`. */
  subjectOfBearer(principal: Principal, token: SecretValue): SubjectSource;
  /** A token minted for the token service alone; undefined unless the issuer's `mintSubject` is on. */
  subjectOfLegacy(principal: Principal): SubjectSource | undefined;
  /** Keeps people of other issuers in the list of users: at most one write per principal and hour. */
  noteSeen(principal: Principal): Promise<void>;
  counts(): TokenServiceCounts;
  /** New signing keys; the old ones verify until their tokens have ended. */
  rotateKeys(by?: PrincipalName): Promise<void>;
  close(): Promise<void>;
}
