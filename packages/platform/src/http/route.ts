import type { Action, DecisionContext, DecisionResource } from '@onbehalf/access';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { Rate } from '../limits/index.ts';
import type { Caller } from './caller.ts';
import { HttpProblem, NOT_FOUND } from './problems.ts';

/** What the policy is asked before the body is read. */
export interface Question {
  action: Action;
  resource: DecisionResource;
  context?: Partial<DecisionContext>;
}

export interface RouteRequest<Body, Query, Subject> {
  caller: Caller;
  params: Record<string, string>;
  query: Query;
  body: Body;
  /** What `question` found, such as the session that the address names. */
  found: Subject;
  requestId: string;
  raw: FastifyRequest;
  reply: FastifyReply;
}

export interface Route<Body = unknown, Query = unknown, Found = unknown> {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Fastify's form, without the prefix `/api`. */
  path: string;
  summary: string;
  /** Reached over the administration socket only. */
  localOnly?: true;
  bodyLimit?: number;
  /** What one person may do so often. Taken before the body is read. */
  budget?: Rate;
  body?: z.ZodType<Body>;
  query?: z.ZodType<Query>;
  /** By status; `null` for an answer without a body. */
  responses: Readonly<Record<number, z.ZodType | null | 'event-stream'>>;
  /** Finds what the address names and says what to decide about it. Not found and hidden look alike. */
  authorize(
    request: Omit<RouteRequest<never, Query, never>, 'body' | 'found' | 'reply'>,
  ): Promise<{ question: Question; found: Found }> | { question: Question; found: Found };
  handle(request: RouteRequest<Body, Query, Found>): Promise<unknown>;
}

/** Keeps the three types of a route together; a table of routes holds them erased. */
export function route<Body = undefined, Query = Record<string, never>, Found = undefined>(
  definition: Route<Body, Query, Found>,
): Route {
  return definition as unknown as Route;
}

/** Asks for a role, about nothing in particular. */
export function byRole(action: Action) {
  return () => ({ question: { action, resource: { kind: 'Server' } }, found: undefined });
}

export const notFound = () => new HttpProblem('not_found', NOT_FOUND);
