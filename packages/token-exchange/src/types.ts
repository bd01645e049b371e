import type { SecretValue } from '@onbehalf/secret-value';
import type { TokenExchangeErrorCode } from './error-codes.ts';

/** Who somebody is: never an e-mail address, never a display name. */
export interface PrincipalRef {
  /** `iss` of the token that the person signed in with. */
  readonly issuer: string;
  /** `sub` of it, or what the profile compares instead (`entra-obo`: `tid:oid`). */
  readonly subject: string;
}

/** `name` is `NAMESPACE/NAME`; `uid` is what tells an agent from a later one of the same name. */
export interface AgentRef {
  /** Opaque, never used again: cache and `forget` go by it. */
  readonly uid: string;
  /** `NAMESPACE/NAME`, as in `clientPerAgent`. */
  readonly name: string;
}

/** One token of the user, as it is presented (RFC 8693 section 2.1). */
export interface SubjectToken {
  /** `subject_token`. */
  readonly token: SecretValue;
  /** Token type URN, RFC 8693 section 3. */
  readonly tokenType: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | undefined;
}

/** The token that stands for the user, and where the next one comes from. */
export interface SubjectSource {
  /** Whom the token stands for; an answer that names somebody else is refused. */
  readonly principal: PrincipalRef;
  /**
   * The token as of now; called for each request, so it must be quick. It rejects where there is none.
   * @param signal ends the wait; the promise rejects with its reason
   */
  current(signal?: AbortSignal): Promise<SubjectToken>;
  /** Whether a later `current` can bring a new token by itself. For callers; the library does not read it. */
  readonly refreshable: boolean;
  /** The login session (`sid`), so that a logout reaches the tokens made from it. */
  readonly loginSession?: string;
}

/** What an actor token says of the agent (RFC 8693 section 4.1). */
export interface ActorIdentity {
  /** `iss` of the actor token. */
  readonly iss: string;
  /** `sub` of the actor token, such as `agent:NAMESPACE/NAME`; `act.sub` of the result must equal it. */
  readonly sub: string;
  /** `agent_uid`; where it is given, the result may not name another one. */
  readonly agentUid?: string;
  /** `sub` of the actors above this one, nearest first. Given (even empty), the chain in the result must equal it. */
  readonly chain?: readonly string[];
}

/** Who acts. Actor tokens are short and made anew, so the cache key holds the identity, not the token. */
export interface ActorSource {
  /** What the tokens say, and what the result is compared with. */
  readonly identity: ActorIdentity;
  /**
   * An `actor_token` and its type (RFC 8693 section 2.1).
   * @param audience the issuer of the token service
   * @param signal ends the wait; the promise rejects with its reason
   */
  current(audience: string, signal?: AbortSignal): Promise<{ token: SecretValue; tokenType: string }>;
  /** The type of what `current` gives, where it is known beforehand. */
  readonly tokenType?: string;
  /** A token that the caller supplies itself; its hash is part of the cache key. */
  readonly fixedToken?: SecretValue;
}

/** Signs the assertion (RFC 7523) with which an agent asks for a token of its own. */
export interface WorkloadSource {
  /**
   * A signed JWT (RFC 7523 section 3), new for each call.
   * @param agent who asks for a token of its own
   * @param audience the issuer of the token service
   * @param signal ends the wait; the promise rejects with its reason
   */
  assertion(agent: AgentRef, audience: string, signal?: AbortSignal): Promise<SecretValue>;
}

/** What a token is for. Treated as immutable: the first look at an object is remembered. */
export interface Target {
  /** Logical names of the target (RFC 8693 section 2.1). Empty: the result must name `resource` as audience. */
  readonly audience: readonly string[];
  /** RFC 8707: absolute URIs without fragment, sent as they are written here. */
  readonly resource: readonly string[];
  /** Asked for with every token; empty: the service decides. */
  readonly scopes: readonly string[];
  /** The registered URL of the tool server; a token is attached to requests within it only. */
  readonly url?: string;
  /** How outcomes, spans and `forget` name the target. */
  readonly name?: string;
  /** Audiences that the result may name beside the expected ones. */
  readonly allowExtraAudiences?: readonly string[];
  /** Scopes that may be asked for after a 403 `insufficient_scope`. */
  readonly stepUpScopes?: readonly string[];
}

interface ClientIdentity {
  /** `client_id` (RFC 6749 section 2.2). */
  readonly id: string;
  /** Names the version of the credential. A rotation changes it, and with it every cache key. */
  readonly keyId: string;
}

/** `endpoint`: the address that the secret is about to be sent to, so that its keeper can refuse. */
type Secret = SecretValue | ((endpoint: string) => SecretValue | Promise<SecretValue>);

/** The client secret in the `Authorization` header, both parts form-encoded (RFC 6749 section 2.3.1). */
export interface SecretBasic extends ClientIdentity {
  readonly auth: 'SecretBasic';
  /** The secret, or what fetches it: asked again for each request, with the address that it goes to. */
  readonly secret: Secret;
}

/** The client secret in the form (RFC 6749 section 2.3.1); for services that cannot do the header. */
export interface SecretPost extends ClientIdentity {
  readonly auth: 'SecretPost';
  /** The secret, or what fetches it: asked again for each request, with the address that it goes to. */
  readonly secret: Secret;
}

/** An assertion that the client signs itself (RFC 7523 section 2.2); see `privateKeyJwt`. */
export interface PrivateKeyJwt extends ClientIdentity {
  readonly auth: 'PrivateKeyJwt';
  /** A fresh assertion for each call; `audience` is the issuer, one string. */
  sign(audience: string, signal?: AbortSignal): Promise<SecretValue>;
}

/** An assertion that the platform signs for this workload (RFC 7523 section 2.2); `tokenFile` of `./node` reads one. */
export interface WorkloadToken extends ClientIdentity {
  readonly auth: 'WorkloadToken';
  /** The platform's token for this workload, such as a Kubernetes projected token. */
  assertion(signal?: AbortSignal): Promise<SecretValue>;
}

/** How this side proves to the token service who it is. */
export type ClientAuth = SecretBasic | SecretPost | PrivateKeyJwt | WorkloadToken;
/** The same, as configurations name it. */
export type ClientConfig = ClientAuth;

/** The dialects; `docs/token-services` has a page for each. */
export type ProfileName = 'rfc8693' | 'onbehalf' | 'keycloak' | 'entra-obo' | 'okta' | 'auth0' | 'zitadel' | 'dex';

/** How the result names the agent: in `act`, as the authorized party, or not at all. */
export type Delegation = 'act' | 'azp' | 'none';

/** A token service, and how to talk to it. A mistake throws `invalid_request_configuration` when the client is made. */
export interface TokenServiceConfig {
  /** How outcomes and `forget` name it. */
  readonly name: string;
  /** One of `issuer` and `wellKnownUri` is required. */
  readonly issuer?: string;
  /** Address of its metadata (RFC 8414 section 3), https or loopback. */
  readonly wellKnownUri?: string;
  /** Overrides the `token_endpoint` of the metadata. */
  readonly endpoint?: string;
  /** Overrides the `jwks_uri` of the metadata. */
  readonly jwksUri?: string;
  /** Overrides the `revocation_endpoint` of the metadata (RFC 7009). */
  readonly revocationEndpoint?: string;
  /**
   * Believe metadata that names endpoints or keys on another host than the issuer's. Default false. Addresses that are
   * given here need no such word.
   */
  readonly allowOtherHost?: boolean;
  /** Its dialect; nothing is guessed. */
  readonly profile: ProfileName;
  /** Who asks, where no client of the agent does. */
  readonly client: ClientConfig;
  /** One client per agent, by `NAMESPACE/NAME`: for services that name the agent in `azp` only. */
  readonly clientPerAgent?: readonly { readonly agent: string; readonly client: ClientConfig }[];
  /** Default: the profile's. */
  readonly delegation?: Delegation;
  /** `requested_token_type`, a URN (RFC 8693 section 2.1). Default: the profile's. */
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
  /** The same for the actor's token. */
  readonly actorTokenType?: string;
}

/** Who acts, and for whom that one acted (RFC 8693 section 4.1). */
export interface ActClaim {
  /** The actor, such as `agent:NAMESPACE/NAME`. */
  readonly sub: string;
  /** Who vouches for that name. */
  readonly iss?: string;
  /** The uid of the agent, where the embedded token service issued it. */
  readonly agent_uid?: string;
  /** The actor before this one. */
  readonly act?: ActClaim;
}

/** What is read of a token, with the types checked: registered claims (RFC 7519 section 4.1) and these. */
export interface TokenClaims {
  readonly iss?: string;
  readonly sub?: string;
  /** The person as they are at home: format `iss_sub` (RFC 9493 section 3.2.4). */
  readonly sub_id?: { readonly format?: string; readonly iss?: string; readonly sub?: string };
  readonly aud: readonly string[];
  /** Who acts (RFC 8693 section 4.1). */
  readonly act?: ActClaim;
  /** Who alone may act with this token (RFC 8693 section 4.4). */
  readonly may_act?: { readonly sub?: string; readonly iss?: string };
  /** The client that the token was issued to (OpenID Connect Core section 2). */
  readonly azp?: string;
  /** The same (RFC 8693 section 4.3). */
  readonly client_id?: string;
  /** The client's id at Entra (v1). */
  readonly appid?: string;
  /** The client's id at Okta. */
  readonly cid?: string;
  /** Separated by spaces (RFC 8693 section 4.2). */
  readonly scope?: string;
  /** The login session (OpenID Connect Back-Channel Logout section 2.4). */
  readonly sid?: string;
  readonly jti?: string;
  readonly iat?: number;
  readonly nbf?: number;
  readonly exp?: number;
  /** Entra's tenant. */
  readonly tid?: string;
  /** Entra's stable id of a person within a tenant. */
  readonly oid?: string;
  /** Okta's stable id of a person. */
  readonly uid?: string;
}

/** What vouches for the claims of a result: its signature, introspection (RFC 7662), or nothing. */
export type Verification = 'signature' | 'introspection' | 'none';

/** A token that was looked into and found to be what was asked for. */
export interface ExchangedToken {
  /** The token itself; `reveal()` only where it is sent. */
  readonly value: SecretValue;
  /** `issued_token_type`, a URN. */
  readonly type: string;
  /** Milliseconds since the epoch; the token's real end or earlier. */
  readonly expiresAt: number;
  /** What was granted, separated by spaces; undefined where the service does not say. */
  readonly scope: string | undefined;
  /** Whether no request was needed. */
  readonly cached: boolean;
  /** Another call's request, under way already, brought it. */
  readonly joined: boolean;
  /** Undefined where nobody could look into it. */
  readonly claims: TokenClaims | undefined;
  /** What vouches for `claims`. */
  readonly verification: Verification;
  /** Milliseconds that the caller waited for the token service; 0 on a hit. */
  readonly ms: number;
  /** SHA-256 of the token, base64url: what a log may hold. */
  readonly hash: string;
}

/** A token for a target, the right for a child agent to continue, or a token that stands for no person. */
export type ExchangeKind = 'exchange' | 'delegation' | 'workload';

/** What is known before the request is sent. Holds no token. */
export interface ExchangeContext {
  /** Which of the three requests it is. */
  readonly kind: ExchangeKind;
  /** `name` of the token service. */
  readonly tokenService: string;
  /** What the token is for. */
  readonly target: Target;
  /** The person; undefined for tokens of agents and of the platform. */
  readonly principal: PrincipalRef | undefined;
  /** The agent that asks. */
  readonly agent: AgentRef | undefined;
  /** Who acts, where the service names it in `act`. */
  readonly actor: ActorIdentity | undefined;
  /** As the caller gave it. */
  readonly session: string | undefined;
  /** The login session of the person. */
  readonly loginSession: string | undefined;
  /** What the caller gave: turn, step, call id. */
  readonly context: Readonly<Record<string, string>>;
}

/** What the token service said when it refused (RFC 6749 section 5.2). */
export interface ServiceError {
  /** HTTP status. */
  readonly status: number;
  /** `error`, where there was one. */
  readonly error: string | undefined;
  /** Redacted and cut. */
  readonly description: string | undefined;
}

/** What came of a request, for audit and telemetry. Holds no token. */
export interface ExchangeOutcome extends ExchangeContext {
  /** Whether a request was made, or whose answer it is. */
  readonly result: 'exchanged' | 'cached' | 'joined' | 'refused';
  /** What was asked for (RFC 8693 section 2.1, RFC 8707 section 2). */
  readonly requested: {
    readonly audience: readonly string[];
    readonly resource: readonly string[];
    readonly scope: readonly string[];
  };
  /** From the verified answer; also there when the answer was refused for what it says. */
  readonly granted:
    | {
        /** `aud`. */
        readonly audience: readonly string[];
        /** Separated by spaces. */
        readonly scope: string | undefined;
        /** Undefined where nobody could look into the token. */
        readonly claims: TokenClaims | undefined;
      }
    | undefined;
  /** The chain of actors in the result, the one that called first. */
  readonly actors: readonly string[];
  /** What vouches for `granted`. */
  readonly verification: Verification | undefined;
  /** Why it was refused. */
  readonly code: TokenExchangeErrorCode | undefined;
  /** The same for people. */
  readonly message: string | undefined;
  /** What the token service said to it. */
  readonly serviceError: ServiceError | undefined;
  /** Milliseconds that the caller waited; 0 on a hit. */
  readonly ms: number;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | undefined;
  /** `jti` of the token. */
  readonly jti: string | undefined;
  /** SHA-256 of the token, base64url. */
  readonly hash: string | undefined;
}

/**
 * `beforeExchange` and `onOutcome` are awaited and withhold the token when they reject, which is how an audit that
 * cannot write stops exchanges. `onHit` is synchronous; it hears of cached and joined answers.
 */
export interface Hooks {
  /** Before each request to the token service. */
  beforeExchange?(context: ExchangeContext): Promise<void> | void;
  /** After each request, granted or refused, before the caller has the token. */
  onOutcome?(outcome: ExchangeOutcome): Promise<void> | void;
  /** Of each answer that needed no request of its own. */
  onHit?(outcome: ExchangeOutcome): void;
}

interface Asking {
  /** Tokens are not shared between sessions; without one, between all requests of this person and agent. */
  readonly session?: string;
  /** Who asks; default: that of `createTokenExchange`. */
  readonly agent?: AgentRef;
  /** Ends the wait of this caller only; others who wait for the same token go on. */
  readonly signal?: AbortSignal;
  /** Handed on to the hooks: turn, step, call id. No part of the cache key. */
  readonly context?: Readonly<Record<string, string>>;
}

/** A token of a person, through an agent, for one target. */
export interface TokenRequest extends Asking {
  readonly subject: SubjectSource;
  readonly target: Target;
  /** Who acts; default: that of `createTokenExchange`. */
  readonly actor?: ActorSource;
  /** Drop what is cached and ask again; once per entry and minute, else the cached token comes back. */
  readonly refresh?: boolean;
  /** With `refresh`: the hash of the token that was refused. An entry that is newer is not dropped. */
  readonly rejected?: string;
}

/** The right for one child agent to continue: good at the token service only. */
export interface DelegationRequest extends Asking {
  readonly subject: SubjectSource;
  /** Who hands on; default: that of `createTokenExchange`. */
  readonly actor?: ActorSource;
  /** `agent:NAMESPACE/NAME` of the child. */
  readonly delegate: string;
  /** What the child may ask for at most; left out, the service decides. */
  readonly scopes?: readonly string[];
}

/** A token that stands for no person (RFC 6749 section 4.4, RFC 7523 section 2.1). */
export interface WorkloadRequest extends Omit<Asking, 'agent' | 'session'> {
  /** The agent, or `platform` for the client itself. */
  readonly agent: AgentRef | 'platform';
  readonly target: Target;
  /** As in `TokenRequest`. */
  readonly refresh?: boolean;
  /** As in `TokenRequest`. */
  readonly rejected?: string;
}

/** All the fields that are given must match. An empty filter matches nothing. */
export interface ForgetFilter {
  /** As requests gave it. */
  readonly session?: string;
  /** `sid` of the login. */
  readonly loginSession?: string;
  /** A person: issuer and subject both. */
  readonly subject?: PrincipalRef;
  /** An agent's uid. */
  readonly agent?: string;
  /** By name where both sides have one, else by audience and resource; scopes do not matter. */
  readonly target?: Pick<Target, 'audience' | 'resource' | 'name'>;
  /** By name. */
  readonly tokenService?: string;
  /** Everything. */
  readonly all?: true;
}

/** What else happens to what is dropped. */
export interface ForgetOptions {
  /**
   * Default true: where the token service has a revocation endpoint, what is dropped is revoked there, in the
   * background. False where nobody has lost a right and the tokens are merely asked for again.
   */
  readonly revoke?: boolean;
}

/** Counts since the client was made. */
export interface ExchangeStats {
  /** Requests that reached for the token endpoint, retries included. */
  readonly requests: number;
  /** Tokens of people for a target. */
  readonly exchanges: number;
  /** Rights for child agents. */
  readonly delegations: number;
  /** Tokens that stand for no person. */
  readonly workloads: number;
  /** Answers from the cache. */
  readonly hits: number;
  /** Answers from another call's request. */
  readonly joins: number;
  /** Requests without a token at the end. */
  readonly refused: number;
  /** Tries after the first of a request. */
  readonly retries: number;
  /** Tokens that the service was told to end (RFC 7009). */
  readonly revoked: number;
  /** Those that it could not be told about: refused, failed, too many or too late. They end by themselves. */
  readonly revocationsFailed: number;
  /** Entries in the cache now. */
  readonly cached: number;
  /** Open while the token service fails: requests are refused with `sts_unavailable` without being sent. */
  readonly breaker: 'closed' | 'open';
}

/** The client of one token service. */
export interface TokenExchange {
  /**
   * Throws what `token` would throw for this target whoever asks: `invalid_request_configuration`.
   * @param target what a token would be for
   */
  checkTarget(target: Target): void;
  /**
   * A token of a person for one target (RFC 8693 section 2), from the cache where it is there.
   * Errors: `TokenExchangeError`; an aborted `signal` rejects with its reason.
   */
  token(request: TokenRequest): Promise<ExchangedToken>;
  /**
   * A token with which one child agent can go on for the same person (`may_act`, RFC 8693 section 4.4). Profile
   * `onbehalf`.
   * Errors: as of `token`.
   */
  delegationToken(request: DelegationRequest): Promise<ExchangedToken>;
  /** The agent's own token, or the platform's for discovery. Counted apart from exchanges. */
  workloadToken(request: WorkloadRequest): Promise<ExchangedToken>;
  /**
   * Returns the number of entries dropped; what is under way for them is delivered to nobody. Never throws and waits
   * for nothing: revocations are counted in `stats`.
   */
  forget(filter: ForgetFilter, options?: ForgetOptions): number;
  /** A copy, as of now. */
  readonly stats: ExchangeStats;
  /** How the agent is named: as configured, or the profile's default. */
  readonly delegation: Delegation;
}
