import { ProtocolError, SdkError, SdkErrorCode, SdkHttpError } from '@modelcontextprotocol/client';
import type { SecretValue } from '@onbehalf/secret-value';
import { TokenExchangeError } from '@onbehalf/token-exchange';
import { quoted } from '../audit/index.ts';
import { EgressError } from '../egress/index.ts';
import { VaultError } from '../vault/index.ts';
import { ToolError } from './errors.ts';
import type { McpServer } from './ports.ts';

export interface Failure {
  code: string;
  message: string;
  actBy: string;
  claimsChallenge?: string;
  /** Whether the server, and not we or the token service, is to blame: counts for its breaker. */
  server: boolean;
  /** Whether the server itself answered; undefined where it was not asked. */
  reached?: boolean;
  /** It may have been carried out: it was sent, and its answer did not come. */
  unknown?: boolean;
}

/** Where a scope is written that is missing: for a list of the tools, or for the call of one. */
const SCOPE_SETTINGS = {
  discovery: 'spec.auth.discovery.scopes or spec.auth.scopes',
  call: 'spec.auth.toolScopes or spec.auth.scopes',
} as const;

/** Finds the typed error however deep a library wrapped it, and says it in our own words. */
export function explainFailure(
  error: unknown,
  server: Pick<McpServer, 'metadata'>,
  doing: keyof typeof SCOPE_SETTINGS = 'call',
  sent: readonly SecretValue[] = [],
): Failure {
  const name = server.metadata.name;
  const known = findCause(error);
  if (known instanceof ToolError)
    return { code: known.code, message: known.message, actBy: known.actBy, server: false };
  if (known instanceof TokenExchangeError)
    return {
      code: known.code,
      message:
        known.code === 'insufficient_scope'
          ? `${known.message}: write it into ${SCOPE_SETTINGS[doing]} of the RemoteMCPServer ${name}`
          : known.message,
      actBy: known.actBy,
      server: false,
      ...(known.code === 'target_unauthorized' && { reached: true }),
      ...(known.claimsChallenge !== undefined && { claimsChallenge: known.claimsChallenge }),
    };
  if (known instanceof VaultError)
    return {
      code: 'credential_unavailable',
      message: `the credential of ${name} cannot be used (${known.code})`,
      actBy: 'administrator',
      server: false,
    };
  if (known instanceof EgressError) return egressFailure(known, name);
  const answer = { actBy: 'toolServer', reached: true };
  // JSON-RPC 2.0 section 5.1: an answer like any other, which says why there is no result.
  if (known instanceof ProtocolError)
    return {
      ...answer,
      code: 'tool_error',
      message: `${name} refused the call: ${quoted(known.message, sent)} (${known.code})`,
      server: false,
    };
  if (known instanceof SdkHttpError) {
    const { status } = known;
    if (status === 401 || status === 403)
      return {
        ...answer,
        code: 'tool_unauthorized',
        message: `${name} refused the credential with ${status}`,
        actBy: 'administrator',
        server: false,
      };
    return { ...answer, code: 'tool_protocol', message: `${name} answered ${status}`, server: status >= 500 };
  }
  if (known instanceof SdkError && known.code === SdkErrorCode.RequestTimeout)
    return {
      ...answer,
      code: 'tool_timeout',
      message: `${name} did not answer in time${UNKNOWN}`,
      server: true,
      reached: false,
      unknown: true,
    };
  if (known instanceof SdkError && known.code === SdkErrorCode.ConnectionClosed)
    return {
      ...answer,
      code: 'tool_unreachable',
      message: `the connection to ${name} ended before it answered${UNKNOWN}`,
      server: false,
      unknown: true,
    };
  const what = known instanceof SdkError ? ` (${known.code})` : '';
  return { ...answer, code: 'tool_protocol', message: `${name} did not answer as MCP asks${what}`, server: true };
}

/** What a model must know before it tries again. */
const UNKNOWN = ': it is not known whether the call was carried out';

function egressFailure(error: EgressError, name: string): Failure {
  const failure = (code: string, what: string, actBy: string, more: Partial<Failure> = {}): Failure => ({
    code,
    message: `${name} ${what}`,
    actBy,
    server: actBy === 'toolServer',
    reached: false,
    ...more,
  });
  switch (error.code) {
    case 'deadline':
      return failure('tool_timeout', `did not answer in time${UNKNOWN}`, 'toolServer', { unknown: true });
    case 'too_large':
    case 'line_too_long':
      return failure('tool_too_large', `answered with more than 1 MiB${UNKNOWN}`, 'toolServer', {
        reached: true,
        unknown: true,
      });
    case 'address_forbidden':
    case 'scheme_forbidden':
    case 'invalid_url':
    case 'credentials_in_url':
      return failure(
        'tool_forbidden_address',
        'is at an address that this server may not call: see privateNetworks',
        'administrator',
      );
    case 'redirect_refused':
      return failure('tool_unreachable', 'answered with a redirect, which leads away from its URL', 'administrator', {
        reached: true,
      });
    case 'upstream_failed':
      return failure('tool_unreachable', `broke the connection off${UNKNOWN}`, 'toolServer', { unknown: true });
    default:
      return failure('tool_unreachable', `cannot be reached (${error.code})`, 'toolServer');
  }
}

function findCause(error: unknown): unknown {
  let generic: unknown = error;
  for (
    let current: unknown = error, depth = 0;
    current instanceof Error && depth < 8;
    current = current.cause, depth++
  ) {
    if (
      current instanceof ToolError ||
      current instanceof TokenExchangeError ||
      current instanceof EgressError ||
      current instanceof VaultError
    )
      return current;
    if (current instanceof SdkError || current instanceof ProtocolError) generic = current;
    const data = (current as { data?: { cause?: unknown } }).data;
    if (data?.cause instanceof Error) {
      const inner = findCause(data.cause);
      if (inner !== data.cause) return inner;
    }
  }
  return generic;
}
