import { CopyButton } from './copy.tsx';
import { ScrollArea } from './scroll-area.tsx';

/** Text as it is. Whatever it holds is shown, never interpreted. */
export function CodeBlock({ text, label, tall = false }: { text: string; label: string; tall?: boolean }) {
  return (
    <figure className="overflow-hidden rounded-lg border border-line bg-sunken">
      <figcaption className="flex items-center justify-between border-b border-line py-0.5 pr-1 pl-3 text-xs font-medium text-soft">
        {label}
        <CopyButton text={text} label={`Copy ${label.toLowerCase()}`} />
      </figcaption>
      <ScrollArea label={label} className={`overflow-auto ${tall ? 'max-h-[36rem]' : 'max-h-64'}`}>
        <pre className="p-3 font-mono text-xs leading-relaxed break-words whitespace-pre-wrap">{text}</pre>
      </ScrollArea>
    </figure>
  );
}

/** JSON is laid out; anything else stays as it came. */
export function readable(text: string): string {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
