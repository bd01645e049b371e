/**
 * The HTTP API from a program or a browser: typed requests, problem documents as errors, answers as they are generated,
 * and a conversation over a WebSocket that resumes exactly where it was cut. It uses `fetch` and `WebSocket` alone and
 * takes the nouns' types from `resources`. It never stores a token and never puts one into an address or an error.
 */
export { type Client, type ClientOptions, createClient } from './client.ts';
export { ApiError, type ClientCode } from './error.ts';
export { type ServerSentEvent, serverSentEvents } from './server-sent-events.ts';
export type { ClosedReason, Connection, Notice, OpenSession, OpenSessionOptions } from './session.ts';
export type { WebSocketConstructor } from './socket.ts';
export type { Fetch, FetchInit } from './transport.ts';
export type * from './types.ts';
