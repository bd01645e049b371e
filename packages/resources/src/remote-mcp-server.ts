import { z } from 'zod';
import { toolName, toolScopes } from './agent.ts';
import {
  audienceValue,
  consumers,
  duration,
  httpUrl,
  reference,
  scopeValue,
  secretReference,
  targetFields,
  targetOverride,
  tls,
} from './primitives.ts';

export const authMode = z.enum(['Exchange', 'Workload', 'Forward', 'Static', 'None']);
export type AuthMode = z.infer<typeof authMode>;

const staticHeader = z.strictObject({
  header: z.string().min(1),
  secretRef: secretReference,
  scheme: z.string().min(1).exactOptional(),
});

const serverAuth = z
  .strictObject({
    mode: authMode.exactOptional(),
    tokenServiceRef: reference.exactOptional(),
    ...targetFields,
    toolScopes: toolScopes.exactOptional(),
    resourceFrom: z.literal('ServerURL').exactOptional(),
    allowOverride: targetOverride.exactOptional(),
    allowExtraAudiences: z.array(audienceValue).exactOptional(),
    static: staticHeader.exactOptional(),
    discovery: z
      .strictObject({
        mode: z.enum(['Workload', 'User', 'None']).exactOptional(),
        client: z.string().min(1).exactOptional(),
        scopes: z.array(scopeValue).max(50).exactOptional(),
      })
      .exactOptional(),
  })
  .superRefine((auth, context) => {
    const mode = auth.mode ?? 'None';
    const exchanged = mode === 'Exchange' || mode === 'Workload';
    if (auth.mode === undefined && auth.audience !== undefined)
      context.addIssue({ code: 'custom', path: ['mode'], message: '`audience` needs a mode: write `mode: Exchange`' });
    else if (!exchanged)
      for (const field of [
        'resource',
        'resourceFrom',
        'scopes',
        'toolScopes',
        'audience',
        'allowOverride',
        'tokenServiceRef',
      ] as const)
        if (auth[field] !== undefined && !(mode === 'Forward' && (field === 'audience' || field === 'resource')))
          context.addIssue({ code: 'custom', path: [field], message: `has no meaning with mode ${mode}` });
    if (exchanged && !auth.audience?.length && !auth.resource?.length && auth.resourceFrom === undefined)
      context.addIssue({
        code: 'custom',
        path: ['resource'],
        message: `mode ${mode} needs a target: \`resource\`, \`audience\` or \`resourceFrom: ServerURL\``,
      });
    if ((mode === 'Static') !== (auth.static !== undefined))
      context.addIssue({ code: 'custom', path: ['static'], message: '`static` and `mode: Static` go together' });
  });
export type ServerAuth = z.infer<typeof serverAuth>;

/** Headers that belong to the platform or to the protocol. */
const RESERVED_HEADER = /^(authorization|cookie|host|traceparent|mcp-.*)$/i;

const header = z
  .strictObject({
    name: z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'must be a header name'),
    value: z.string().exactOptional(),
    secretRef: secretReference.exactOptional(),
  })
  .refine((entry) => !RESERVED_HEADER.test(entry.name), { path: ['name'], message: 'is reserved: use `auth`' })
  .refine((entry) => (entry.value === undefined) !== (entry.secretRef === undefined), {
    message: 'needs either `value` or `secretRef`',
  });

/** RFC 6901. */
const jsonPointer = z
  .string()
  .max(256)
  .regex(/^(\/([^~/]|~[01])*)+$/, 'must be a JSON pointer such as /order_id');
const perTool = z.record(z.string(), z.array(jsonPointer).max(20));

export const remoteMcpServerSpec = z
  .strictObject({
    url: httpUrl.exactOptional(),
    protocol: z.enum(['StreamableHTTP', 'SSE', 'Stdio']).exactOptional(),
    stdio: z
      .strictObject({
        command: z.array(z.string()).min(1),
        env: z.array(z.strictObject({ name: z.string().min(1), value: z.string() })).exactOptional(),
      })
      .exactOptional(),
    auth: serverAuth.exactOptional(),
    headers: z.array(header).exactOptional(),
    tls: tls.exactOptional(),
    timeouts: z
      .strictObject({
        connect: duration.exactOptional(),
        firstByte: duration.exactOptional(),
        total: duration.exactOptional(),
      })
      .exactOptional(),
    toolNames: z.array(toolName).exactOptional(),
    requireApproval: z.array(toolName).exactOptional(),
    audit: z
      .strictObject({
        arguments: z.enum(['None', 'Hash', 'Fields']).exactOptional(),
        fields: perTool.exactOptional(),
        resultFields: perTool.exactOptional(),
      })
      .exactOptional(),
    softwareApprovals: z.boolean().exactOptional(),
    description: z.string().max(1_024).exactOptional(),
    enabled: z.boolean().exactOptional(),
    consumers: consumers.exactOptional(),
  })
  .superRefine((spec, context) => {
    const stdio = spec.protocol === 'Stdio';
    if (stdio && !spec.stdio)
      context.addIssue({ code: 'custom', path: ['stdio'], message: 'protocol Stdio needs `stdio`' });
    if (!stdio && spec.stdio) context.addIssue({ code: 'custom', path: ['stdio'], message: 'needs `protocol: Stdio`' });
    if (!stdio && spec.url === undefined) context.addIssue({ code: 'custom', path: ['url'], message: 'is required' });
    if (stdio && spec.url !== undefined)
      context.addIssue({ code: 'custom', path: ['url'], message: 'has no meaning with protocol Stdio' });
  });
export type RemoteMcpServerSpec = z.infer<typeof remoteMcpServerSpec>;

/** At which TokenService the tokens of this server are asked for. */
export const tokenServiceNameOf = ({ auth }: { auth?: RemoteMcpServerSpec['auth'] | undefined }): string =>
  auth?.tokenServiceRef?.name ?? 'default';

/**
 * Where a server is and how it is called, as text to compare: what was approved at one place is not approved at another.
 */
export const placeOf = ({ url, protocol, auth, tls }: RemoteMcpServerSpec): string =>
  JSON.stringify([url, protocol, auth, tls], (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );

/** A tool as it was found at the server. `hash` covers name, description and input schema. */
export const discoveredTool = z.strictObject({
  name: z.string(),
  description: z.string(),
  inputSchema: z.record(z.string(), z.unknown()),
  hash: z.string(),
  approved: z.boolean(),
  flagged: z.array(z.string()).exactOptional(),
});
export type DiscoveredTool = z.infer<typeof discoveredTool>;
