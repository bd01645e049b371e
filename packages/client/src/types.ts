import type {
  auditList,
  Kind,
  kinds,
  PrincipalView,
  ResourceInput,
  ResourceOf,
  roles,
  stopResult,
  turnResult,
  verbs,
} from '@onbehalf/resources';

/** What a schema of `resources` describes. */
type Shape<T extends { _output: unknown }> = T['_output'];

/** How a kind is spelt in an address: `agents`, `model-configs`, `mcp-servers`, … */
export type Plural = (typeof kinds)[Kind]['plural'];
export type KindAt<P extends Plural> = { [K in Kind]: (typeof kinds)[K]['plural'] extends P ? K : never }[Kind];
export type ResourceAt<P extends Plural> = { [K in KindAt<P>]: ResourceOf<K> }[KindAt<P>];
export type InputAt<P extends Plural> = Extract<ResourceInput, { kind: KindAt<P> }>;

/** `name` (in the namespace `default`), `namespace.name`, or both apart. */
export type Address = string | { name: string; namespace?: string | undefined };

export interface ResourceList<T> {
  items: T[];
  /** Grows with every change of any resource. */
  revision: number;
}

export interface Health {
  status: string;
  timestamp: string;
}

export type Role = (typeof roles)[number];
export type Verb = (typeof verbs)[number];
export type StopResult = Shape<typeof stopResult>;
export type AuditList = Shape<typeof auditList>;
export type ToolCallView = Shape<typeof turnResult>['toolCalls'][number];

export interface Call {
  signal?: AbortSignal | undefined;
}

export interface SayOptions extends Call {
  /** Repeating a message with its key joins the turn that it began. Default: a random one. */
  idempotencyKey?: string | undefined;
  source?: string | undefined;
}

export interface CanIQuery {
  verb: Verb;
  kind: Kind;
  name: string;
  namespace?: string | undefined;
  /** A subject of the embedded issuer; AUDITOR and ADMIN only. */
  as?: string | undefined;
}

export interface ExchangeFilter {
  session?: string | undefined;
  agent?: string | undefined;
  server?: string | undefined;
  /** A subject; only AUDITOR and ADMIN see other people's. */
  user?: string | undefined;
  result?: string | undefined;
  /** ISO 8601, inclusive. */
  since?: string | undefined;
  /** At most 500. */
  limit?: number | undefined;
}

export interface AuditFilter {
  turn?: string | undefined;
  session?: string | undefined;
  type?: string | undefined;
  /** A subject; only AUDITOR and ADMIN see other people's lines. */
  user?: string | undefined;
  agent?: string | undefined;
  server?: string | undefined;
  decision?: string | undefined;
  jti?: string | undefined;
  record?: string | undefined;
  requestId?: string | undefined;
  /** ISO 8601, inclusive. */
  since?: string | undefined;
  /** ISO 8601, exclusive. */
  until?: string | undefined;
  limit?: number | undefined;
}

export interface NewPrincipal {
  subject: string;
  name?: string;
  email?: string;
  role?: Role;
  password?: string;
}

export interface PrincipalChange {
  issuer: string;
  subject: string;
  role?: Role;
  disabled?: boolean;
}

export interface Principals {
  items: PrincipalView[];
}
