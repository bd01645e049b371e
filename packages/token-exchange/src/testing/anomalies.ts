/** An answer in the making: what will be signed, and the JSON around it. */
export interface Issue {
  /** What will be signed; may be changed in place. */
  claims: Record<string, unknown>;
  /** `typ` of the header. */
  typ: string;
  /** `own`: signed by the service; `foreign`: by a key that it does not publish, under its name; `opaque`: no JWT. */
  signedBy: 'own' | 'foreign' | 'opaque' | 'none';
  /** The JSON answer beside `access_token`, which is set last. */
  body: Record<string, unknown>;
  /** JSON members, as they are written, to put behind those that are there. For keys of ES256. */
  more?: {
    /** Behind the claims. */
    readonly claims?: string;
    /** Behind those of the token's header. */
    readonly header?: string;
    /** Behind those of the answer. */
    readonly answer?: string;
  };
  /** Instead of the key's own id in the header. */
  kid?: string;
}

const OTHER = 'https://other.example/mcp';

/** What may be wrong with a token. Each changes the issue in place. */
export const ISSUE_ANOMALIES = {
  wrong_audience: ({ claims }) => set(claims, { aud: OTHER }),
  extra_audience: ({ claims }) => set(claims, { aud: [claims.aud, OTHER].flat() }),
  no_audience: ({ claims }) => drop(claims, 'aud'),
  nested_audience: ({ claims }) => set(claims, { aud: [[claims.aud].flat()] }),
  other_subject: ({ claims }) => {
    replace(claims, 'mallory', 'sub', 'oid', 'uid');
    if (claims.sub_id) set(claims, { sub_id: { ...Object(claims.sub_id), sub: 'mallory' } });
  },
  other_subject_issuer: ({ claims }) => {
    replace(claims, 'other-tenant', 'tid');
    if (claims.sub_id) set(claims, { sub_id: { ...Object(claims.sub_id), iss: 'https://other-issuer.example' } });
  },
  no_subject: ({ claims }) => drop(claims, 'sub', 'sub_id', 'oid', 'uid'),
  other_azp: ({ claims }) => replace(claims, 'another-client', 'azp', 'client_id', 'cid', 'appid'),
  no_azp: ({ claims }) => drop(claims, 'azp', 'client_id', 'appid', 'cid'),
  no_act: ({ claims }) => drop(claims, 'act'),
  other_act: ({ claims }) => set(claims, { act: { sub: 'agent:default/other' } }),
  other_act_issuer: ({ claims }) => set(claims, { act: { ...Object(claims.act), iss: 'https://other.example' } }),
  other_agent_uid: ({ claims }) => set(claims, { act: { ...Object(claims.act), agent_uid: 'made-again' } }),
  lost_chain: ({ claims }) => set(claims, { act: { ...Object(claims.act), act: undefined } }),
  expired: ({ claims }) => set(claims, { exp: Number(claims.iat) - 60 }),
  no_exp: ({ claims }) => drop(claims, 'exp'),
  string_exp: ({ claims }) => set(claims, { exp: String(claims.exp) }),
  string_iat: ({ claims }) => set(claims, { iat: String(claims.iat) }),
  string_nbf: ({ claims }) => set(claims, { nbf: String(claims.iat) }),
  endless_exp: (issue) => {
    drop(issue.claims, 'exp');
    set(issue, { more: { claims: '"exp":1e999' } });
  },
  numeric_subject: ({ claims }) => set(claims, { sub: 7 }),
  numeric_jti: ({ claims }) => set(claims, { jti: 7 }),
  object_scope: ({ claims }) => set(claims, { scope: { admin: true } }),
  act_without_sub: ({ claims }) => set(claims, { act: { client_id: 'agent:default/assistant' } }),
  long_lived: ({ claims }) => set(claims, { exp: Number(claims.iat) + 86_400 }),
  not_yet: ({ claims }) => set(claims, { nbf: Number(claims.iat) + 3600 }),
  wider_scope: ({ claims, body }) => {
    set(claims, { scope: `${claims.scope ?? ''} admin`.trim() });
    set(body, { scope: claims.scope });
  },
  wider_scp: ({ claims }) => set(claims, { scp: `${[claims.scp ?? claims.scope ?? ''].flat().join(' ')} admin` }),
  wider_scp_list: ({ claims }) => set(claims, { scp: [claims.scp ?? [], 'admin'].flat() }),
  two_subjects: (issue) => set(issue, { more: { claims: '"sub":"alice"' } }),
  two_subjects_escaped: (issue) => set(issue, { more: { claims: '"s\\u0075b":"alice"' } }),
  two_audiences: (issue) => set(issue, { more: { claims: `"aud":${JSON.stringify(issue.claims.aud)}` } }),
  two_actors_inside: (issue) => set(issue, { more: { claims: '"x":[{"sub":"a","sub":"a"}]' } }),
  two_types: (issue) => set(issue, { more: { header: `"typ":"${issue.typ}"` } }),
  logout_token: (issue) => set(issue, { typ: 'logout+jwt' }),
  introspection_token: (issue) => set(issue, { typ: 'application/token-introspection+jwt' }),
  event_token: (issue) => set(issue, { typ: 'secevent+jwt' }),
  logout_events: (issue) => {
    set(issue, { typ: 'JWT' });
    set(issue.claims, { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } });
  },
  keycloak_refresh: ({ claims }) => set(claims, { typ: 'Refresh' }),
  keycloak_id: ({ claims }) => set(claims, { typ: 'ID' }),
  wrong_issuer: ({ claims }) => set(claims, { iss: `${claims.iss}/` }),
  no_jti: ({ claims }) => drop(claims, 'jti'),
  id_token: (issue) => set(issue, { typ: 'JWT' }),
  foreign_key: (issue) => set(issue, { signedBy: 'foreign' }),
  alg_none: (issue) => set(issue, { signedBy: 'none' }),
  opaque: (issue) => set(issue, { signedBy: 'opaque' }),
  two_access_tokens: (issue) => set(issue, { more: { answer: '"access_token":"another"' } }),
  token_with_space: ({ body }) => set(body, { access_token: 'opaque token' }),
  token_with_comma: ({ body }) => set(body, { access_token: 'opaque,token' }),
  token_with_quote: ({ body }) => set(body, { access_token: '"opaque"' }),
  token_with_padding_inside: ({ body }) => set(body, { access_token: 'opa=que' }),
  no_access_token: ({ body }) => drop(body, 'access_token'),
  no_issued_token_type: ({ body }) => drop(body, 'issued_token_type'),
  refresh_token_type: ({ body }) => set(body, { issued_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }),
  N_A: ({ body }) => set(body, { token_type: 'N_A' }),
  no_token_type: ({ body }) => drop(body, 'token_type'),
  upper_case_bearer: ({ body }) => set(body, { token_type: 'BEARER' }),
  extra_tokens: ({ body }) => set(body, { refresh_token: 'a-refresh-token', id_token: 'an-id-token' }),
  expires_in_minus_one: ({ body }) => set(body, { expires_in: -1 }),
  expires_in_zero: ({ body }) => set(body, { expires_in: 0 }),
  expires_in_absurd: ({ body }) => set(body, { expires_in: 1e12 }),
  expires_in_string: ({ body }) => set(body, { expires_in: '86400' }),
  no_expires_in: ({ body }) => drop(body, 'expires_in'),
  empty_scope: ({ body }) => set(body, { scope: '' }),
} satisfies Record<string, (issue: Issue) => void>;

/** One thing wrong with the token or the answer that carries it. */
export type IssueAnomaly = keyof typeof ISSUE_ANOMALIES;

/** What may be wrong with the answer as a whole. */
export const REPLY_ANOMALIES = [
  'html',
  'html_200',
  'huge',
  'endless',
  'redirect_307',
  'redirect_302',
  'status_500',
  'status_503',
  'status_429',
  'hang',
  'cut',
  'not_json',
  'array',
  'bad_number',
] as const;

/** One thing wrong with the answer as a whole. */
export type ReplyAnomaly = (typeof REPLY_ANOMALIES)[number];

/** A refusal in the words of RFC 6749 section 5.2. */
export interface RefusalAnomaly {
  /** `error`. */
  readonly error: string;
  /** HTTP status; 400 by default. */
  readonly status?: number;
  /** `error_description`. */
  readonly description?: string;
  /** The claims challenge of `interaction_required`. */
  readonly claims?: string;
  /** Headers of the answer, such as `retry-after`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A named misbehaviour, a refusal in these words, or a function that changes the answer. */
export type Anomaly = IssueAnomaly | ReplyAnomaly | RefusalAnomaly | ((issue: Issue) => void);

export function isReplyAnomaly(anomaly: Anomaly): anomaly is ReplyAnomaly {
  return (REPLY_ANOMALIES as readonly unknown[]).includes(anomaly);
}

function set<T extends object>(target: T, values: Partial<Record<keyof T, unknown>>): void {
  Object.assign(target, values);
}

/** Where they are there at all. */
function replace(target: Record<string, unknown>, value: string, ...names: string[]): void {
  for (const name of names) if (name in target) target[name] = value;
}

function drop(target: Record<string, unknown>, ...names: string[]): void {
  for (const name of names) delete target[name];
}
