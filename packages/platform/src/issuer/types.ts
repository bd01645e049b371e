import type { IncomingMessage, ServerResponse } from 'node:http';
import type { IssuerConfig, Verifier } from '@onbehalf/access';
import type { AgentIdentity } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import type { ActorSource, PrivateKeyJwt, WorkloadSource } from '@onbehalf/token-exchange';
import type { JWTPayload } from 'jose';
import type { Audit } from '../audit/index.ts';
import type { Egress } from '../egress/index.ts';
import type { Limits } from '../limits/index.ts';
import type { PrincipalName, Principals } from '../people/index.ts';
import type { Registry, Store } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';

/** May this person run this agent (and every agent above it), and is this server bound to it? */
export interface TargetQuestion {
  /** Undefined for an agent's own token (Workload): then only the binding counts. */
  subject: PrincipalName | undefined;
  agent: AgentIdentity;
  /** Undefined for a delegation: then the agent must be bound to the one above it. */
  server: { uid: string; namespace: string; name: string } | undefined;
  /** The agents above the one that acts, nearest first. */
  chain: readonly AgentIdentity[];
}

export interface LoginLink {
  token: SecretValue;
  /** `publicUrl/login/link#TOKEN` */
  url: SecretValue;
  /** Milliseconds since the epoch. */
  expiresAt: number;
}

/** What the tools room asks of the embedded issuer. */
export interface PlatformClient {
  readonly publicUrl: string;
  readonly client: PrivateKeyJwt;
  readonly workload: WorkloadSource;
  actorFor(agent: AgentIdentity): ActorSource;
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
  /** @throws IssuerError `client_exists`, `invalid_client` */
  add(client: ClientInput, by?: PrincipalName): Promise<{ id: string; secret?: SecretValue }>;
  list(): Promise<(Omit<ClientInput, 'jwks'> & { createdAt: string })[]>;
  remove(id: string, by?: PrincipalName): Promise<void>;
}

/** A form of an endpoint that another room answers below this issuer's address: parsed here, answered there. */
export type FormEndpoint = (form: ReadonlyMap<string, string>) => Promise<{ status: number; body: object }>;

export interface IssuerOptions {
  /** Origin of the installation, and the issuer's name. */
  publicUrl: string;
  /** Names cookies, so that two installations on one host do not share them. */
  cookiePrefix: string;
  /** Default: whether `publicUrl` is https. */
  secureCookies?: boolean;
  store: Store;
  vault: Vault;
  audit: Audit;
  registry: Registry;
  egress: Pick<Egress, 'fetch'>;
  principals: Principals;
  limits: Limits;
  /** Milliseconds since the epoch. */
  now?: () => number;
  authorizeTarget(question: TargetQuestion): boolean;
  /** Other issuers, whose tokens may be exchanged here. */
  trustedIssuers?: () => readonly IssuerConfig[];
  /** Endpoints of other rooms, by path and query. */
  endpoint?: (path: string) => FormEndpoint | undefined;
  /** Takes note of a failure that a client is only told as `server_error`. */
  onError?: (error: unknown) => void;
}

export interface Issuer {
  readonly issuer: string;
  /** Answers what is below /oidc, /sts, /jwks, /.well-known and /login/link, /login/assets; false: not ours. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<boolean>;
  /** Our own endpoints without a socket; anything else is refused. */
  readonly fetch: typeof globalThis.fetch;
  config(): IssuerConfig;
  /** For access tokens of our own alone. */
  readonly verifier: Verifier;
  readonly platform: PlatformClient;
  readonly loginLinks: {
    /** @throws IssuerError `user_not_found` */
    create(subject: string, by?: PrincipalName): Promise<LoginLink>;
  };
  readonly clients: Clients;
  /** Ends a login of the console here: its grant, its `sid` and the browser's session. */
  endLogin(refreshToken: SecretValue): Promise<void>;
  /** A token that only the token service here takes : of people whose own tokens nobody else can verify. */
  signSubject(claims: JWTPayload): Promise<SecretValue>;
  counts(): TokenServiceCounts;
  /** New signing keys; the old ones verify until their tokens have ended. */
  rotateKeys(by?: PrincipalName): Promise<void>;
  /** What is due from time to time. */
  maintain(): Promise<void>;
  close(): Promise<void>;
}
