/** Why a credential was refused. Stable; for audit lines and problem documents. */
export type AccessErrorCode =
  | 'credential_malformed'
  | 'credentials_conflict'
  | 'token_malformed'
  | 'header_refused'
  | 'algorithm_refused'
  | 'type_refused'
  | 'issuer_unknown'
  | 'issuer_misconfigured'
  | 'key_unknown'
  | 'keys_unavailable'
  | 'signature_invalid'
  | 'claims_invalid'
  | 'audience_mismatch'
  | 'token_expired'
  | 'token_not_yet_valid'
  | 'lifetime_too_long'
  | 'tenant_refused'
  | 'claim_missing'
  | 'not_an_access_token'
  | 'sender_constrained'
  | 'subject_invalid'
  | 'token_revoked'
  | 'principal_disabled'
  | 'principal_inactive';

/** Members of the `WWW-Authenticate: Bearer` challenge (RFC 6750 section 3). */
export interface Challenge {
  error?: 'invalid_token' | 'invalid_request' | 'insufficient_scope';
  description?: string;
}

/** A refusal. Neither the message nor the description contains a token or a part of one. */
export class AccessError extends Error {
  override readonly name = 'AccessError';
  readonly code: AccessErrorCode;
  readonly status: 400 | 401 | 403 | 404;
  readonly challenge: Challenge;
  /** Who was refused, where the token was good but its holder may not enter. */
  readonly principal: { issuer: string; subject: string } | undefined;

  constructor(code: AccessErrorCode, description: string, principal?: { issuer: string; subject: string }) {
    super(description);
    this.code = code;
    this.principal = principal;
    const holder = code === 'principal_disabled' || code === 'principal_inactive';
    const request = code === 'credential_malformed' || code === 'credentials_conflict';
    this.status = holder ? 403 : 401;
    this.challenge = holder ? {} : { error: request ? 'invalid_request' : 'invalid_token', description };
  }
}
