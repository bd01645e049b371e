import { z } from 'zod';
import { agentSpec } from './agent.ts';
import { grantSpec, type KeptGrantSpec, secretSpec, tokenServiceSpec, trustedIssuerSpec } from './identity-kinds.ts';
import { API_VERSION, condition, type metadata, metadataInput } from './metadata.ts';
import { modelConfigSpec } from './model-config.ts';
import { discoveredTool, remoteMcpServerSpec } from './remote-mcp-server.ts';

const conditions = z.array(condition).exactOptional();
const baseStatus = { observedGeneration: z.int().exactOptional(), conditions };

const status = {
  Agent: z.strictObject(baseStatus),
  RemoteMCPServer: z.strictObject({
    ...baseStatus,
    tools: z.array(discoveredTool).exactOptional(),
    protocolEra: z.string().exactOptional(),
    resourceMetadata: z.record(z.string(), z.unknown()).exactOptional(),
    approvedFor: z.string().exactOptional(),
    placedBy: z.strictObject({ issuer: z.string(), subject: z.string() }).exactOptional(),
  }),
  ModelConfig: z.strictObject({ ...baseStatus, models: z.array(z.string()).exactOptional() }),
  TokenService: z.strictObject(baseStatus),
  TrustedIssuer: z.strictObject(baseStatus),
  Secret: z.strictObject({
    ...baseStatus,
    fields: z
      .record(z.string(), z.strictObject({ version: z.int(), at: z.string(), fingerprint: z.string() }))
      .exactOptional(),
  }),
  Grant: z.strictObject({ ...baseStatus, targetUid: z.string().exactOptional() }),
};

/** Every kind: its address in the API, whether it lives in a namespace, the shape of `spec` and `status`. */
export const kinds = {
  Agent: { plural: 'agents', namespaced: true, spec: agentSpec, status: status.Agent },
  ModelConfig: { plural: 'model-configs', namespaced: true, spec: modelConfigSpec, status: status.ModelConfig },
  RemoteMCPServer: {
    plural: 'mcp-servers',
    namespaced: true,
    spec: remoteMcpServerSpec,
    status: status.RemoteMCPServer,
  },
  TokenService: { plural: 'token-services', namespaced: false, spec: tokenServiceSpec, status: status.TokenService },
  TrustedIssuer: {
    plural: 'trusted-issuers',
    namespaced: false,
    spec: trustedIssuerSpec,
    status: status.TrustedIssuer,
  },
  Secret: { plural: 'secrets', namespaced: true, spec: secretSpec, status: status.Secret },
  Grant: { plural: 'grants', namespaced: true, spec: grantSpec, status: status.Grant },
} as const;

export type Kind = keyof typeof kinds;
export const kindNames = Object.keys(kinds) as readonly Kind[];
export type SpecOf<K extends Kind> = z.infer<(typeof kinds)[K]['spec']>;
/** As the server keeps and shows it. */
export type KeptSpecOf<K extends Kind> = K extends 'Grant' ? KeptGrantSpec : SpecOf<K>;
export type StatusOf<K extends Kind> = z.infer<(typeof kinds)[K]['status']>;

/** Agent names that are paths of the API. */
export const RESERVED_AGENT_NAMES: ReadonlySet<string> = new Set(['models', 'me', 'sessions', 'tickets']);

export interface ResourceOf<K extends Kind> {
  apiVersion: typeof API_VERSION;
  kind: K;
  metadata: z.infer<typeof metadata>;
  spec: KeptSpecOf<K>;
  status: StatusOf<K>;
}

/** A stored resource of any kind, discriminated by `kind`. */
export type Resource = { [K in Kind]: ResourceOf<K> }[Kind];

/** A document as a person writes it, after validation. */
export type ResourceInput = {
  [K in Kind]: { apiVersion: typeof API_VERSION; kind: K; metadata: z.infer<typeof metadataInput>; spec: SpecOf<K> };
}[Kind];

/** The zod schema of a whole document of a kind. `status` is accepted and ignored, as Kubernetes does. */
const schemas = new Map<Kind, ReturnType<typeof schemaOf>>();

export function documentSchema(kind: Kind): ReturnType<typeof schemaOf> {
  const schema = schemas.get(kind) ?? schemaOf(kind);
  schemas.set(kind, schema);
  return schema;
}

function schemaOf(kind: Kind) {
  return z
    .strictObject({
      apiVersion: z.literal(API_VERSION),
      kind: z.literal(kind),
      metadata: metadataInput,
      spec: kinds[kind].spec,
      status: z.unknown().exactOptional(),
    })
    .superRefine((document, context) => {
      if (kind === 'Agent' && RESERVED_AGENT_NAMES.has(document.metadata.name))
        context.addIssue({
          code: 'custom',
          path: ['metadata', 'name'],
          message: `"${document.metadata.name}" is reserved: choose another name`,
        });
      if (!kinds[kind].namespaced && document.metadata.namespace !== undefined)
        context.addIssue({
          code: 'custom',
          path: ['metadata', 'namespace'],
          message: `${kind} is cluster-scoped: leave the namespace out`,
        });
    });
}

/** JSON Schema (OpenAPI 3.0 dialect, unions avoided so that it is structural) of a whole document. */
export function jsonSchema(kind: Kind): Record<string, unknown> {
  return z.toJSONSchema(documentSchema(kind), {
    target: 'openapi-3.0',
    io: 'input',
    reused: 'inline',
    unrepresentable: 'any',
  });
}

/** Finds a kind by its name, plural or a usual short form, in any case. */
export function kindOf(word: string): Kind | undefined {
  const wanted = word.toLowerCase().replaceAll('-', '');
  return kindNames.find((kind) => {
    const plural = kinds[kind].plural.replaceAll('-', '');
    return [kind.toLowerCase(), `${kind.toLowerCase()}s`, plural, plural.replace(/s$/, '')].includes(wanted);
  });
}
