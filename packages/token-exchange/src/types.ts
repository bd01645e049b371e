import type { SecretValue } from '@onbehalf/secret-value';
import type { TokenExchangeErrorCode } from './errors.ts';

/** Who somebody is: never an e-mail address, never a display name. */
export interface PrincipalRef {
  readonly issuer: string;
  readonly subject: string;
}

/** `name` is `NAMESPACE/NAME`; `uid` is what tells an agent from a later one of the same name. */
export interface AgentRef {
  readonly uid: string;
  readonly name: string;
}

export interface SubjectToken {
  readonly token: SecretValue;
  /** Token type URN, RFC 8693 section 3. */
  readonly tokenType: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | undefined;
}

/** The token that stands for the user, and where the next one comes from. */
export interface SubjectSource {
  readonly principal: PrincipalRef;
  current(signal?: AbortSignal): Promise<SubjectToken>;
  readonly refreshable: boolean;
  /** The login session (`sid`), so that a logout reaches the tokens made from it. */
  readonly loginSession?: string;
}

export interface ActorIdentity {
  readonly iss: string;
  readonly sub: string;
  readonly agentUid?: string;
  /** `sub` of the actors above this one, nearest first. Given (even empty), the chain in the result must equal it. */
  readonly chain?: readonly string[];
}

/** Who acts. Actor tokens are short and made anew, so the cache key holds the identity, not the token. */
export interface ActorSource {
  readonly identity: ActorIdentity;
  current(audience: string, signal?: AbortSignal): Promise<{ token: SecretValue; tokenType: string }>;
  /** The type of what `current` gives, where it is known beforehand. */
  readonly tokenType?: string;
  /** A token that the caller supplies itself; its hash is part of the cache key. */
  readonly fixedToken?: SecretValue;
}

/** Signs the assertion (RFC 7523) with which an agent asks for a token of its own. */
export interface WorkloadSource {
  assertion(agent: AgentRef, audience: string, signal?: AbortSignal): Promise<SecretValue>;
}

/** What a token is for. Treated as immutable: the first look at an object is remembered. */
export interface Target {
  readonly audience: readonly string[];
  /** RFC 8707: absolute URIs without fragment, sent as they are written here. */
  readonly resource: readonly string[];
  readonly scopes: readonly string[];
  /** The registered URL of the tool server; a token is attached to requests within it only. */
  readonly url?: string;
  readonly name?: string;
  /** Audiences that the result may name beside the expected ones. */
  readonly allowExtraAudiences?: readonly string[];
  /** Scopes that may be asked for after a 403 `insufficient_scope`. */
  readonly stepUpScopes?: readonly string[];
}

interface ClientIdentity {
  readonly id: string;
  /** Names the version of the credential. A rotation changes it, and with it every cache key. */
  readonly keyId: string;
}

type Secret = SecretValue | (() => SecretValue | Promise<SecretValue>);

export interface SecretBasic extends ClientIdentity {
  readonly auth: 'SecretBasic';
  readonly secret: Secret;
}

export interface SecretPost extends ClientIdentity {
  readonly auth: 'SecretPost';
  readonly secret: Secret;
}

export interface PrivateKeyJwt extends ClientIdentity {
  readonly auth: 'PrivateKeyJwt';
  /** A fresh assertion for each call; `audience` is the issuer, one string. */
  sign(audience: string, signal?: AbortSignal): Promise<SecretValue>;
}

export interface WorkloadToken extends ClientIdentity {
  readonly auth: 'WorkloadToken';
  /** The platform's token for this workload, such as a Kubernetes projected token. */
  assertion(signal?: AbortSignal): Promise<SecretValue>;
}

export type ClientAuth = SecretBasic | SecretPost | PrivateKeyJwt | WorkloadToken;
export type ClientConfig = ClientAuth;

export type ProfileName = 'rfc8693' | 'onbehalf' | 'keycloak' | 'entra-obo' | 'okta' | 'auth0' | 'zitadel' | 'dex';

/** How the result names the agent: in `act`, as the authorized party, or not at all. */
export type Delegation = 'act' | 'azp' | 'none';

export interface TokenServiceConfig {
  readonly name: string;
  /** One of `issuer` and `wellKnownUri` is required. */
  readonly issuer?: string;
  readonly wellKnownUri?: string;
  /** Overrides the `token_endpoint` of the metadata. */
  readonly endpoint?: string;
  /** Overrides the `jwks_uri` of the metadata. */
  readonly jwksUri?: string;
  /** Overrides the `revocation_endpoint` of the metadata (RFC 7009). */
  readonly revocationEndpoint?: string;
  readonly profile: ProfileName;
  readonly client: ClientConfig;
  /** One client per agent, by `NAMESPACE/NAME`: for services that name the agent in `azp` only. */
  readonly clientPerAgent?: readonly { readonly agent: string; readonly client: ClientConfig }[];
  /** Default: the profile's. */
  readonly delegation?: Delegation;
  readonly requestedTokenType?: string;
  /** Seconds; default 300. A JWT that lives longer is refused. */
  readonly maxLifetime?: number;
  /** Ask RFC 7662 about opaque answers. */
  readonly introspect?: boolean;
  /** Default `Refuse`. `Accept` delivers what nobody could look into, marked `verification: 'none'`. */
  readonly opaque?: 'Refuse' | 'Accept';
  /** Profile `dex`: the connector that knows the subject token's issuer. */
  readonly connectorId?: string;
  /** Profile `auth0`: the types of the tenant's own exchange profile, instead of those of the IETF. */
  readonly subjectTokenType?: string;
  readonly actorTokenType?: string;
}

export interface ActClaim {
  readonly sub: string;
  readonly iss?: string;
  readonly agent_uid?: string;
  readonly act?: ActClaim;
}

export interface TokenClaims {
  readonly iss?: string;
  readonly sub?: string;
  readonly sub_id?: { readonly format?: string; readonly iss?: string; readonly sub?: string };
  readonly aud: readonly string[];
  readonly act?: ActClaim;
  readonly may_act?: { readonly sub?: string; readonly iss?: string };
  readonly azp?: string;
  readonly client_id?: string;
  /** The client's id at Entra (v1) and Okta. */
  readonly appid?: string;
  readonly cid?: string;
  readonly scope?: string;
  readonly sid?: string;
  readonly jti?: string;
  readonly iat?: number;
  readonly nbf?: number;
  readonly exp?: number;
  readonly tid?: string;
  readonly oid?: string;
  /** Okta's stable id of a person. */
  readonly uid?: string;
}

export type Verification = 'signature' | 'introspection' | 'none';

export interface ExchangedToken {
  readonly value: SecretValue;
  /** `issued_token_type`, a URN. */
  readonly type: string;
  /** Milliseconds since the epoch; the token's real end or earlier. */
  readonly expiresAt: number;
  readonly scope: string | undefined;
  readonly cached: boolean;
  /** Another call's request, under way already, brought it. */
  readonly joined: boolean;
  readonly claims: TokenClaims | undefined;
  readonly verification: Verification;
  /** Milliseconds that the caller waited for the token service; 0 on a hit. */
  readonly ms: number;
  /** SHA-256 of the token, base64url: what a log may hold. */
  readonly hash: string;
}

export type ExchangeKind = 'exchange' | 'delegation' | 'workload';

/** What is known before the request is sent. Holds no token. */
export interface ExchangeContext {
  readonly kind: ExchangeKind;
  readonly tokenService: string;
  readonly target: Target;
  readonly principal: PrincipalRef | undefined;
  readonly agent: AgentRef | undefined;
  readonly actor: ActorIdentity | undefined;
  readonly session: string | undefined;
  readonly loginSession: string | undefined;
  /** What the caller gave: turn, step, call id. */
  readonly context: Readonly<Record<string, string>>;
}

export interface ServiceError {
  readonly status: number;
  readonly error: string | undefined;
  /** Redacted and cut. */
  readonly description: string | undefined;
}

export interface ExchangeOutcome extends ExchangeContext {
  readonly result: 'exchanged' | 'cached' | 'joined' | 'refused';
  readonly requested: {
    readonly audience: readonly string[];
    readonly resource: readonly string[];
    readonly scope: readonly string[];
  };
  /** From the verified answer; also there when the answer was refused for what it says. */
  readonly granted:
    | {
        readonly audience: readonly string[];
        readonly scope: string | undefined;
        readonly claims: TokenClaims | undefined;
      }
    | undefined;
  /** The chain of actors in the result, the one that called first. */
  readonly actors: readonly string[];
  readonly verification: Verification | undefined;
  readonly code: TokenExchangeErrorCode | undefined;
  readonly message: string | undefined;
  readonly serviceError: ServiceError | undefined;
  readonly ms: number;
  readonly expiresAt: number | undefined;
  readonly jti: string | undefined;
  readonly hash: string | undefined;
}

/**
 * `beforeExchange` and `onOutcome` are awaited and withhold the token when they reject, which is how an audit that
 * cannot write stops exchanges. `onHit` is synchronous; it hears of cached and joined answers.
 */
export interface Hooks {
  beforeExchange?(context: ExchangeContext): Promise<void> | void;
  onOutcome?(outcome: ExchangeOutcome): Promise<void> | void;
  onHit?(outcome: ExchangeOutcome): void;
}

interface Asking {
  readonly session?: string;
  readonly agent?: AgentRef;
  readonly signal?: AbortSignal;
  readonly context?: Readonly<Record<string, string>>;
}

export interface TokenRequest extends Asking {
  readonly subject: SubjectSource;
  readonly target: Target;
  readonly actor?: ActorSource;
  /** Drop what is cached and ask again; once per entry and minute, else the cached token comes back. */
  readonly refresh?: boolean;
  /** With `refresh`: the hash of the token that was refused. An entry that is newer is not dropped. */
  readonly rejected?: string;
}

/** The right for one child agent to continue: good at the token service only. */
export interface DelegationRequest extends Asking {
  readonly subject: SubjectSource;
  readonly actor?: ActorSource;
  /** `agent:NAMESPACE/NAME` of the child. */
  readonly delegate: string;
  readonly scopes?: readonly string[];
}

export interface WorkloadRequest extends Omit<Asking, 'agent' | 'session'> {
  readonly agent: AgentRef | 'platform';
  readonly target: Target;
  readonly refresh?: boolean;
  readonly rejected?: string;
}

/** All the fields that are given must match. An empty filter matches nothing. */
export interface ForgetFilter {
  readonly session?: string;
  readonly loginSession?: string;
  readonly subject?: PrincipalRef;
  /** An agent's uid. */
  readonly agent?: string;
  /** By name where both sides have one, else by audience and resource; scopes do not matter. */
  readonly target?: Pick<Target, 'audience' | 'resource' | 'name'>;
  /** By name. */
  readonly tokenService?: string;
  readonly all?: true;
}

export interface ForgetOptions {
  /**
   * Default true: where the token service has a revocation endpoint, what is dropped is revoked there, in the
   * background. False where nobody has lost a right and the tokens are merely asked for again.
   */
  readonly revoke?: boolean;
}

export interface ExchangeStats {
  /** Requests that reached for the token endpoint, retries included. */
  readonly requests: number;
  readonly exchanges: number;
  readonly delegations: number;
  readonly workloads: number;
  readonly hits: number;
  readonly joins: number;
  readonly refused: number;
  readonly retries: number;
  /** Tokens that the service was told to end (RFC 7009). */
  readonly revoked: number;
  /** Those that it could not be told about: refused, failed, too many or too late. They end by themselves. */
  readonly revocationsFailed: number;
  readonly cached: number;
  readonly breaker: 'closed' | 'open';
}

export interface TokenExchange {
  /** Throws what `token` would throw for this target whoever asks: `invalid_request_configuration`. */
  checkTarget(target: Target): void;
  /** Errors: `TokenExchangeError`; an aborted `signal` rejects with its reason. */
  token(request: TokenRequest): Promise<ExchangedToken>;
  delegationToken(request: DelegationRequest): Promise<ExchangedToken>;
  /** The agent's own token, or the platform's for discovery. Counted apart from exchanges. */
  workloadToken(request: WorkloadRequest): Promise<ExchangedToken>;
  /**
   * Returns the number of entries dropped; what is under way for them is delivered to nobody. Never throws and waits
   * for nothing: revocations are counted in `stats`.
   */
  forget(filter: ForgetFilter, options?: ForgetOptions): number;
  readonly stats: ExchangeStats;
  readonly delegation: Delegation;
}
