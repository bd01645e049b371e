import type { Route } from '../route.ts';
import { agentRoutes } from './agents.ts';
import { evidenceRoutes } from './evidence.ts';
import { peopleRoutes } from './people.ts';
import { resourceRoutes } from './resources.ts';
import { sessionRoutes } from './sessions.ts';
import { trialRoutes } from './trials.ts';

/** Every route of the API. None can be written without saying what the policy is asked. */
export const routes: readonly Route[] = [
  ...agentRoutes,
  ...sessionRoutes,
  ...peopleRoutes,
  ...evidenceRoutes,
  ...trialRoutes,
  ...resourceRoutes,
];
