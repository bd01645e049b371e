import type { AgentIdentity, ExchangeView, ResolvedTarget } from '@onbehalf/resources';
import type { ActorSource, ClientConfig, SubjectSource, WorkloadSource } from '@onbehalf/token-exchange';
import type { Json } from '../audit/index.ts';
import type { Stored } from '../store/index.ts';

/** What this room needs of the embedded issuer, which it may not import. */
export interface PlatformIdentity {
  readonly publicUrl: string;
  /** The built-in client `platform`. */
  readonly client: ClientConfig;
  readonly workload: WorkloadSource;
  actorFor(agent: AgentIdentity): ActorSource;
  /** Requests to our own token service: the same bytes and checks, without a socket. */
  readonly fetch: typeof globalThis.fetch;
  /** Audiences of our own doors. A token that names one is never forwarded. */
  readonly doorAudiences: readonly string[];
}

export type McpServer = Stored<'RemoteMCPServer'>;

/** One call, decided and written down already. */
export interface ToolCall {
  server: McpServer;
  tool: string;
  /** As it was approved: what it says of headers is what is sent (SEP-2243), and the server is not asked again. */
  inputSchema?: Readonly<Record<string, unknown>>;
  arguments: Record<string, unknown>;
  /** Of Exchange and Workload servers. */
  target: ResolvedTarget | undefined;
  subject: SubjectSource | undefined;
  agent: AgentIdentity;
  session: string;
  turn: string;
  step: number;
  callId: string;
  door?: string;
  requestId?: string;
  /** W3C Trace Context: 32 hexadecimal digits. */
  traceId?: string;
  /** Fields of the result to be recorded: pointers (RFC 6901). */
  resultFields?: readonly string[];
  /** Time for this tool, in milliseconds; the server's own without. */
  timeoutMs?: number;
  /** Made once more where the server took it and did not answer. */
  idempotent?: boolean;
  signal: AbortSignal;
  onExchange(view: ExchangeView): void;
}

export interface ToolResult {
  isError: boolean;
  output: string;
  code?: string;
  actBy?: string;
  /** What the token service wants the person to be asked (`interaction_required`). */
  claimsChallenge?: string;
  truncated: boolean;
  /** It was sent, and whether it was carried out is not known. */
  unknown?: boolean;
  /** It was sent twice. */
  repeated?: boolean;
  ms: number;
  /** What `resultFields` point to, without credentials. */
  fields?: Readonly<Record<string, Json>>;
}
