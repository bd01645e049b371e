import type { Principal } from '@onbehalf/access';
import { API_VERSION, type ResourceInput } from '@onbehalf/resources';
import type { Config } from '../config.ts';
import { namespaceOf } from '../store/index.ts';
import type { ControlPorts } from './ports.ts';
import { writeResources } from './write.ts';

const SOURCE = 'environment';

/** What the resources of the environment are made from. */
export interface Environment {
  config: Config;
  /** Of the embedded issuer, by door. */
  audiences: Readonly<Partial<Record<string, readonly string[]>>>;
  /** The model that LiteLLM is asked for. */
  litellmModel: string | undefined;
}

/**
 * The resources that are built in or come from the environment, `managedBy: environment`. Where somebody has written a
 * resource of the same name, that one stays. What no longer comes from the environment goes.
 */
export async function writeEnvironment(ports: ControlPorts, by: Principal, made: Environment): Promise<string[]> {
  const notes: string[] = [];
  const wanted = documents(made).filter((input) => {
    const known = ports.registry.get(input.kind, namespaceOf(input) || undefined, input.metadata.name);
    if (known && known.metadata.managedBy !== 'environment')
      notes.push(`${input.kind} ${input.metadata.name} was written by hand and is kept`);
    return !known || known.metadata.managedBy === 'environment';
  });
  const writer = { principal: by, address: 'environment' };
  const placed = wanted.map((input, index) => ({ input, file: SOURCE, document: index + 1, line: 1, lineOf: () => 1 }));
  await writeResources(ports, writer, placed, {
    ...{ managedBy: 'environment', source: SOURCE, prune: true },
    // What the environment grants is for whatever it makes of that name today.
    rebind: true,
  });
  return notes;
}

function documents({ config, audiences, litellmModel }: Environment): ResourceInput[] {
  const doors = Object.fromEntries(Object.entries(audiences).map(([door, values]) => [door, [...(values ?? [])]]));
  const found: ResourceInput[] = [
    {
      apiVersion: API_VERSION,
      kind: 'TrustedIssuer',
      metadata: { name: 'onbehalf' },
      spec: { issuer: config.publicUrl, audiences: doors, maxRole: 'ADMIN' },
    },
    {
      apiVersion: API_VERSION,
      kind: 'TokenService',
      metadata: { name: 'onbehalf' },
      spec: { issuer: config.publicUrl, profile: 'onbehalf', delegation: 'act' },
    },
    {
      apiVersion: API_VERSION,
      kind: 'TokenService',
      metadata: { name: 'default' },
      spec:
        config.stsWellKnownUri === undefined
          ? { issuer: config.publicUrl, profile: 'onbehalf', delegation: 'act' }
          : {
              wellKnownUri: config.stsWellKnownUri,
              profile: config.stsProfile,
              ...(config.stsClientId !== undefined && {
                client: {
                  id: config.stsClientId,
                  auth: 'SecretBasic' as const,
                  secretRef: { env: 'ONBEHALF_STS_CLIENT_SECRET' },
                },
              }),
            },
    },
  ];
  if (config.secrets.authJwtSecret)
    found.push({
      apiVersion: API_VERSION,
      kind: 'TrustedIssuer',
      metadata: { name: 'env' },
      spec: {
        issuer: 'legacy:env',
        maxRole: config.legacy.maxRole,
        legacyHs256: {
          secretRef: { env: 'AUTH_JWT_SECRET' },
          mintSubject: config.legacy.mintSubject,
          lowercaseSecret: config.legacy.lowercaseSecret,
          ...(config.secrets.authJwtSecretPrevious && { previousSecretRef: { env: 'AUTH_JWT_SECRET_PREVIOUS' } }),
        },
      },
    });
  if (config.litellmBaseUrl !== undefined)
    found.push(
      {
        apiVersion: API_VERSION,
        kind: 'ModelConfig',
        metadata: { name: 'default', namespace: 'default' },
        spec: {
          provider: 'OpenAICompatible',
          model: litellmModel ?? 'unknown',
          description: `LiteLLM at ${new URL(config.litellmBaseUrl).origin}, from the environment`,
          openAICompatible: { baseUrl: litellmBase(config.litellmBaseUrl) },
          credentialRef: { env: 'LITELLM_MASTER_KEY' },
        },
      },
      ...(['REGULAR', 'ADMIN'] as const).map(
        (role): ResourceInput => ({
          apiVersion: API_VERSION,
          kind: 'Grant',
          metadata: { name: `litellm-models-${role.toLowerCase()}`, namespace: 'default' },
          spec: {
            to: { role },
            on: { kind: 'ModelConfig', name: 'default' },
            verbs: ['use'],
            reason: 'the models of LITELLM_BASE_URL are for everyone who may run agents',
          },
        }),
      ),
    );
  return found;
}

/** LITELLM_BASE_URL names the server; its API is under /v1. */
export function litellmBase(url: string): string {
  const base = url.replace(/\/+$/, '');
  return /\/v\d+$/.test(base) ? base : `${base}/v1`;
}
