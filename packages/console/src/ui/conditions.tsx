import type { Condition, ConditionType } from '@onbehalf/resources';
import { Badge, Dot, type Tone } from './badge.tsx';
import { Time } from './time.tsx';

/** As `alarming` of the resources, whose module would bring every schema into the page. */
const ALARMING: ReadonlySet<ConditionType> = new Set<ConditionType>([
  'ToolDrift',
  'ForwardRisk',
  'ActorNotBound',
  'SubjectTokenUnusable',
  'AgentReplaced',
  'CrashLoop',
  'Unconfined',
  'Conflict',
  'KeyInWorkload',
]);

export function conditionTone({ type, status }: Pick<Condition, 'type' | 'status'>): Tone {
  if (status === 'Unknown') return 'warn';
  return (status === 'True') !== ALARMING.has(type) ? 'good' : 'bad';
}

interface WithConditions {
  enabled?: boolean | undefined;
  conditions?: readonly Condition[] | undefined;
}

/** One word for a resource: switched off, failing, waiting, ready. */
export function StateBadge({ enabled, conditions = [] }: WithConditions) {
  if (enabled === false) return <Badge>Switched off</Badge>;
  const tones = conditions.map(conditionTone);
  if (tones.includes('bad')) return <Badge tone="bad">Needs attention</Badge>;
  if (tones.includes('warn')) return <Badge tone="warn">Waiting</Badge>;
  return <Badge tone="good">Ready</Badge>;
}

export function Conditions({ conditions = [] }: { conditions?: readonly Condition[] | undefined }) {
  if (conditions.length === 0) return <p className="text-soft">The server has not looked at it yet.</p>;
  return (
    <ul className="divide-y divide-line">
      {conditions.map((condition) => (
        <li key={condition.type} className="flex gap-3 py-2.5 first:pt-0 last:pb-0">
          <span className="mt-1.5">
            <Dot tone={conditionTone(condition)} />
          </span>
          <div className="min-w-0 flex-1">
            <div className="flex flex-wrap items-baseline justify-between gap-x-3">
              <span className="font-medium">
                {condition.type} <span className="font-normal text-faint">{condition.reason}</span>
              </span>
              <span className="text-xs text-faint">
                <Time at={condition.lastTransitionTime} />
              </span>
            </div>
            <p className="break-words text-soft">{condition.message}</p>
          </div>
        </li>
      ))}
    </ul>
  );
}
