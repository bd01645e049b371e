import { problem } from '@onbehalf/resources';
import { z } from 'zod';
import type { Route } from './route.ts';

/** OpenAPI 3.1, generated from the same table that the server routes by. */
export function openApi(version: string, routes: readonly Route[]) {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    if (route.localOnly) continue;
    const path = `/api${route.path.replaceAll(/:([A-Za-z]+)/g, '{$1}')}`;
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Onbehalf', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    security: [{ bearer: [] }, { cookie: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        cookie: {
          type: 'apiKey',
          in: 'cookie',
          name: 'onbehalf',
          description: 'named by installation; unsafe methods need x-onbehalf-csrf',
        },
      },
      schemas: { Problem: schemaOf(problem) },
    },
  };
}

function operation(route: Route) {
  const names = [...route.path.matchAll(/:([A-Za-z]+)/g)].map(([, name]) => name ?? '');
  const query = route.query
    ? (schemaOf(route.query) as { properties?: Record<string, unknown>; required?: string[] })
    : {};
  return {
    operationId: `${route.method.toLowerCase()}${route.path.replaceAll(/[^A-Za-z]+(.)?/g, (_match, next: string | undefined) => (next ?? '').toUpperCase())}`,
    summary: route.summary,
    parameters: [
      ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
      ...Object.entries(query.properties ?? {}).map(([name, schema]) => ({
        name,
        in: 'query',
        required: query.required?.includes(name) ?? false,
        schema,
      })),
    ],
    ...(route.body && {
      requestBody: { required: true, content: { 'application/json': { schema: schemaOf(route.body) } } },
    }),
    responses: {
      ...Object.fromEntries(Object.entries(route.responses).map(([status, schema]) => [status, response(schema)])),
      default: {
        description: 'A problem (RFC 9457)',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  };
}

function response(schema: z.ZodType | null | 'event-stream') {
  if (schema === null) return { description: 'Done' };
  if (schema === 'event-stream')
    return { description: 'Events', content: { 'text/event-stream': { schema: { type: 'string' } } } };
  return { description: 'The answer', content: { 'application/json': { schema: schemaOf(schema) } } };
}

function schemaOf(schema: z.ZodType): object {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
}
