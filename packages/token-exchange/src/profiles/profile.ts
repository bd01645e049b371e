import type { SecretValue } from '@onbehalf/secret-value';
import type { TokenExchangeErrorCode } from '../error-codes.ts';
import type { PreparedTarget } from '../target.ts';
import type { Delegation, ExchangeKind, PrincipalRef, ProfileName, TokenClaims, TokenServiceConfig } from '../types.ts';

export type FormField = readonly [name: string, value: string | SecretValue];

export interface PresentedToken {
  readonly token: SecretValue;
  readonly tokenType: string;
}

export interface ExchangeInput {
  readonly service: TokenServiceConfig;
  readonly target: PreparedTarget;
  readonly subject: PresentedToken;
  readonly actor: PresentedToken | undefined;
  readonly requestedTokenType: string | undefined;
  readonly delegate: string | undefined;
}

export interface WorkloadInput {
  readonly service: TokenServiceConfig;
  readonly target: PreparedTarget;
  /** Signed by the platform for the agent (RFC 7523); absent, the client asks for itself. */
  readonly assertion: SecretValue | undefined;
}

export interface ServiceFailure {
  readonly kind: ExchangeKind;
  readonly status: number;
  readonly error: string | undefined;
  readonly description: string | undefined;
}

/** The dialect of one token service: data and small functions. Nothing about a server is guessed; it is named here. */
export interface Profile {
  readonly name: ProfileName;
  readonly defaultDelegation: (service: { readonly clientPerAgent?: readonly unknown[] }) => Delegation;
  readonly delegations: readonly Delegation[];
  /** The URN of tokens for child agents, where the service can nest actors. */
  readonly delegationTokenType: string | undefined;
  /** Why this configuration cannot work. */
  readonly configProblem: (service: TokenServiceConfig) => string | undefined;
  /** Actors that a token can name, the one that calls included. */
  readonly maxActors: number;
  /** Why the target cannot be expressed here. */
  readonly targetProblem: (target: PreparedTarget) => string | undefined;
  readonly exchangeForm: (input: ExchangeInput) => readonly FormField[];
  readonly workloadForm: (input: WorkloadInput) => readonly FormField[];
  readonly workloadNeedsAssertion: boolean;
  readonly subjectMatches: (claims: TokenClaims, principal: PrincipalRef, service: TokenServiceConfig) => boolean;
  /** The `sub` of a token that stands for no person; undefined where the service does not promise one. */
  readonly workloadSubject: (client: string, assertedSubject: string | undefined) => string | undefined;
  readonly party: (claims: TokenClaims) => string | undefined;
  /** Acceptable `typ` of a JWT in the answer: lower case, without `application/`; `''` stands for none. */
  readonly tokenTyp: (kind: ExchangeKind) => readonly string[];
  readonly issuedTokenTypeRequired: boolean;
  readonly scopeNeverWider: boolean;
  readonly codeOf: (failure: ServiceFailure) => TokenExchangeErrorCode;
}
