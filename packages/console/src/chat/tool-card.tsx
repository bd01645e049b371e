import { Check, ChevronRight, CircleAlert, Hourglass, LoaderCircle } from 'lucide-react';
import { memo } from 'react';
import { ResultBadge, whoMustAct } from '../exchanges/result-badge.tsx';
import { TokenPath } from '../exchanges/token-path.tsx';
import { Badge } from '../ui/badge.tsx';
import { CodeBlock, readable } from '../ui/code-block.tsx';
import { milliseconds } from '../ui/time.tsx';
import type { ToolCall } from './transcript.ts';

interface ToolCardProps {
  call: ToolCall;
  /** The turn has ended: what is still open will not be answered. */
  over: boolean;
}

export const ToolCard = memo(function ToolCard({ call, over }: ToolCardProps) {
  const { result, exchange } = call;
  const name = call.server === '' ? call.tool : `${call.server}.${call.tool}`;
  return (
    <article
      aria-label={`Tool call ${name}`}
      className="overflow-hidden rounded-xl border border-line bg-surface shadow-card"
    >
      <header className="flex flex-wrap items-center gap-x-2.5 gap-y-1 px-3.5 py-2.5">
        <StateIcon call={call} over={over} />
        <h3 className="font-mono text-[0.8125rem] font-medium break-all">
          {call.server !== '' && <span className="text-soft">{call.server}.</span>}
          {call.tool}
        </h3>
        <span className="ml-auto flex flex-wrap items-center gap-2">
          {exchange && <ResultBadge exchange={exchange} />}
          <span className="text-xs text-soft">
            {result?.ms !== undefined
              ? milliseconds(result.ms)
              : result
                ? ''
                : over
                  ? 'no answer'
                  : waits(call)
                    ? 'waiting'
                    : 'running'}
          </span>
        </span>
      </header>
      {exchange && (
        <div className="border-t border-line bg-sunken px-3.5 py-3">
          <TokenPath exchange={exchange} />
          {exchange.message !== undefined && exchange.message !== result?.output && (
            <p className="mt-2 text-xs break-words text-bad">{exchange.message}</p>
          )}
        </div>
      )}
      {result?.isError && (
        <div
          role="note"
          className="flex flex-wrap items-center gap-2 border-t border-line bg-bad-soft px-3.5 py-2.5 text-bad"
        >
          <span className="min-w-0 flex-1 break-words">{result.output}</span>
          {result.code !== undefined && <Badge tone="bad">{result.code}</Badge>}
          {result.actBy !== undefined && <span className="text-xs font-medium">{whoMustAct(result.actBy)}.</span>}
        </div>
      )}
      <details className="group border-t border-line">
        <summary className="flex list-none items-center gap-1.5 px-3.5 py-2 text-xs font-medium text-soft hover:bg-hover hover:text-text focus-visible:outline-offset-[-2px]">
          <ChevronRight size={14} aria-hidden="true" className="transition-transform group-open:rotate-90" />
          Arguments{result && !result.isError && ' and result'}
        </summary>
        <div className="grid grid-cols-1 gap-3 px-3.5 pb-3.5">
          <CodeBlock label="Arguments" text={JSON.stringify(call.arguments, null, 2)} />
          {result && !result.isError && (
            <CodeBlock label={result.truncated ? 'Result (cut)' : 'Result'} text={readable(result.output)} />
          )}
        </div>
      </details>
    </article>
  );
});

/** No token, and no result either: it goes on when the person has signed in again. */
const waits = ({ result, exchange }: ToolCall): boolean => !result && exchange?.result === 'refused';

function StateIcon({ call, over }: ToolCardProps) {
  if (call.result?.isError || (over && !call.result))
    return <CircleAlert size={16} role="img" aria-label="Failed" className="shrink-0 text-bad" />;
  if (call.result) return <Check size={16} role="img" aria-label="Done" className="shrink-0 text-good" />;
  if (waits(call)) return <Hourglass size={16} role="img" aria-label="Waiting" className="shrink-0 text-warn" />;
  return <LoaderCircle size={16} role="img" aria-label="Running" className="shrink-0 animate-spin text-accent" />;
}
