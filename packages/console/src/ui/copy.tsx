import { Check, Copy, Terminal } from 'lucide-react';
import { useEffect, useState } from 'react';
import { Button } from './button.tsx';

const SHOWN_MS = 1_600;

export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [state, setState] = useState<'idle' | 'copied' | 'failed'>('idle');
  useEffect(() => {
    if (state === 'idle') return undefined;
    const timer = setTimeout(() => setState('idle'), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => setState('copied'),
      () => setState('failed'),
    );
  const said = state === 'copied' ? 'Copied' : state === 'failed' ? 'Copying was refused' : label;
  return (
    <Button look="ghost" size="icon" aria-label={said} title={said} onClick={copy}>
      {state === 'copied' ? <Check size={15} className="text-good" /> : <Copy size={15} />}
      <span role="status" className="sr-only">
        {state === 'idle' ? '' : said}
      </span>
    </Button>
  );
}

/** The same thing from a terminal. */
export function CommandLine({ command }: { command: string }) {
  return (
    <div className="flex max-w-full items-center gap-2 rounded-lg border border-line bg-sunken py-0.5 pr-0.5 pl-3">
      <Terminal size={14} aria-hidden="true" className="shrink-0 text-faint" />
      <code className="min-w-0 flex-1 truncate font-mono text-xs text-soft" title={command}>
        {command}
      </code>
      <CopyButton text={command} label="Copy as CLI command" />
    </div>
  );
}
