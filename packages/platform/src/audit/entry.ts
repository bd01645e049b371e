export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

export type AuditType =
  | 'decision'
  | 'exchange'
  | 'tool.call'
  | 'model.call'
  | 'approval'
  | 'credential.open'
  | 'change'
  | 'login'
  | 'refusal'
  | 'issue'
  | 'erase' // what was said of a person was removed
  | 'start' // the first line of a writer
  | 'gap'; // lines that could not be written

/**
 * What happened, for whom, through what. Never a token: `tokenHash` is the keyed one. `at` is set by the audit.
 * Texts beyond 1,024 characters and bodies beyond 32 KiB are cut, visibly. Wherever an object names a person by
 * `issuer` and `subject`, that subject is a personal field, and so are its `sid` and `as`; of whom the line is about,
 * the address, the arguments and the result too. The line commits to those, and they stand beside it.
 */
export interface AuditEntry {
  type: AuditType;
  phase: 'intent' | 'outcome' | 'single';
  /** Joins an intent and its outcome. */
  ref?: string;
  principal?: AuditPrincipal;
  door?: string;
  address?: string;
  requestId?: string;
  traceId?: string;
  session?: string;
  turn?: string;
  step?: number;
  call?: string;
  agent?: {
    uid: string;
    namespace: string;
    name: string;
    generation?: number;
    promptHash?: string;
    modelHash?: string;
  };
  /** The `act` chain, the caller's agent first. */
  chain?: readonly { agent: string; uid: string }[];
  /** What it was done to or for; `server` can be searched for. */
  target?: AuditTarget;
  tool?: {
    server?: string;
    name: string;
    schemaHash?: string;
    arguments?: Json;
    result?: Json;
  };
  /** The records that a tool read or wrote: the values of the fields that the server's `audit` names. */
  records?: readonly string[];
  /** The token that was issued, exchanged or sent; `principal.jti` is the one that the person came with. */
  token?: { jti?: string; hash?: string };
  /** allow, deny or hide. */
  decision?: string;
  rule?: string;
  policyRevision?: number;
  outcome?: string;
  reason?: string;
  code?: string;
  latencyMs?: number;
  data?: Readonly<Record<string, Json | undefined>>;
}

export interface AuditPrincipal {
  issuer: string;
  subject: string;
  sid?: string;
  /** How the token that is issued names them, where that differs. */
  as?: string;
  jti?: string;
  azp?: string;
  /** Seconds since 1970, as in the token. */
  authTime?: number;
  amr?: readonly string[];
  /** `key:hash` of the token's SHA-256: two calls with one token are told from two with another. */
  tokenHash?: string;
}

export interface AuditTarget {
  kind?: string;
  uid?: string;
  namespace?: string;
  name?: string;
  /** `namespace/name` of a tool server. */
  server?: string;
  tokenService?: string;
  audience?: string | readonly string[];
  resource?: string | readonly string[];
  scopes?: readonly string[];
  mode?: string;
  origin?: string;
  field?: string;
  version?: string | number;
  /** The last writer of a tool server's spec. */
  registeredBy?: { issuer: string; subject: string };
  /** Whom a change is about. */
  person?: { issuer: string; subject: string };
}
