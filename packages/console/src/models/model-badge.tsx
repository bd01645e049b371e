import { Badge } from '../ui/badge.tsx';

/** The built-in planner must not be taken for a language model. */
export function ModelBadge({ provider, model }: { provider: string; model: string }) {
  return provider === 'Demo' ? (
    <Badge tone="warn">Demo planner: rules, not a language model</Badge>
  ) : (
    <Badge>
      {provider} · {model}
    </Badge>
  );
}
