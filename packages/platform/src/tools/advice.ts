import type { TokenExchangeError } from '@onbehalf/token-exchange';

interface Advice {
  profile?: string;
  /** Any, where what the service says is enough. */
  code?: TokenExchangeError['code'];
  /** What the service itself said, where one code has several causes. */
  says?: RegExp;
  todo: string;
}

/** What is missing at which server, most particular first. docs/token-services has a page for each profile. */
const ADVICE: readonly Advice[] = [
  {
    code: 'invalid_request_configuration',
    says: /^.*the credential of .+ cannot be used/,
    todo: 'see that the Secret is there, that its `usableBy` names TokenService, and its `hosts` the origin of the token endpoint',
  },
  {
    profile: 'keycloak',
    code: 'unauthorized_client',
    says: /access_denied/,
    todo: "put this client into the subject token's `aud`: an audience mapper in a default scope of the client that people sign in with",
  },
  {
    profile: 'keycloak',
    says: /public client/i,
    todo: 'switch "Client authentication" on at this client: a public one may not exchange tokens',
  },
  {
    profile: 'keycloak',
    says: /consent/i,
    todo: 'switch "Consent required" off at this client, or have the person consent to it once: an exchange cannot ask',
  },
  {
    profile: 'keycloak',
    says: /client (?:is )?(?:disabled|not enabled)/i,
    todo: 'enable the client whose id is this audience',
  },
  {
    profile: 'keycloak',
    code: 'unauthorized_client',
    todo: 'switch "Standard token exchange" on at this client (it must be confidential)',
  },
  {
    profile: 'keycloak',
    code: 'invalid_target',
    says: /not found/i,
    todo: 'create a client whose id is this audience',
  },
  {
    profile: 'keycloak',
    code: 'invalid_target',
    todo: 'give this client a default scope with an audience mapper for this audience: that is the permission',
  },
  { profile: 'keycloak', code: 'invalid_client', todo: 'correct the client id and its secret' },
  { profile: 'keycloak', code: 'invalid_scope', todo: 'add the scope to this client at Keycloak' },
  {
    profile: 'keycloak',
    code: 'invalid_request_configuration',
    todo: "give the server an `audience`, and this agent a client in the TokenService's clientPerAgent",
  },
  {
    code: 'untrusted_response',
    says: /audience/i,
    todo: 'the service adds audiences of its own: take them away there, or list them in allowExtraAudiences',
  },
  {
    code: 'untrusted_response',
    says: /lifetime|lives/i,
    todo: "shorten the token's life there, or raise maxLifetime of the TokenService",
  },
  {
    code: 'untrusted_response',
    says: /act|azp|delegation/i,
    todo: 'the token does not name the agent: set up delegation there, or say `delegation: none` and accept ActorNotBound',
  },
  { code: 'untrusted_response', todo: 'the answer says something else than what was asked: see its claims' },
  {
    code: 'invalid_target',
    todo: "register the server's audience or resource at the token service, and allow it for this person and agent",
  },
  { code: 'invalid_scope', todo: 'allow the scope at the token service, or take it out of the server' },
  { code: 'invalid_client', todo: "correct the TokenService's client and its secret" },
  { code: 'unauthorized_client', todo: 'allow this client the token-exchange grant' },
  {
    code: 'subject_rejected',
    todo: 'sign in again; if that does not help, the token service does not accept tokens of this issuer',
  },
  { code: 'interaction_required', todo: 'sign in again with what the service asks for' },
  { code: 'user_token_required', todo: 'sign in as a person: there is no token to exchange' },
  {
    code: 'sts_unavailable',
    todo: 'see whether the token service is up, and whether its address is in privateNetworks',
  },
  { code: 'sts_timeout', todo: 'see why the token service is slow' },
];

/** One sentence for who must act; every code has one. */
export function adviceFor(profile: string, error: TokenExchangeError): string {
  const said = [error.serviceError?.error, error.serviceError?.description, error.deviation, error.message].join(' ');
  const found = ADVICE.find(
    (advice) =>
      (advice.code ?? error.code) === error.code &&
      (advice.profile ?? profile) === profile &&
      (advice.says?.test(said) ?? true),
  );
  return found?.todo ?? error.message;
}
