import { ALG } from './keys.ts';
import { GRANTS } from './token-service/endpoint.ts';

/** RFC 8414 section 2 and OpenID Connect Discovery section 3: both addresses answer with the same document. */
export function metadata(issuer: string): Record<string, unknown> {
  const methods = ['private_key_jwt', 'client_secret_basic', 'client_secret_post'];
  return {
    issuer,
    authorization_endpoint: `${issuer}/oidc/auth`,
    token_endpoint: `${issuer}/sts/token`,
    jwks_uri: `${issuer}/jwks`,
    introspection_endpoint: `${issuer}/sts/introspect`,
    revocation_endpoint: `${issuer}/sts/revoke`,
    end_session_endpoint: `${issuer}/oidc/session/end`,
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: ['authorization_code', 'refresh_token', ...Object.values(GRANTS)],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: [...methods, 'none'],
    introspection_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_methods_supported: [...methods, 'none'],
    token_endpoint_auth_signing_alg_values_supported: ['ES256', 'EdDSA', 'PS256', 'RS256'],
    id_token_signing_alg_values_supported: [ALG],
    subject_types_supported: ['public'],
    scopes_supported: ['openid', 'offline_access', 'profile', 'email'],
    claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'auth_time', 'amr', 'sid', 'name', 'email'],
    authorization_response_iss_parameter_supported: true,
  };
}
