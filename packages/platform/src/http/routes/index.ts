import type { Route } from '../route.ts';
import { type AgentPorts, agentRoutes } from './agents.ts';
import { type EvidencePorts, evidenceRoutes } from './evidence.ts';
import { type PeoplePorts, peopleRoutes } from './people.ts';
import { type ResourcePorts, resourceRoutes } from './resources.ts';
import { type SessionPorts, sessionRoutes } from './sessions.ts';
import { type TrialPorts, trialRoutes } from './trials.ts';

export type RoutePorts = AgentPorts & EvidencePorts & PeoplePorts & ResourcePorts & SessionPorts & TrialPorts;

/** Every route of the API. None can be written without saying what the policy is asked. */
export const createRoutes = (ports: RoutePorts): readonly Route[] => [
  ...agentRoutes(ports),
  ...sessionRoutes(ports),
  ...peopleRoutes(ports),
  ...evidenceRoutes(ports),
  ...trialRoutes(ports),
  ...resourceRoutes(ports),
];
