/**
 * Tools: MCP connections, the tool catalogue, the credential of each call. It may exchange tokens through
 * token-exchange, open credentials through the vault, and reaches tool servers through egress. It never decides who may
 * call what, never sends more than one credential, and never sends another one when the right one cannot be had.
 */
export { type ClientSpec, clientConfigOf, type OpenReference } from './client-config.ts';
export { serviceMistakes, targetMistake } from './dialect.ts';
export { TOOL_ERRORS } from './errors.ts';
export type { McpServer, PlatformIdentity, ToolCall, ToolResult } from './ports.ts';
export { showHidden } from './result.ts';
export type { ExchangeSettings } from './token-services.ts';
export { createTools, type Tools, type ToolsOptions } from './tools.ts';
