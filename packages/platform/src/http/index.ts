/**
 * The doors: REST, server-sent events, WebSocket, the console's files. Every request is authenticated and decided before
 * its body is read and before a socket opens. It may use every room of the platform; it holds no rule of its own beyond
 * the table of routes, and answers every error as a problem document that gives nothing away.
 */

export { litellmBase, writeEnvironment } from '../control/environment.ts';
export { createReconciler } from '../control/reconcile.ts';
export { createPolicy } from '../policy/policy.ts';
export { createTrustedIssuers } from '../policy/trusted-issuers.ts';
export { createApp, type Listener } from './app.ts';
export { openApi } from './openapi.ts';
export { PROBLEMS } from './problems.ts';
export { routes } from './routes/index.ts';
export type { Policy, Services } from './services.ts';
