import { z } from 'zod';
import { consumers, duration, httpUrl, secretReference, tls } from './primitives.ts';

export const modelProviders = [
  'OpenAICompatible',
  'OpenAI',
  'AzureOpenAI',
  'Anthropic',
  'Gemini',
  'Vertex',
  'Bedrock',
  'Ollama',
  'Demo',
] as const;

const endpoint = z.strictObject({ baseUrl: httpUrl });
const optionalEndpoint = z.strictObject({ baseUrl: httpUrl.exactOptional() });

const blocks = {
  openAICompatible: endpoint.exactOptional(),
  openAI: z
    .strictObject({ baseUrl: httpUrl.exactOptional(), organization: z.string().exactOptional() })
    .exactOptional(),
  azureOpenAI: z
    .strictObject({ baseUrl: httpUrl, apiVersion: z.string(), deployment: z.string().exactOptional() })
    .exactOptional(),
  anthropic: optionalEndpoint.exactOptional(),
  gemini: optionalEndpoint.exactOptional(),
  vertex: z.strictObject({ project: z.string(), location: z.string() }).exactOptional(),
  bedrock: z.strictObject({ region: z.string() }).exactOptional(),
  ollama: endpoint.exactOptional(),
};

/** The block that goes with each provider. `Demo` has none. */
export const providerBlock = {
  OpenAICompatible: 'openAICompatible',
  OpenAI: 'openAI',
  AzureOpenAI: 'azureOpenAI',
  Anthropic: 'anthropic',
  Gemini: 'gemini',
  Vertex: 'vertex',
  Bedrock: 'bedrock',
  Ollama: 'ollama',
  Demo: undefined,
} as const satisfies Record<(typeof modelProviders)[number], keyof typeof blocks | undefined>;

const REQUIRED: ReadonlySet<string> = new Set(['OpenAICompatible', 'AzureOpenAI', 'Vertex', 'Bedrock', 'Ollama']);

export const modelConfigSpec = z
  .strictObject({
    provider: z.enum(modelProviders),
    model: z.string().min(1),
    description: z.string().max(1_024).exactOptional(),
    ...blocks,
    credentialRef: secretReference.exactOptional(),
    defaultHeaders: z.record(z.string(), z.string()).exactOptional(),
    parameters: z.record(z.string(), z.unknown()).exactOptional(),
    tls: tls.exactOptional(),
    timeouts: z.strictObject({ firstToken: duration.exactOptional(), idle: duration.exactOptional() }).exactOptional(),
    prices: z
      .strictObject({ inputPerMillion: z.number().nonnegative(), outputPerMillion: z.number().nonnegative() })
      .exactOptional(),
    override: z
      .strictObject({ policy: z.enum(['Deny', 'Model', 'Any']), models: z.array(z.string()).exactOptional() })
      .exactOptional(),
    inject: z.strictObject({ file: z.boolean().exactOptional(), env: z.boolean().exactOptional() }).exactOptional(),
    allow: z
      .strictObject({
        providerTools: z.boolean().exactOptional(),
        store: z.boolean().exactOptional(),
        background: z.boolean().exactOptional(),
        remoteUrls: z.boolean().exactOptional(),
      })
      .exactOptional(),
    litellm: z
      .strictObject({
        virtualKeys: z.boolean().exactOptional(),
        budget: z.number().exactOptional(),
        duration: duration.exactOptional(),
      })
      .exactOptional(),
    enabled: z.boolean().exactOptional(),
    consumers: consumers.exactOptional(),
  })
  .superRefine((spec, context) => {
    const own = providerBlock[spec.provider];
    if (own && REQUIRED.has(spec.provider) && !spec[own])
      context.addIssue({ code: 'custom', path: [own], message: `provider ${spec.provider} needs \`${own}\`` });
    for (const block of Object.values(providerBlock))
      if (block && block !== own && spec[block])
        context.addIssue({
          code: 'custom',
          path: [block],
          message: `has no meaning with provider ${spec.provider}${own ? `: write \`${own}\`` : ''}`,
        });
  });
export type ModelConfigSpec = z.infer<typeof modelConfigSpec>;
