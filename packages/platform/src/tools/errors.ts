/** Why a tool call has no result. The text goes to the model and the person, so it never repeats a foreign answer. */
export type ToolErrorCode =
  | 'tool_server_missing'
  | 'tool_server_disabled'
  | 'tool_unavailable'
  | 'tool_unreachable'
  | 'tool_forbidden_address'
  | 'tool_timeout'
  | 'tool_too_large'
  | 'tool_unauthorized'
  | 'tool_protocol'
  | 'tool_unsupported'
  | 'target_not_allowed'
  | 'token_service_missing'
  | 'forward_not_possible'
  | 'credential_unavailable';

export type ActBy = 'administrator' | 'user' | 'tokenService' | 'toolServer';

export class ToolError extends Error {
  override readonly name = 'ToolError';
  readonly code: ToolErrorCode;
  readonly actBy: ActBy;

  constructor(code: ToolErrorCode, message: string, actBy: ActBy, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.actBy = actBy;
  }
}
