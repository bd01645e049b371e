import { ArrowUp, Square } from 'lucide-react';
import { type KeyboardEvent, useEffect, useRef, useState } from 'react';
import { Button } from '../ui/button.tsx';

interface ComposerProps {
  agent: string;
  running: boolean;
  disabled?: boolean;
  problem?: string | undefined;
  /** Resolves to whether it was taken; the text stays when it was not. */
  onSend: (text: string) => Promise<boolean>;
  onStop?: () => void;
}

const MAX_HEIGHT = 220;

export function Composer({ agent, running, disabled = false, problem, onSend, onStop }: ComposerProps) {
  const [text, setText] = useState('');
  const [sending, setSending] = useState(false);
  const box = useRef<HTMLTextAreaElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the height follows the text.
  useEffect(() => {
    if (!box.current) return;
    box.current.style.height = 'auto';
    box.current.style.height = `${Math.min(box.current.scrollHeight, MAX_HEIGHT)}px`;
  }, [text]);

  const ready = text.trim() !== '' && !running && !sending && !disabled;
  async function send() {
    if (!ready) return;
    setSending(true);
    setText('');
    if (!(await onSend(text))) setText(text);
    setSending(false);
    box.current?.focus();
  }
  function onKeyDown(event: KeyboardEvent) {
    // Enter that ends a composition (IME) sends nothing.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send().catch(() => undefined);
  }
  return (
    <form
      className="mx-auto w-full max-w-3xl px-4 pb-4 sm:px-6"
      onSubmit={(event) => {
        event.preventDefault();
        send().catch(() => undefined);
      }}
    >
      {problem !== undefined && (
        <p role="alert" className="mb-2 rounded-lg bg-bad-soft px-3.5 py-2 break-words text-bad">
          {problem}
        </p>
      )}
      <div className="flex items-end gap-2 rounded-2xl border border-line-strong bg-surface p-2 shadow-card focus-within:border-accent focus-within:outline-2 focus-within:outline-accent-soft">
        <label htmlFor="message" className="sr-only">
          Message to {agent}
        </label>
        <textarea
          id="message"
          ref={box}
          rows={1}
          value={text}
          disabled={disabled}
          maxLength={1_000_000}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={onKeyDown}
          placeholder={`Message ${agent}`}
          className="scroll-thin min-h-9 flex-1 resize-none bg-transparent px-2 py-2 leading-5 outline-none placeholder:text-faint"
        />
        {running ? (
          <Button
            size="icon"
            className="size-9 rounded-xl"
            aria-label="Stop"
            title="Stop the server's work"
            onClick={onStop}
          >
            <Square size={14} className="fill-current" />
          </Button>
        ) : (
          <Button
            look="primary"
            size="icon"
            className="size-9 rounded-xl"
            type="submit"
            aria-label="Send"
            disabled={!ready}
          >
            <ArrowUp size={17} />
          </Button>
        )}
      </div>
      <p className="mt-1.5 hidden text-center text-xs text-faint sm:block">
        Enter sends, Shift+Enter begins a new line. The agent acts as you: it can do what you may do, and no more.
      </p>
    </form>
  );
}
