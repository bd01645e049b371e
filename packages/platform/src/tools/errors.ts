import { CodedError } from '@onbehalf/resources';

/** Why a tool call has no result, beside the codes of the token exchange. */
export const TOOL_ERRORS = {
  tool_server_disabled: 'the tool server is switched off',
  tool_unavailable: 'the tool server keeps failing and is given a rest',
  tool_unreachable: 'the tool server cannot be reached',
  tool_forbidden_address: 'the tool server is in a network that no administrator listed',
  tool_timeout: 'the tool server did not answer in time',
  tool_too_large: 'the tool server answered with more than it may',
  tool_unauthorized: 'the tool server refused the credential',
  tool_protocol: 'the tool server did not answer as MCP asks',
  tool_error: 'the tool itself says that it failed; its text follows',
  tool_unsupported: 'this version cannot call that kind of server',
  target_not_allowed: 'the server has no target that the binding may choose',
  token_service_missing: 'there is no such TokenService, or it has no client',
  forward_not_possible: "the user's token does not name this server alone",
  credential_unavailable: 'a Secret cannot be opened for this server',
} as const;

export type ToolErrorCode = keyof typeof TOOL_ERRORS;
export type ActBy = 'administrator' | 'user' | 'tokenService' | 'toolServer';

/** The text goes to the model and the person, so it never repeats a foreign answer. */
export class ToolError extends CodedError<ToolErrorCode> {
  readonly actBy: ActBy;

  constructor(code: ToolErrorCode, message: string, actBy: ActBy, options?: { cause?: unknown }) {
    super(code, message, options);
    this.actBy = actBy;
  }
}
