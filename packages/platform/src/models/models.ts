import { type ModelConfigSpec, type ModelList, milliseconds, type ResourceOf } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import type { Egress } from '../egress/index.ts';
import { type CredentialSource, openTls, type SecretRef, VaultError } from '../vault/index.ts';
import { createDemoClient, type DemoOptions } from './demo.ts';
import { type ModelClient, ModelError, type ModelRequest } from './messages.ts';
import { createOpenAiClient } from './openai-compatible.ts';

type ModelConfig = ResourceOf<'ModelConfig'>;

export interface ModelsOptions {
  egress: Egress;
  credentials: CredentialSource;
  /** The principal who wrote a resource last: a Secret opens only while they may use it. */
  lastWriter: (uid: string) => { issuer: string; subject: string } | undefined;
  demo?: DemoOptions;
}

export interface Models {
  /** The client of one ModelConfig. Throws `ModelError` when the provider cannot be used. */
  client(config: ModelConfig): ModelClient;
  /** What `/models` of each ModelConfig's provider says, with the configured names. Throws `model_unavailable`. */
  list(configs: readonly ModelConfig[], signal: AbortSignal): Promise<ModelList>;
}

const LIST_LIMITS = { connectMs: 5_000, firstByteMs: 10_000, totalMs: 15_000, maxBytes: 4 << 20 };

/** Providers that speak Chat Completions, with the base URL of those that need not name one. */
const CHAT_COMPLETIONS: Partial<Record<ModelConfigSpec['provider'], string | undefined>> = {
  OpenAICompatible: undefined,
  Ollama: undefined,
  OpenAI: 'https://api.openai.com/v1',
};

/** Whether this version has a client for the provider. */
export const hasClient = (provider: ModelConfigSpec['provider']) => provider === 'Demo' || provider in CHAT_COMPLETIONS;

export function createModels(options: ModelsOptions): Models {
  const clients = new Map<string, { version: string; client: ModelClient }>();

  function build(config: ModelConfig): ModelClient {
    if (config.spec.provider === 'Demo') return createDemoClient(options.demo);
    const baseUrl = baseUrlOf(config.spec);
    return createOpenAiClient({
      egress: options.egress,
      baseUrl,
      model: config.spec.model,
      credential: (request) => open(config, baseUrl, request.context),
      attribution: config.spec.provider === 'OpenAICompatible',
      headers: fixedHeaders(config.spec),
      tls: (request) => openTls(config.spec.tls, (ref) => openRef(config, ref, baseUrl, request.context)),
      limits: modelLimits(config.spec),
      ...(config.spec.parameters && { parameters: config.spec.parameters }),
    });
  }

  async function open(config: ModelConfig, url: string, context: Partial<ModelRequest['context']>) {
    return config.spec.credentialRef && openRef(config, config.spec.credentialRef, url, context);
  }

  async function openRef(
    config: ModelConfig,
    ref: SecretRef,
    url: string,
    context: Partial<ModelRequest['context']>,
  ): Promise<SecretValue> {
    const writer = options.lastWriter(config.metadata.uid);
    const opening = options.credentials.open(ref, {
      kind: 'ModelConfig',
      uid: config.metadata.uid,
      origin: new URL(url).origin,
      ...(config.metadata.namespace && { namespace: config.metadata.namespace }),
      ...(writer && { writer }),
      ...(context.session && context.turn && { context: { session: context.session, turn: context.turn } }),
    });
    return opening.then(
      ({ value }) => value,
      (cause: unknown) => {
        if (!(cause instanceof VaultError)) throw cause;
        throw new ModelError(
          'model_credential',
          `the credential of ${config.metadata.name} cannot be used (${cause.code})`,
          { cause },
        );
      },
    );
  }

  async function listOne(config: ModelConfig, signal: AbortSignal): Promise<ModelList['data']> {
    const own = { id: config.spec.model, object: 'model' as const, created: seconds(config), owned_by: 'onbehalf' };
    if (config.spec.provider === 'Demo') return [own];
    const baseUrl = baseUrlOf(config.spec);
    const credential = await open(config, baseUrl, {});
    const response = await options.egress.request(`${baseUrl.replace(/\/+$/, '')}/models`, {
      method: 'GET',
      headers: {
        ...fixedHeaders(config.spec),
        accept: 'application/json',
        ...(credential && { authorization: `Bearer ${credential.reveal()}` }),
      },
      signal,
      limits: LIST_LIMITS,
      tls: await openTls(config.spec.tls, (ref) => openRef(config, ref, baseUrl, {})),
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body) chunks.push(chunk);
    if (response.status !== 200)
      throw new ModelError('model_unavailable', `the provider of ${config.metadata.name} answered ${response.status}`);
    return parseModels(Buffer.concat(chunks).toString('utf8'), own);
  }

  return {
    client(config) {
      if (config.spec.enabled === false)
        throw new ModelError('model_disabled', `the model ${config.metadata.name} is switched off`);
      const known = clients.get(config.metadata.uid);
      if (known?.version === config.metadata.resourceVersion) return known.client;
      const client = build(config);
      clients.set(config.metadata.uid, { version: config.metadata.resourceVersion, client });
      return client;
    },
    async list(configs, signal) {
      const lists = await Promise.all(
        configs.map((config) =>
          listOne(config, signal).catch((cause: unknown) => {
            if (cause instanceof ModelError) throw cause;
            throw new ModelError('model_unavailable', `the provider of ${config.metadata.name} cannot be reached`, {
              cause,
            });
          }),
        ),
      );
      const data = [...new Map(lists.flat().map((model) => [model.id, model])).values()];
      return { object: 'list', data };
    },
  };
}

/** As the ModelConfig has them; the credential is never among them. */
function fixedHeaders({ defaultHeaders, openAI }: ModelConfigSpec): Record<string, string> {
  const organization = openAI?.organization;
  // In lower case, so that none stands beside ours instead of giving way to it.
  const others = Object.entries(defaultHeaders ?? {}).map(([name, value]) => [name.toLowerCase(), value] as const);
  return {
    ...(organization !== undefined && { 'openai-organization': organization }),
    ...Object.fromEntries(others),
  };
}

function modelLimits({ timeouts = {} }: ModelConfigSpec) {
  const { firstToken, idle } = timeouts;
  return {
    ...(firstToken !== undefined && { firstTokenMs: milliseconds(firstToken) }),
    ...(idle !== undefined && { idleMs: milliseconds(idle) }),
  };
}

function baseUrlOf(spec: ModelConfigSpec): string {
  const configured = spec.openAICompatible?.baseUrl ?? spec.ollama?.baseUrl ?? spec.openAI?.baseUrl;
  const baseUrl = configured ?? CHAT_COMPLETIONS[spec.provider];
  if (!hasClient(spec.provider) || baseUrl === undefined)
    throw new ModelError('model_unsupported', `this version has no client for the provider ${spec.provider}`);
  return baseUrl;
}

const seconds = (config: ModelConfig) =>
  Math.floor(Date.parse(config.metadata.createdAt ?? '1970-01-01T00:00:00Z') / 1_000);

function parseModels(text: string, own: ModelList['data'][number]): ModelList['data'] {
  try {
    const { data } = JSON.parse(text) as { data: { id: string; created?: number; owned_by?: string }[] };
    return data.map((model) => ({
      id: String(model.id),
      object: 'model',
      created: Number.isInteger(model.created) ? Number(model.created) : own.created,
      owned_by: String(model.owned_by ?? 'provider'),
    }));
  } catch (cause) {
    throw new ModelError('model_unavailable', 'the provider answered with what is no list of models', { cause });
  }
}
