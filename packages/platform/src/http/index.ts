/**
 * The doors: REST, server-sent events, WebSocket, the console's files. Every request is authenticated and decided before
 * its body is read and before a socket opens. It may use every room of the platform; it holds no rule of its own beyond
 * the table of routes, and answers every error as a problem document that gives nothing away.
 */
export { createApp, type Listener } from './app.ts';
export { litellmBase, writeEnvironment } from './environment.ts';
export { openApi } from './openapi.ts';
export { createPolicy } from './policy.ts';
export { PROBLEMS } from './problems.ts';
export { createReconciler } from './resources/reconcile.ts';
export { routes } from './routes/index.ts';
export type { Policy, Services } from './services.ts';
export { createTrustedIssuers } from './trusted-issuers.ts';
