import type { SecretValue } from '@onbehalf/secret-value';

/** From least to most. RESTRICTED may sign in and read its own conversations; AUDITOR reads evidence and runs nothing. */
export type Role = 'INACTIVE' | 'RESTRICTED' | 'REGULAR' | 'AUDITOR' | 'ADMIN';

/** An entrance with an audience of its own. WebSocket, forward-auth and console belong to `api`. */
export type Door = 'api' | 'a2a' | 'openai' | 'mcp';

export interface Credential {
  kind: 'bearer' | 'session' | 'ticket' | 'handle' | 'apiKey' | 'legacy' | 'local';
  sid?: string;
  jti?: string;
  azp?: string;
  clientId?: string;
  /** Seconds since the epoch, as the claim `auth_time`. */
  authTime?: number;
  amr?: readonly string[];
  /** Milliseconds since the epoch. */
  expiresAt?: number;
  /** SHA-256 of the whole token, base64url. */
  tokenHash?: string;
  scope?: string;
}

/** A verified caller. Identity is (issuer, subject) and nothing else: two people may share a name or an address. */
export interface Principal {
  issuer: string;
  subject: string;
  kind: 'person' | 'service' | 'workload' | 'local';
  name?: string;
  email?: string;
  role: Role;
  /** Of this issuer. */
  groups: readonly string[];
  /** The token did not say: no allow rule for a group matches, every deny rule for one of this issuer's does. */
  groupsUnknown: boolean;
  /** Somebody acts for the principal: a token with `act`, a turn delegation, an API key, a workload. */
  delegated: boolean;
  /** `act.sub` from the caller outwards (RFC 8693 section 4.1). */
  act?: readonly string[];
  credential: Credential;
}

/** A JSON Web Key Set (RFC 7517 section 5), not yet trusted. */
export interface JsonWebKeySet {
  keys: readonly object[];
}

export type KeySource =
  | { kind: 'jwks'; uri: string }
  | { kind: 'static'; jwks: JsonWebKeySet }
  /** Keys of an issuer in the same process. A new object means new keys. */
  | { kind: 'local'; current(): JsonWebKeySet };

/** A shared secret, or where it is read for each token: a function's answer counts from the next token on. */
export type SharedSecret = SecretValue | (() => Promise<SecretValue>);

/** Of several issuers with one secret, the first in the list is the one. */
export interface LegacyHs256 {
  /** At least 32 bytes, and no published default. */
  secret: SharedSecret;
  previousSecret?: SharedSecret;
  /** The software that issues the tokens lower-cased the secret before it signed. */
  lowercaseSecret?: boolean;
  /** Whether the server mints subject tokens for these people. Not read here. */
  mintSubject?: boolean;
  /** Default REGULAR. */
  maxRole?: Role;
}

export interface IssuerConfig {
  name: string;
  /** Compared exactly with `iss`. May hold `{tenantid}`, which stands for each of `tenants`. */
  issuer: string;
  keys: KeySource;
  /** Asymmetric JWS algorithms. The token never adds to them. */
  algorithms: readonly string[];
  audiences: Partial<Record<Door, readonly string[]>>;
  /** Admitted `typ` headers; `''` stands for a token without one. Default `['at+jwt']` (RFC 9068 section 2.1). */
  typ?: readonly string[];
  /** Names that must be present, or values that must be equal. */
  requiredClaims?: Readonly<Record<string, unknown>> | readonly string[];
  /** Admitted values of `tid`. */
  tenants?: readonly string[];
  /** Claims that together are the stable subject, such as `['tid', 'oid']`. */
  subjectClaims: readonly string[];
  /** For the token service's `sub`. Not read here. */
  subjectPrefix?: string;
  /** Names of claims, or paths such as `realm_access.roles`; a name with a dot in a path is quoted: `access."my.app".roles`. */
  claims?: { name?: string; email?: string; roles?: string; groups?: string };
  /** Told of a claim that held something besides texts, which was left out; at each verification, so it must be quick. */
  onOddClaim?: (claim: string) => void;
  /** Claim value to role; `*` for a token whose roles name none of the others. Default: the roles' own names. */
  roleMap?: Readonly<Record<string, Role>>;
  /** What this issuer can make of anyone at most. */
  maxRole: Role;
  /** Longest admitted `exp - iat`, in seconds; a token without `iat` is then refused. Left out, there is no limit. */
  maxLifetime?: number;
  /** Seconds. Default 30. */
  leeway?: number;
  /** The client of our own sign-in: its ID tokens carry this as audience. */
  loginClientId?: string;
  legacyHs256?: LegacyHs256;
  /** The role is the principal's record's, not the token's (the embedded issuer). */
  rolesFromPrincipals?: boolean;
}

/** What the installation itself knows of a principal. Synchronous views in memory, asked on every verification. */
export interface PrincipalLookup {
  lookup(issuer: string, subject: string): PrincipalRecord | undefined;
  /** `issuedAt`: seconds, of the token; one that does not say it is older than any denial. */
  denied(credential: { issuer: string; subject: string; sid?: string; jti?: string; issuedAt?: number }): boolean;
}

export interface PrincipalRecord {
  disabled: boolean;
  /** Seconds since the epoch: tokens issued earlier are refused. */
  notBefore?: number;
  role?: Role;
  kind?: Principal['kind'];
  name?: string;
  email?: string;
}

const ROLES: readonly Role[] = ['INACTIVE', 'RESTRICTED', 'REGULAR', 'AUDITOR', 'ADMIN'];

export function isRole(value: unknown): value is Role {
  return ROLES.some((role) => role === value);
}

/** The smaller of two roles. */
export function capRole(role: Role, max: Role): Role {
  return ROLES.indexOf(role) <= ROLES.indexOf(max) ? role : max;
}

/** The largest of several roles. */
export function highestRole(roles: readonly Role[]): Role | undefined {
  return ROLES.findLast((role) => roles.includes(role));
}
