import { z } from 'zod';
import {
  consumers,
  dnsLabel,
  duration,
  httpUrl,
  reference,
  scopeValue,
  secretReference,
  targetFields,
  targetOverride,
} from './primitives.ts';

export const toolName = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,128}$/, 'must be a tool name: letters, digits, "_", "-", "."');
const toolNames = z.array(toolName);

/** The scopes of the token for each tool that needs others than the rest. */
export const toolScopes = z.record(toolName, z.array(scopeValue).max(50));
export type ToolScopes = z.infer<typeof toolScopes>;

const approvalRule = z.strictObject({
  tool: toolName,
  by: z.enum(['Owner', 'Group', 'Admin']).exactOptional(),
  group: z.string().min(1).exactOptional(),
  second: z.boolean().exactOptional(),
  editable: z.array(z.string().regex(/^(\/[^/]*)*$/, 'must be a JSON pointer (RFC 6901)')).exactOptional(),
  expiresIn: duration.exactOptional(),
});

const mcpServerTool = z.strictObject({
  name: dnsLabel,
  namespace: dnsLabel.exactOptional(),
  toolNames: toolNames.exactOptional(),
  requireApproval: toolNames.exactOptional(),
  approval: z.array(approvalRule).exactOptional(),
  idempotent: toolNames.exactOptional(),
  timeouts: z.strictObject({ tool: duration.exactOptional() }).exactOptional(),
  auth: z.strictObject({ ...targetFields, toolScopes: toolScopes.exactOptional() }).exactOptional(),
});
export type McpServerBinding = z.infer<typeof mcpServerTool>;

export const toolBinding = z
  .strictObject({
    type: z.enum(['McpServer', 'Agent']),
    mcpServer: mcpServerTool.exactOptional(),
    agent: z.strictObject({ name: dnsLabel, namespace: dnsLabel.exactOptional() }).exactOptional(),
    isolateSessions: z.boolean().exactOptional(),
  })
  .superRefine((tool, context) => {
    const wanted = tool.type === 'McpServer' ? 'mcpServer' : 'agent';
    const other = tool.type === 'McpServer' ? 'agent' : 'mcpServer';
    if (!tool[wanted])
      context.addIssue({ code: 'custom', path: [wanted], message: `type ${tool.type} needs \`${wanted}\`` });
    if (tool[other])
      context.addIssue({ code: 'custom', path: [other], message: `type ${tool.type} has no \`${other}\`` });
    const { toolNames: names, requireApproval = [] } = tool.mcpServer ?? {};
    const stray = names ? requireApproval.find((name) => !names.includes(name)) : undefined;
    if (stray !== undefined)
      context.addIssue({
        code: 'custom',
        path: ['mcpServer', 'requireApproval'],
        message: `${stray} is not in toolNames: add it there or take it out here`,
      });
  });
export type ToolBinding = z.infer<typeof toolBinding>;

const tools = z.array(toolBinding).max(50);

const declarative = z
  .strictObject({
    systemMessage: z.string().max(65_536).exactOptional(),
    systemMessageFrom: z.strictObject({ secretRef: secretReference }).exactOptional(),
    modelConfigRef: reference.exactOptional(),
    tools: tools.exactOptional(),
    maxSteps: z.int().min(1).max(200).exactOptional(),
    maxTurnDuration: duration.exactOptional(),
    stream: z.boolean().exactOptional(),
    context: z
      .strictObject({
        maxTokens: z.int().positive().exactOptional(),
        keepLastSteps: z.int().positive().exactOptional(),
      })
      .exactOptional(),
    skills: z
      .array(z.strictObject({ id: z.string(), name: z.string(), description: z.string().exactOptional() }))
      .exactOptional(),
  })
  .refine((spec) => spec.systemMessage === undefined || spec.systemMessageFrom === undefined, {
    path: ['systemMessageFrom'],
    message: 'give either systemMessage or systemMessageFrom',
  });

const nameValue = z.strictObject({ name: z.string().min(1), value: z.string() });

const byo = z.strictObject({
  modelConfigRef: reference.exactOptional(),
  injection: z.enum(['Broker', 'File', 'Env']).exactOptional(),
  protocol: z.enum(['A2A', 'Invoke']).exactOptional(),
  port: z.int().min(1).max(65_535).exactOptional(),
  path: z.string().startsWith('/').exactOptional(),
  cardPath: z.string().startsWith('/').exactOptional(),
  readiness: z.strictObject({ path: z.string().startsWith('/') }).exactOptional(),
  process: z
    .strictObject({
      command: z.array(z.string()).min(1),
      cwd: z.string().exactOptional(),
      env: z.array(nameValue).exactOptional(),
      user: z.string().exactOptional(),
      trust: z.literal('SameAsPlatform').exactOptional(),
    })
    .exactOptional(),
  compat: z.enum(['none', 'kagent-0.10']).exactOptional(),
  deployment: z.looseObject({ image: z.string().min(1) }).exactOptional(),
  endpoint: httpUrl.exactOptional(),
  endpointAuth: z
    .strictObject({
      mode: z.enum(['Exchange', 'Workload', 'Forward', 'Static', 'None']),
      tokenServiceRef: reference.exactOptional(),
      ...targetFields,
      static: z
        .strictObject({ header: z.string(), secretRef: secretReference, scheme: z.string().exactOptional() })
        .exactOptional(),
    })
    .exactOptional(),
  subjectToken: z.enum(['None', 'Audience']).exactOptional(),
  requireTurn: z.boolean().exactOptional(),
  network: z
    .strictObject({ egress: z.enum(['BrokersOnly', 'Allow']), allow: z.array(z.string()).exactOptional() })
    .exactOptional(),
  tools: tools.exactOptional(),
});

export const agentRoute = z.strictObject({
  host: z.string().min(1).exactOptional(),
  pathPrefix: z.string().startsWith('/'),
  methods: z.array(z.string().regex(/^[A-Z]+$/)).exactOptional(),
  verb: z.enum(['read', 'run', 'write']).exactOptional(),
});

export const agentSpec = z
  .strictObject({
    type: z.enum(['Declarative', 'BYO']),
    description: z.string().max(1_024).exactOptional(),
    iconUrl: httpUrl.exactOptional(),
    version: z.string().max(64).exactOptional(),
    enabled: z.boolean().exactOptional(),
    declarative: declarative.exactOptional(),
    byo: byo.exactOptional(),
    modelConfigRef: reference.exactOptional(),
    auth: targetOverride.exactOptional(),
    routes: z.array(agentRoute).exactOptional(),
    maxConcurrentTurns: z.int().positive().exactOptional(),
    retention: z.strictObject({ sessions: duration.exactOptional() }).exactOptional(),
    consumers: consumers.exactOptional(),
  })
  .superRefine((spec, context) => {
    const wanted = spec.type === 'BYO' ? 'byo' : 'declarative';
    const other = spec.type === 'BYO' ? 'declarative' : 'byo';
    if (!spec[wanted])
      context.addIssue({ code: 'custom', path: [wanted], message: `type ${spec.type} needs \`${wanted}\`` });
    if (spec[other])
      context.addIssue({ code: 'custom', path: [other], message: `type ${spec.type} has no \`${other}\`` });
    if (spec.modelConfigRef && spec.type !== 'BYO')
      context.addIssue({
        code: 'custom',
        path: ['modelConfigRef'],
        message: 'is an alias for BYO agents; write it under `declarative`',
      });
  });
export type AgentSpec = z.infer<typeof agentSpec>;

/** The tool bindings of either type of agent. */
export function bindingsOf(spec: AgentSpec): readonly ToolBinding[] {
  return spec.declarative?.tools ?? spec.byo?.tools ?? [];
}

/** The agent's model, wherever it is written. */
export function modelConfigRefOf(spec: AgentSpec) {
  return spec.declarative?.modelConfigRef ?? spec.byo?.modelConfigRef ?? spec.modelConfigRef;
}
