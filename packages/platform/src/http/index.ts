/**
 * The doors: REST, server-sent events, WebSocket, the console's files. Every request is authenticated and decided before
 * its body is read and before a socket opens. It may use every room of the platform; it holds no rule of its own beyond
 * the table of routes, and answers every error as a problem document that gives nothing away.
 */
export { type AppPorts, createApp, type Listener } from './app.ts';
export { type AuthenticatePorts, createAuthenticator } from './authenticate.ts';
export { loginPages } from './login-pages.ts';
export { openApi } from './openapi.ts';
export { PROBLEMS } from './problems.ts';
export { createReadiness } from './readiness.ts';
export { createRoutes, type RoutePorts } from './routes/index.ts';
