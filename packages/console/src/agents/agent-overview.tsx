import type { ResourceAt } from '@onbehalf/client';
import { namespaceOrDefault } from '@onbehalf/resources';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { shellWord } from '../api/address.ts';
import { explainQuery } from '../api/queries.ts';
import { ModelBadge } from '../models/model-badge.tsx';
import { Conditions } from '../ui/conditions.tsx';
import { CommandLine } from '../ui/copy.tsx';
import { Card, Fact } from '../ui/page.tsx';
import { Time } from '../ui/time.tsx';
import { bindingCount, modelName } from './agent-facts.ts';

export function AgentOverview({ address, agent }: { address: string; agent: ResourceAt<'agents'> }) {
  const { data: explained } = useQuery(explainQuery(address));
  const { metadata, spec, status } = agent;
  const prompt = spec.declarative?.systemMessage;
  return (
    <div className="grid grid-cols-1 gap-5 lg:grid-cols-2">
      <Card title="About">
        <dl>
          <Fact name="Model">
            <span className="flex flex-wrap items-center gap-2">
              <Link to="/models" className="font-medium text-accent-ink underline underline-offset-2">
                {modelName(spec)}
              </Link>
              {explained?.model && <ModelBadge provider={explained.model.provider} model={explained.model.model} />}
            </span>
            {explained?.model?.problem !== undefined && <p className="mt-1 text-bad">{explained.model.problem}</p>}
          </Fact>
          <Fact name="Tools">
            <Link
              to="/agents/$agent"
              params={{ agent: address }}
              search={{ tab: 'tools' }}
              className="text-accent-ink underline underline-offset-2"
            >
              {explained?.tools.length ?? bindingCount(spec)} tools, each with its own target
            </Link>
          </Fact>
          <Fact name="Namespace">{namespaceOrDefault(metadata)}</Fact>
          <Fact name="Generation">{metadata.generation}</Fact>
          <Fact name="Managed by">{metadata.managedBy}</Fact>
          {metadata.updatedAt !== undefined && (
            <Fact name="Changed">
              <Time at={metadata.updatedAt} />
            </Fact>
          )}
        </dl>
      </Card>
      <Card title="Conditions">
        <Conditions conditions={status.conditions} />
      </Card>
      {prompt !== undefined && (
        <Card title="System message">
          <p className="leading-relaxed break-words whitespace-pre-wrap">{prompt}</p>
        </Card>
      )}
      <Card title="From a terminal">
        <div className="grid grid-cols-1 gap-2">
          <CommandLine command={`onbehalf chat ${shellWord(address)}`} />
          <CommandLine command={`onbehalf invoke ${shellWord(address)} -m "What have I ordered?"`} />
          <CommandLine command={`onbehalf explain agent/${shellWord(address)}`} />
        </div>
      </Card>
    </div>
  );
}
