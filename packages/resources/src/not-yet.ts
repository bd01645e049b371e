import type { Kind } from './kinds.ts';
import { secretReferencesIn } from './secret-references.ts';

/** Reason of a condition that is made from the table below. */
export const NOT_YET_HONOURED = 'NotYetHonoured';

const APPROVALS = 'approvals cannot be given yet: calls of these tools are refused';
const NO_CLIENT = 'this version has no client for that provider';

/**
 * Fields that are accepted and have no effect yet, or only the one that is said here. A field stands in this table or
 * something reads it; what stands here is told at each resource that uses it. Lists are walked through: no index.
 */
export const notYet: Readonly<Partial<Record<Kind, Readonly<Record<string, string>>>>> = {
  Agent: {
    iconUrl: 'nothing shows icons yet',
    version: 'nothing shows versions yet',
    byo: 'agents of type BYO do not run yet',
    modelConfigRef: 'agents of type BYO do not run yet',
    routes: 'no gateway asks for routes yet',
    retention: 'conversations are kept until they are deleted',
    'declarative.skills': 'there is no A2A card yet that would show them',
    'declarative.tools.agent': 'agents are not called as tools yet',
    'declarative.tools.isolateSessions': 'agents are not called as tools yet',
    'declarative.tools.mcpServer.requireApproval': APPROVALS,
    'declarative.tools.mcpServer.approval': APPROVALS,
  },
  ModelConfig: {
    azureOpenAI: NO_CLIENT,
    anthropic: NO_CLIENT,
    gemini: NO_CLIENT,
    vertex: NO_CLIENT,
    bedrock: NO_CLIENT,
    override: 'nobody can choose another model yet',
    inject: 'no agent gets a key of a model yet',
    allow: 'agents reach models through this server alone, which asks for none of this',
    litellm: 'no virtual keys are made at LiteLLM yet',
  },
  RemoteMCPServer: {
    stdio: 'stdio servers do not run yet',
    requireApproval: APPROVALS,
    softwareApprovals: 'approvals cannot be given yet',
    'auth.discovery.client': 'tools are listed as the client of this server itself',
  },
  TokenService: { consumers: 'every tool server may refer to it; administrators alone write such references' },
  TrustedIssuer: {
    'audiences.a2a': 'there is no A2A door yet',
    'audiences.openai': 'there is no OpenAI door yet',
    'audiences.mcp': 'there is no MCP door yet',
  },
};

/** Of every reference to a Secret. */
export const notYetInSecretReference = { vault: 'no vault is asked yet' };

/** The fields of a spec that stand in the table: `spec.iconUrl: nothing shows icons yet`. */
export function notYetHonoured(document: { kind: Kind; spec: unknown }): string[] {
  const fields = Object.entries(notYet[document.kind] ?? {}).flatMap(([path, why]) =>
    holds(document.spec, path.split('.')) ? [`spec.${path}: ${why}`] : [],
  );
  const references = secretReferencesIn(document).flatMap(({ path, ref }) =>
    ref.vault === undefined ? [] : [`${path}.vault: ${notYetInSecretReference.vault}`],
  );
  return [...fields, ...references];
}

function holds(value: unknown, [step, ...rest]: readonly string[]): boolean {
  if (step === undefined) return true;
  if (Array.isArray(value)) return value.some((one) => holds(one, [step, ...rest]));
  if (typeof value !== 'object' || value === null) return false;
  const inner = (value as Readonly<Record<string, unknown>>)[step];
  return inner !== undefined && holds(inner, rest);
}
