import { createRoutes, type RoutePorts } from '../../packages/platform/src/http/index.ts';

/** The table that the server routes by. What a route would call is not there: only its address and shapes are read. */
export const routeTable = createRoutes({} as RoutePorts);
