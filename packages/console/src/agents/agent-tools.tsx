import type { Explanation } from '@onbehalf/resources';
import { useQuery } from '@tanstack/react-query';
import { Server, Wrench } from 'lucide-react';
import { shellWord } from '../api/address.ts';
import { explainQuery } from '../api/queries.ts';
import { Badge, Token } from '../ui/badge.tsx';
import { CommandLine } from '../ui/copy.tsx';
import { EmptyState, ErrorState, Loading } from '../ui/states.tsx';

type Tool = Explanation['tools'][number];
type Target = NonNullable<Tool['target']>;

const MODES: Readonly<Record<string, string>> = {
  Exchange: "The caller's token is exchanged for one of this server, when a tool is first called.",
  Workload: "The agent's own token: no person is named.",
  Forward: "The caller's own token is passed on.",
  Static: 'One configured header for everybody.',
  None: 'Called without a credential.',
};

export function AgentTools({ address }: { address: string }) {
  const { data, error, isPending, refetch } = useQuery(explainQuery(address));
  if (isPending) return <Loading />;
  if (error) return <ErrorState error={error} retry={() => refetch()} />;
  if (data.tools.length === 0)
    return (
      <EmptyState icon={Wrench} title="No tools yet" action={<CommandLine command="onbehalf apply -f agent.yaml" />}>
        Bind a tool server under <code>spec.declarative.tools</code>.
      </EmptyState>
    );
  const servers = Map.groupBy(data.tools, ({ server }) => server);
  return (
    <div className="grid grid-cols-1 gap-5">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <p className="max-w-2xl text-soft">
          What each token will be for, and where each value was written: at the tool binding, the server, or the agent.
          Nothing is called to show this.
        </p>
        <CommandLine command={`onbehalf explain agent/${shellWord(address)}`} />
      </div>
      {[...servers].map(([server, tools]) => (
        <ServerTools key={server} server={server} tools={tools} />
      ))}
    </div>
  );
}

function ServerTools({ server, tools }: { server: string; tools: readonly Tool[] }) {
  const [first] = tools;
  const shared = tools.every((tool) => JSON.stringify(tool.target) === JSON.stringify(first?.target));
  return (
    <section aria-label={`Tool server ${server}`} className="rounded-xl border border-line bg-surface shadow-card">
      <header className="flex flex-wrap items-center gap-2 border-b border-line px-4 py-3">
        <Server size={17} aria-hidden="true" className="text-soft" />
        <h2 className="font-semibold">{server}</h2>
        {first && (
          <>
            <Badge tone="accent" title={MODES[first.mode] ?? first.mode}>
              {first.mode}
            </Badge>
            {first.tokenService !== undefined && <Badge>token service {first.tokenService}</Badge>}
            {first.profile !== undefined && <Badge>profile {first.profile}</Badge>}
            {first.delegation !== undefined && <Badge>delegation {first.delegation}</Badge>}
          </>
        )}
      </header>
      <div className="p-4">
        {first && <p className="text-soft">{MODES[first.mode]}</p>}
        {shared && first?.target && <TargetFacts target={first.target} />}
        <ul className={`mt-4 grid grid-cols-1 gap-2 ${shared ? 'sm:grid-cols-2 lg:grid-cols-3' : ''}`}>
          {tools.map((tool) => (
            <li key={tool.name} className="rounded-lg border border-line px-3 py-2">
              <div className="flex flex-wrap items-center justify-between gap-2">
                <code className="font-mono text-xs break-all">{tool.tool}</code>
                <Badge tone={tool.approved ? 'good' : 'warn'}>{tool.approved ? 'approved' : 'not approved'}</Badge>
                {tool.requireApproval && <Badge tone="warn">asks its person first</Badge>}
              </div>
              {tool.problem !== undefined && <p className="mt-1 break-words text-bad">{tool.problem}</p>}
              {!shared && tool.target && <TargetFacts target={tool.target} />}
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
}

const FIELDS = [
  ['audience', 'Audience'],
  ['resource', 'Resource'],
  ['scopes', 'Scopes'],
] as const;

function TargetFacts({ target }: { target: Target }) {
  return (
    <dl className="mt-3 grid grid-cols-1 gap-x-6 gap-y-3 sm:grid-cols-3">
      {FIELDS.map(([field, name]) => (
        <div key={field} className="min-w-0">
          <dt className="mb-1 flex flex-wrap items-center gap-x-1.5 text-xs font-medium text-soft">
            {name}
            {target.origin[field] !== 'none' && (
              <span className="font-normal text-faint">
                from the {target.origin[field]}
                {field === 'scopes' && target.ofTool && ', for this tool alone'}
              </span>
            )}
          </dt>
          <dd className="flex flex-wrap gap-1">
            {target[field].length === 0 ? (
              <span className="text-faint">none</span>
            ) : (
              target[field].map((value) => <Token key={value}>{value}</Token>)
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}
