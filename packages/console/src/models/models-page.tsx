import { ApiError, type ResourceAt } from '@onbehalf/client';
import type { ModelList } from '@onbehalf/resources';
import { useQuery } from '@tanstack/react-query';
import { Boxes, KeyRound, LockKeyhole } from 'lucide-react';
import { agentAddress } from '../api/address.ts';
import { modelConfigsQuery, modelsQuery } from '../api/queries.ts';
import { Badge } from '../ui/badge.tsx';
import { Conditions, StateBadge } from '../ui/conditions.tsx';
import { CommandLine } from '../ui/copy.tsx';
import { Card, Page } from '../ui/page.tsx';
import { EmptyState, ErrorState, Loading } from '../ui/states.tsx';
import { ModelBadge } from './model-badge.tsx';

export function ModelsPage() {
  const configs = useQuery(modelConfigsQuery);
  return (
    <Page
      title="Models"
      lead="The one place where a model and its credential are configured. No agent ever holds a key."
      actions={<CommandLine command="onbehalf get model-configs" />}
    >
      <div className="grid grid-cols-1 gap-6 lg:grid-cols-[1fr_20rem] lg:items-start">
        {configs.isPending ? (
          <Loading />
        ) : configs.error ? (
          <ErrorState error={configs.error} retry={() => configs.refetch()} />
        ) : configs.data.length === 0 ? (
          <EmptyState
            icon={Boxes}
            title="No model that you may see"
            action={<CommandLine command="onbehalf apply -f model-config.yaml" />}
          >
            An administrator applies a ModelConfig, and a Grant with the verb <em>use</em>.
          </EmptyState>
        ) : (
          <ul className="grid grid-cols-1 gap-4">
            {configs.data.map((config) => (
              <ModelConfigCard key={config.metadata.uid} config={config} />
            ))}
          </ul>
        )}
        <UsableModels />
      </div>
    </Page>
  );
}

function ModelConfigCard({ config }: { config: ResourceAt<'model-configs'> }) {
  const { metadata, spec, status } = config;
  const url =
    spec.openAICompatible?.baseUrl ?? spec.openAI?.baseUrl ?? spec.ollama?.baseUrl ?? spec.azureOpenAI?.baseUrl;
  return (
    <li className="rounded-xl border border-line bg-surface p-4 shadow-card">
      <div className="flex flex-wrap items-center gap-2">
        <h2 className="mr-auto font-semibold break-words">{agentAddress(metadata)}</h2>
        <ModelBadge provider={spec.provider} model={spec.model} />
        <StateBadge enabled={spec.enabled} conditions={status.conditions} />
      </div>
      {spec.description !== undefined && <p className="mt-1.5 break-words text-soft">{spec.description}</p>}
      <div className="mt-3 mb-4 flex flex-wrap gap-1.5">
        <Badge>model {spec.model}</Badge>
        {url !== undefined && <Badge>{url}</Badge>}
        <Badge>
          {spec.credentialRef ? (
            <>
              <KeyRound size={12} aria-hidden="true" /> key kept by the server
            </>
          ) : (
            'needs no key'
          )}
        </Badge>
        <Badge>override: {spec.override?.policy ?? 'Deny'}</Badge>
      </div>
      <div className="border-t border-line pt-3">
        <Conditions conditions={status.conditions} />
      </div>
    </li>
  );
}

function UsableModels() {
  const { data, error, isPending, refetch } = useQuery(modelsQuery);
  const off = error instanceof ApiError && error.code === 'models_disabled';
  return (
    <Card title="You may use" aside={<CommandCount data={data} />}>
      {isPending ? (
        <Loading rows={1} />
      ) : off ? (
        <p className="flex gap-2 text-soft">
          <LockKeyhole size={16} aria-hidden="true" className="mt-0.5 shrink-0" /> Models are switched off on this
          server.
        </p>
      ) : error ? (
        <ErrorState error={error} retry={() => refetch()} />
      ) : data.length === 0 ? (
        <p className="text-soft">
          Nothing directly. Agents use their own models for you; a Grant with <em>use</em> would list them here.
        </p>
      ) : (
        <ul className="grid grid-cols-1 gap-2">
          {data.map((model) => (
            <li key={model.id} className="flex items-center justify-between gap-3">
              <code className="min-w-0 font-mono text-xs break-all">{model.id}</code>
              <span className="text-xs text-faint">{model.owned_by}</span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function CommandCount({ data }: { data: ModelList['data'] | undefined }) {
  return data && data.length > 0 ? <Badge>{data.length}</Badge> : null;
}
