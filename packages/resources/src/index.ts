/**
 * The nouns: every kind of resource, the event schema, and the shapes of the HTTP API, written once in zod. Types, JSON
 * Schema and OpenAPI are generated from here. It uses no Node API, so that a browser runs the server's own validation.
 * It never reads, stores or sends anything.
 */
export * from './agent.ts';
export * from './api.ts';
export { CodedError } from './coded-error.ts';
export * from './documents.ts';
export * from './events.ts';
export * from './identity-kinds.ts';
export { isObject } from './is-object.ts';
export * from './kinds.ts';
export * from './metadata.ts';
export * from './missing-tools.ts';
export * from './model-config.ts';
export * from './names.ts';
export { nearest } from './nearest.ts';
export * from './not-yet.ts';
export * from './primitives.ts';
export * from './privilege.ts';
export * from './remote-mcp-server.ts';
export { fieldsOf, type SchemaField } from './schema-fields.ts';
export * from './secret-references.ts';
export { signInCode } from './sign-in-code.ts';
export * from './target.ts';
export { pathText, validate } from './validate.ts';
export { cut } from './yaml-text.ts';
