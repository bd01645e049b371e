import { SdkError, SdkErrorCode, SdkHttpError } from '@modelcontextprotocol/client';
import { TokenExchangeError } from '@onbehalf/token-exchange';
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
      server: known.code === 'target_unauthorized',
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
  if (known instanceof SdkHttpError && known.status === 401)
    return {
      code: 'tool_unauthorized',
      message: `${name} refused the credential`,
      actBy: 'administrator',
      server: true,
      reached: true,
    };
  const answer = { actBy: 'toolServer', server: true };
  if (known instanceof SdkError && known.code === SdkErrorCode.RequestTimeout)
    return { ...answer, code: 'tool_timeout', message: `${name} did not answer in time`, reached: false };
  return { ...answer, code: 'tool_protocol', message: `${name} did not answer as MCP asks`, reached: true };
}

function egressFailure(error: EgressError, name: string): Failure {
  const failure = (code: string, what: string, actBy: string): Failure => ({
    code,
    message: `${name} ${what}`,
    actBy,
    server: actBy === 'toolServer',
    reached: code === 'tool_too_large',
  });
  switch (error.code) {
    case 'deadline':
      return failure('tool_timeout', 'did not answer in time', 'toolServer');
    case 'too_large':
    case 'line_too_long':
      return failure('tool_too_large', 'answered with more than 1 MiB', 'toolServer');
    case 'address_forbidden':
    case 'scheme_forbidden':
    case 'invalid_url':
    case 'credentials_in_url':
      return failure(
        'tool_forbidden_address',
        'is at an address that this server may not call: see privateNetworks',
        'administrator',
      );
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
    if (current instanceof SdkError || current instanceof SdkHttpError) generic = current;
    const data = (current as { data?: { cause?: unknown } }).data;
    if (data?.cause instanceof Error) {
      const inner = findCause(data.cause);
      if (inner !== data.cause) return inner;
    }
  }
  return generic;
}
