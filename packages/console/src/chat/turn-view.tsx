import { Bot, Info, RotateCcw } from 'lucide-react';
import { memo } from 'react';
import { useMe } from '../sign-in/gate.tsx';
import { signInAddress } from '../sign-in/sign-in.tsx';
import { Badge } from '../ui/badge.tsx';
import { Button, buttonClass } from '../ui/button.tsx';
import { Time } from '../ui/time.tsx';
import { Markdown } from './markdown.tsx';
import { ToolCard } from './tool-card.tsx';
import { isRunning, type Part, type Turn } from './transcript.ts';

interface TurnViewProps {
  turn: Turn;
  last: boolean;
  onRetry: (text: string) => void;
}

export const TurnView = memo(function TurnView({ turn, last, onRetry }: TurnViewProps) {
  const running = isRunning(turn);
  const answered = turn.parts.some(({ kind }) => kind === 'text' || kind === 'tool');
  return (
    <li className="turn grid grid-cols-1 gap-4">
      <UserMessage text={turn.user} />
      <div className="flex gap-3">
        <span className="mt-0.5 hidden size-7 shrink-0 place-items-center rounded-full border border-line bg-surface text-accent-ink sm:grid">
          <Bot size={15} aria-hidden="true" />
        </span>
        <div className="grid grid-cols-1 min-w-0 flex-1 gap-3" aria-busy={running}>
          {turn.parts.map((part, index) => (
            <PartView key={part.id} part={part} writing={running && index === turn.parts.length - 1} over={!running} />
          ))}
          {running && !answered && <p className="caret text-soft">Thinking</p>}
          <TurnEnd turn={turn} last={last} onRetry={onRetry} />
        </div>
      </div>
    </li>
  );
});

export function UserMessage({ text, sending = false }: { text: string; sending?: boolean }) {
  return (
    <div
      className={`ml-auto w-fit max-w-[min(40rem,90%)] rounded-2xl rounded-br-md bg-accent-soft px-4 py-2.5 ${sending ? 'opacity-80' : ''}`}
    >
      <h2 className="sr-only">You</h2>
      <p className="leading-relaxed break-words whitespace-pre-wrap">{text}</p>
    </div>
  );
}

function PartView({ part, writing, over }: { part: Part; writing: boolean; over: boolean }) {
  switch (part.kind) {
    case 'text':
      return (
        <div className={writing && !part.final ? 'caret' : ''}>
          <Markdown text={part.text} />
          {part.truncated && <p className="mt-1 text-xs text-warn">The answer broke off here.</p>}
        </div>
      );
    case 'tool':
      return <ToolCard call={part.call} over={over} />;
    case 'reasoning':
      return (
        <details className="text-soft">
          <summary className="text-xs font-medium">Reasoning</summary>
          <p className="mt-1 break-words whitespace-pre-wrap">{part.text}</p>
        </details>
      );
    case 'sign-in':
      return <SignInAgain reason={part.reason} over={over} />;
    case 'note':
      return (
        <p className="flex items-center gap-2 text-xs text-soft">
          <Info size={14} aria-hidden="true" className="shrink-0" /> {part.text}
        </p>
      );
  }
}

/** The tokens of this sign-in cannot be exchanged any more. A new one resumes the turn by itself. */
function SignInAgain({ reason, over }: { reason: string; over: boolean }) {
  const { me } = useMe();
  if (over) return <p className="text-xs text-soft">It waited for a new sign-in ({reason}).</p>;
  return (
    <section aria-label="Sign in again" className="rounded-xl border border-line bg-surface p-4">
      <h3 className="font-medium">Your sign-in has run out</h3>
      <p className="mt-1 text-soft">
        A tool needs your authority ({reason}). Sign in again, and this goes on by itself.
      </p>
      <a href={signInAddress(me.issuer)} rel="noreferrer" className={`${buttonClass('primary')} mt-3`}>
        Sign in again
      </a>
    </section>
  );
}

const ENDS = {
  failed: { tone: 'bad', text: 'Failed' },
  stopped: { tone: 'warn', text: 'Stopped' },
  interrupted: { tone: 'warn', text: 'Interrupted: the server was restarted while it worked' },
} as const;

function TurnEnd({ turn, last, onRetry }: TurnViewProps) {
  const { state } = turn;
  if (state === 'completed')
    return (
      <p className="text-xs text-faint">
        {turn.message !== undefined && (
          <>
            <Badge tone="warn">{turn.message}</Badge>{' '}
          </>
        )}
        <Time at={turn.startedAt} />
        {turn.tokens > 0 && ` · ${turn.tokens} tokens`}
      </p>
    );
  if (state !== 'failed' && state !== 'stopped' && state !== 'interrupted') return null;
  const { tone, text } = ENDS[state];
  return (
    <div role={last ? 'alert' : undefined} className="flex flex-wrap items-center gap-2">
      <Badge tone={tone}>
        {text}
        {turn.code !== undefined && state === 'failed' && `: ${turn.code}`}
      </Badge>
      {turn.message !== undefined && <span className="break-words text-soft">{turn.message}</span>}
      {last && (
        <Button size="small" onClick={() => onRetry(turn.user)}>
          <RotateCcw size={13} aria-hidden="true" /> Try again
        </Button>
      )}
    </div>
  );
}
