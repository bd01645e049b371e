/**
 * Models: the message format of our own loop, the seam for providers, and the list of models. It may open a credential
 * through the vault for the length of a call, and reaches providers through egress. It never keeps a credential, never
 * hands one out, and knows nothing of sessions or tools.
 */
export { createDemoClient } from './demo.ts';
export {
  MODEL_ERRORS,
  type ModelChunk,
  type ModelClient,
  ModelError,
  type ModelMessage,
  type ModelRequest,
  type ModelTool,
  type ModelToolCall,
} from './messages.ts';
export { createModels, hasClient, type Models, type ModelsOptions } from './models.ts';
